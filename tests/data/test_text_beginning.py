"""What texts begin with, beside transformers' own reading of the same folders."""

import json

import pytest

from raydistill.data.text_beginning import CLASS_BOS, begin_ids, begin_ids_at, first_token
from raydistill.data.tokenizer import END_OF_TEXT, load_tokenizer, shipped_tokenizer
from support.tokenizer_kinds import BEGIN, END, KINDS, save_kind


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: save_kind(tmp_path_factory.mktemp("kind"), kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_begins_as_with_transformers(folders, kind):
    from transformers import AutoTokenizer

    stock = AutoTokenizer.from_pretrained(folders[kind])
    begins = kind in ("begins", "begins and ends", "first", "always", "prepend")
    assert begin_ids_at(folders[kind]) == ((1,) if begins else ())
    assert stock.encode("the river")[0] == 1 or not begins
    hflm = stock.eos_token if stock.bos_token is None else stock.bos_token
    assert (first_token(folders[kind]) or END) == hflm


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("kind", ["begins", "has one, does not begin", "begins and ends"])
def test_a_flag_in_the_configuration_decides_nothing_beside_a_tokenizer_json(tmp_path, kind, flag):
    from transformers import AutoTokenizer

    folder = save_kind(tmp_path, kind, add_bos_token=flag, add_eos_token=not flag)
    ids = AutoTokenizer.from_pretrained(folder).encode("the river")
    assert (ids[0] == 1) == bool(begin_ids_at(folder)) == kind.startswith("begins")


def configured(folder, **settings):
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    return folder


def test_a_bos_token_may_be_written_with_its_flags(tmp_path):
    folder = save_kind(tmp_path, "has none", bos_token={"content": BEGIN, "lstrip": False})
    assert first_token(folder) == BEGIN


@pytest.mark.parametrize("listed", [True, False])
def test_an_older_file_names_special_tokens_unless_the_configuration_lists_them(tmp_path, listed):
    from transformers import AutoTokenizer

    folder = save_kind(tmp_path, "has none", **({"added_tokens_decoder": {}} if listed else {}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": {"content": BEGIN}}))
    stock = AutoTokenizer.from_pretrained(folder)
    assert first_token(folder) == (stock.bos_token or "") == ("" if listed else BEGIN)


def test_a_class_brings_its_own_bos_token_unless_the_configuration_says_none(tmp_path):
    folder = save_kind(tmp_path, "has none")
    assert (
        first_token(configured(folder, tokenizer_class="LlamaTokenizerFast", eos_token=END))
        == (CLASS_BOS["LlamaTokenizer"])
    )
    named = {"tokenizer_class": "LlamaTokenizer", "eos_token": END, "bos_token": None}
    assert first_token(configured(folder, **named)) == ""
    # Gemma's is none of this vocabulary.
    assert first_token(configured(folder, tokenizer_class="GemmaTokenizer", eos_token=END)) == ""


@pytest.mark.parametrize("name", CLASS_BOS)
def test_the_bos_token_of_a_class_is_that_of_transformers(name):
    import transformers

    assert str(getattr(transformers, name)().bos_token) == CLASS_BOS[name]


def test_a_bare_tokenizer_begins_with_what_it_puts_before_texts(folders):
    (folders["begins"] / "tokenizer_config.json").rename(folders["begins"] / "away.json")
    try:
        assert first_token(folders["begins"]) == BEGIN
    finally:
        (folders["begins"] / "away.json").rename(folders["begins"] / "tokenizer_config.json")


def test_one_token_for_both_is_named_only_where_it_is_put_before_texts(tmp_path):
    folder = save_kind(tmp_path, "begins", bos_token=END)
    assert first_token(folder) == END
    assert first_token(save_kind(tmp_path / "other", "one token for both")) == ""


def test_the_shipped_tokenizer_begins_texts_with_nothing():
    assert begin_ids(load_tokenizer(shipped_tokenizer())) == ()
    assert first_token(shipped_tokenizer()) == ""
    assert first_token(shipped_tokenizer().parent) == ""
    assert END_OF_TEXT in load_tokenizer(shipped_tokenizer()).get_vocab()
