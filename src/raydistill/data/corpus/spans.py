"""Where each held-out document lies: written without numpy, which a plan does not need."""

import json
from collections.abc import Sequence

from raydistill.data.documents import Document
from raydistill.data.tokenizer import Encoded


def spans_json(heldout: Sequence[Document], encoded: Encoded) -> str:
    """Where each document lies."""
    spans = [
        {"unit": document.unit, "collection": document.collection, "start": start, "end": end}
        for document, (start, end) in zip(heldout, encoded.spans, strict=True)
    ]
    return json.dumps({"documents": spans}, indent=1)
