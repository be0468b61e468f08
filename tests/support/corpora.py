"""Corpora of made-up text for the tests of `data/`: made, or refused in one line."""

import pytest

from raydistill.core.errors import DataError
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.tokenizer import shipped_tokenizer
from support.texts import write_jsonl, write_parquet, write_txt

WRITERS = {".txt": write_txt, ".jsonl": write_jsonl, ".parquet": write_parquet}


def made(text, store, **options):
    """The folder of a corpus of `text`, by the shipped tokenizer unless another one is named."""
    return prepare_corpus(str(text), store=store, **{"tokenizer": shipped_tokenizer(), **options})


def refusal(text, store, **options):
    """The one line in which a corpus of `text` is refused; nothing is left of it."""
    with pytest.raises(DataError) as caught:
        made(text, store, **options)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert not list(store.root.rglob("*.bin"))
    return str(caught.value)
