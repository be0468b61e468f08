"""The files of a corpus but `train.bin`, written without numpy, which a plan does not need."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from raydistill.data.documents import Document
from raydistill.data.tokenizer import Encoded
from raydistill.specs.corpus import PLAIN, CorpusInfo


def write_heldout(
    folder: Path, info: CorpusInfo, tokenizer: Path, documents: Sequence[Document], encoded: Encoded
) -> None:
    """Write `tokenizer.json`, `heldout.bin`, `heldout.json` (spans of documents), `corpus.json`."""
    spans = [
        {
            "unit": document.unit,
            "collection": document.collection,
            "start": start + len(info.begin_ids),
            "end": end,
        }
        for document, (start, end) in zip(documents, encoded.spans, strict=True)
    ]
    text = json.dumps({"documents": spans}, indent=1)
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    (folder / "heldout.bin").write_bytes(encoded.data)
    if encoded.mask:
        (folder / "heldout.mask").write_bytes(encoded.mask)
    (folder / "heldout.json").write_text(text, encoding="utf-8")
    write_info(folder, info)


def write_info(folder: Path, info: CorpusInfo) -> None:
    """Write `corpus.json`; what a text does not have stands nowhere, so old bytes stay."""
    fields = dataclasses.asdict(info)
    if not info.begin_ids:
        del fields["begin_ids"]
    if info.text_form == PLAIN:
        del fields["text_form"], fields["mask_sha256"]
    text = json.dumps(fields, indent=1, sort_keys=True) + "\n"
    (folder / "corpus.json").write_text(text, encoding="utf-8")
