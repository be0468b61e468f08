"""The files of a corpus but `train.bin`, written without numpy, which a plan does not need."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from raydistill.data.documents import Document
from raydistill.data.tokenizer import Encoded
from raydistill.specs.corpus import CorpusInfo


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
    (folder / "heldout.json").write_text(text, encoding="utf-8")
    write_info(folder, info)


def write_info(folder: Path, info: CorpusInfo) -> None:
    """Write `corpus.json`; corpora whose texts begin with no token keep the bytes that they had."""
    fields = dataclasses.asdict(info)
    if not info.begin_ids:
        del fields["begin_ids"]
    text = json.dumps(fields, indent=1, sort_keys=True) + "\n"
    (folder / "corpus.json").write_text(text, encoding="utf-8")
