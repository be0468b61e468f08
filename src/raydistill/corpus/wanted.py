"""A corpus as it is asked for."""

from dataclasses import dataclass
from pathlib import Path

from raydistill.corpus.sources import absolute
from raydistill.places import place
from raydistill.scales import Scale


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Everything that decides the tokens of a corpus, but for what its files hold.

    Attributes:
        text: "embedded", "smoke", a file or folder of text, a data set of the hub, a folder of
            tokens; or several with their shares: `a.jsonl=0.7,notes.txt=0.3`.
        tokenizer: a `tokenizer.json`, or a folder that has one; None: the shipped one for the
            embedded corpora, a new one of `vocab_size` entries for own text.
        vocab_size: entries of the model: of a tokenizer trained here, and the most of any other.
        context: a corpus with no more training tokens than this is refused.
        text_field: the key or column that holds the text, in JSON lines and Parquet.
        heldout: text to measure on instead of one document in 16; empty: those.
    """

    text: str
    tokenizer: Path | None = None
    vocab_size: int = 2048
    context: int = 128
    text_field: str = "text"
    heldout: str = ""


def wanted_by(scale: Scale) -> Wanted:
    """The corpus that a scale's models are trained on; paths are absolute, as workers need them."""
    tokenizer = place(scale.tokenizer).absolute() if scale.tokenizer else None
    return Wanted(
        text=absolute(scale.corpus),
        tokenizer=tokenizer,
        vocab_size=scale.model.vocab_size,
        context=scale.model.context,
        text_field=scale.text_field,
        heldout=absolute(scale.heldout),
    )
