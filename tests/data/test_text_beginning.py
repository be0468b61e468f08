"""What texts begin with, beside transformers' own reading of the same folders."""

import pytest

from raydistill.data.text_beginning import begin_ids, begin_ids_at
from raydistill.data.tokenizer import END_OF_TEXT, load_tokenizer, shipped_tokenizer
from support.tokenizer_kinds import BEGUN, KINDS, save_kind


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: save_kind(tmp_path_factory.mktemp("kind"), kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_begins_as_with_transformers(folders, kind):
    from transformers import AutoTokenizer

    stock = AutoTokenizer.from_pretrained(folders[kind])
    begins = kind in BEGUN
    assert begin_ids_at(folders[kind]) == ((1,) if begins else ())
    assert stock.encode("the river")[0] == 1 or not begins


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("kind", ["begins", "has one, does not begin", "begins and ends"])
def test_a_flag_in_the_configuration_decides_nothing_beside_a_tokenizer_json(tmp_path, kind, flag):
    from transformers import AutoTokenizer

    folder = save_kind(tmp_path, kind, add_bos_token=flag, add_eos_token=not flag)
    ids = AutoTokenizer.from_pretrained(folder).encode("the river")
    assert (ids[0] == 1) == bool(begin_ids_at(folder)) == kind.startswith("begins")


def test_the_shipped_tokenizer_begins_texts_with_nothing():
    assert begin_ids(load_tokenizer(shipped_tokenizer())) == ()
    assert END_OF_TEXT in load_tokenizer(shipped_tokenizer()).get_vocab()
