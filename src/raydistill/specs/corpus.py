"""What is known of a tokenised corpus."""

from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError

EMBEDDED, SMOKE = "embedded", "smoke"
EMBEDDED_TEXTS = (EMBEDDED, SMOKE, "bbe", "bbe-2000", "bbe-1000")  # that come with the package


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusInfo:
    """A tokenised corpus; `corpus_sha256` is that of `train.bin` followed by `heldout.bin`."""

    name: str
    corpus_sha256: str
    tokenizer_sha256: str
    vocab_size: int
    token_bytes: int  # 2 for up to 65,536 entries, else 4
    train_tokens: int
    heldout_tokens: int
    train_documents: int
    heldout_documents: int
    end_of_text_id: int = 0
    notes: tuple[str, ...] = ()  # what was mended, cut or noticed while it was made
    begin_ids: tuple[int, ...] = ()  # before every document, as its tokenizer begins texts

    def check_size(self, file: Path, tokens: int) -> None:
        """Refuse a file that does not hold exactly this many tokens.

        Raises:
            DataError: naming it.
        """
        size = file.stat().st_size if file.is_file() else 0
        if size != (expected := tokens * self.token_bytes):
            raise DataError(
                f"{file} has {size} bytes, not {expected}: it was changed; delete {file.parent}"
            )

    def check_largest(self, token_id: int, file: Path) -> None:
        """Refuse a file whose largest id is beyond the vocabulary.

        A GPU would only report a failed assertion.

        Raises:
            DataError: naming it.
        """
        if token_id >= self.vocab_size:
            raise DataError(
                f"{file} holds the token id {token_id}, beyond its vocabulary of "
                f"{self.vocab_size}: it was changed; delete {file.parent}"
            )
