"""A tokenised corpus."""

from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusInfo:
    """A tokenised corpus.

    `corpus_sha256` is that of its training tokens followed by its held-out ones: `train.bin`
    and `heldout.bin`, byte for byte.
    """

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
    notes: tuple[str, ...] = ()  # what was mended, cut or found while it was made

    def check_size(self, file: Path, tokens: int) -> None:
        """Refuse a file of so many tokens that was cut, or is not wholly here.

        Raises:
            DataError: naming it.
        """
        found, wanted = file.stat().st_size if file.is_file() else 0, tokens * self.token_bytes
        if found != wanted:
            raise DataError(
                f"{file} has {found} bytes, not {wanted}: it was changed; delete {file.parent}"
            )

    def check_largest(self, token_id: int, file: Path) -> None:
        """Refuse the largest id of a file of tokens if the vocabulary ends before it.

        A GPU would only say that an assertion failed.

        Raises:
            DataError: naming it.
        """
        if token_id >= self.vocab_size:
            raise DataError(
                f"{file} holds the token id {token_id}, beyond its vocabulary of "
                f"{self.vocab_size}: it was changed; delete {file.parent}"
            )
