"""`heldout.json`: which held-out tokens are which document, without its end-of-text."""

import json
from collections.abc import Sequence

from raydistill.documents import Document
from raydistill.tokenizer import Encoded


def spans_json(heldout: Sequence[Document], encoded: Encoded) -> str:
    """Where each document lies."""
    spans = [
        {"unit": document.unit, "collection": document.collection, "start": start, "end": end}
        for document, (start, end) in zip(heldout, encoded.spans, strict=True)
    ]
    return json.dumps({"documents": spans}, indent=1)
