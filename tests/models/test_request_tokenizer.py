"""A checkpoint's tokenizer beside transformers' own `AutoTokenizer` on the same folder."""

import json
import shutil

import pytest

from raydistill.core.errors import DataError
from raydistill.data.text_beginning import begin_ids
from raydistill.models.huggingface.request_tokenizer import read_tokenizer, reading_of
from support.tokenizer_kinds import BEGIN, END, KINDS

TEXTS = (
    "the river", " the river", "the old  river \n man", "\n\nthe 123 4567, men's", "é ü 漢字 ?",
    f"{BEGIN} the", f"the{END} river", "Ann's I'LL word-word ...", "the\tword  ", "e\u0301 ﬁ ²",
)  # fmt: skip
CLASSES = (
    "PreTrainedTokenizerFast", "LlamaTokenizer", "LlamaTokenizerFast", "GemmaTokenizer",
    "GPT2Tokenizer", "GPTNeoXTokenizerFast", "Qwen2Tokenizer", "CohereTokenizer",
    "CodeLlamaTokenizer", "BloomTokenizerFast", "Unheard", None,
)  # fmt: skip
SETTINGS = (
    {}, {"add_bos_token": True}, {"add_bos_token": False}, {"add_prefix_space": True},
    {"add_prefix_space": False}, {"legacy": True}, {"legacy": False},
)  # fmt: skip
TYPES = ("llama", "mistral", "qwen2", "gpt_neox", "gemma3_text")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The tokenizer.json of each kind."""
    folder = tmp_path_factory.mktemp("files")
    files = {kind: folder / f"{number}.json" for number, kind in enumerate(KINDS)}
    for kind, file in files.items():
        KINDS[kind][0]().save(str(file))
    return files


@pytest.fixture
def folder_of(files, tmp_path):
    """`folder_of(kind, model_type, **settings)`: a checkpoint, as far as its tokenizer goes."""

    def make(kind, model_type="llama", folder=tmp_path, **settings):
        shutil.copyfile(files[kind], folder / "tokenizer.json")
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        return folder

    return make


def read(folder):
    return read_tokenizer(folder / "tokenizer.json", reading_of(folder))


def assert_as_stock(folder):
    from transformers import AutoTokenizer

    stock, ours = AutoTokenizer.from_pretrained(folder), read(folder)
    begin = list(begin_ids(ours.tokenizer))
    for text in TEXTS:
        ids = begin + ours.tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == stock.encode(text)[: len(ids)], (text, type(stock))
        assert set(stock.encode(text)[len(ids) :]) <= {stock.eos_token_id}
    first = stock.bos_token if stock.bos_token_id is not None else stock.eos_token
    assert ours.first_token in (first, "")
    return stock, ours


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("kind", ["begins", "has none", "first", "prepend"])
def test_every_class_reads_a_file_as_in_transformers(folder_of, kind, name):
    named = {"tokenizer_class": name} if name else {}
    for model_type in TYPES:
        for settings in SETTINGS if model_type == "llama" else SETTINGS[:1]:
            tokens = {"eos_token": END, "bos_token": KINDS[kind][1]}
            assert_as_stock(folder_of(kind, model_type, **tokens, **named, **settings))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_every_kind_is_read_as_it_is_by_the_plain_class(folder_of, kind):
    tokens = {"eos_token": END, "bos_token": KINDS[kind][1]}
    _, ours = assert_as_stock(folder_of(kind, tokenizer_class="PreTrainedTokenizerFast", **tokens))
    assert ours.unlike_file == ""
    assert ours.first_token == (KINDS[kind][1] or END)


def test_a_class_that_reads_otherwise_than_the_file_is_named(folder_of):
    def unlike(kind, name, **settings):
        return read(folder_of(kind, tokenizer_class=name, eos_token=END, **settings)).unlike_file

    assert unlike("has none", "GPT2Tokenizer") == ""
    assert unlike("has none", "GPT2Tokenizer", add_prefix_space=True) == "GPT2Tokenizer"
    assert unlike("has none", "GemmaTokenizer") == "GemmaTokenizer"
    assert unlike("begins", "GPTNeoXTokenizer") == "GPTNeoXTokenizer", "which begins no texts"
    assert unlike("first", "LlamaTokenizerFast") == ""
    assert unlike("prepend", "LlamaTokenizer", bos_token=BEGIN) == "LlamaTokenizer"


def test_some_ids_of_the_hub_are_read_as_their_file_says(folder_of, tmp_path):
    settings = {"tokenizer_class": "LlamaTokenizer", "eos_token": END, "bos_token": BEGIN}
    for name, unlike in (("deepseek-ai--DeepSeek-Coder-1.3b", ""), ("a--b", "LlamaTokenizer")):
        folder = tmp_path / f"models--{name}" / "snapshots" / "0123"
        folder.mkdir(parents=True)
        assert read(folder_of("prepend", folder=folder, **settings)).unlike_file == unlike


@pytest.mark.parametrize("name", ["BioGptTokenizer", "GPTSw3Tokenizer"])
def test_a_class_that_reads_other_files_is_refused(folder_of, name):
    with pytest.raises(DataError, match=f"{name}, which takes no tokenizer.json: .*Fast"):
        read(folder_of("begins", tokenizer_class=name, eos_token=END))


def test_what_transformers_cannot_read_at_all_is_read_by_its_file(folder_of):
    from transformers import AutoTokenizer

    folder = folder_of("begins", tokenizer_class="T5Tokenizer", eos_token=END)
    with pytest.raises(Exception):  # noqa: B017, PT011  (of tokenizers, a bare one)
        AutoTokenizer.from_pretrained(folder)
    assert read(folder) is None


def test_a_bos_token_may_be_written_with_its_flags(folder_of):
    settings = {"eos_token": END, "bos_token": {"content": BEGIN, "lstrip": False}}
    settings["bos_token"]["__type"] = "AddedToken"
    assert assert_as_stock(folder_of("has none", **settings))[1].first_token == BEGIN


@pytest.mark.parametrize("listed", [True, False])
def test_an_older_file_names_special_tokens_unless_the_configuration_lists_them(folder_of, listed):
    settings = {"eos_token": END, "tokenizer_class": "PreTrainedTokenizerFast"}
    folder = folder_of("has none", **settings, **({"added_tokens_decoder": {}} if listed else {}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": {"content": BEGIN}}))
    assert assert_as_stock(folder)[1].first_token == (END if listed else BEGIN)


def test_a_class_brings_its_own_bos_token_unless_the_configuration_says_none(folder_of):
    def first(kind, name, **settings):
        folder = folder_of(kind, tokenizer_class=name, eos_token=END, **settings)
        return assert_as_stock(folder)[1].first_token

    assert first("first", "LlamaTokenizerFast") == BEGIN
    assert first("first", "LlamaTokenizer", bos_token=None) == END
    assert first("first", "GemmaTokenizer") == "", "<bos> is none of this vocabulary"


def test_a_reading_is_short_and_names_no_path(folder_of):
    """Thousands of tokens that are listed twice are not carried along, nor are templates."""
    listed = json.loads((folder_of("begins") / "tokenizer.json").read_text())["added_tokens"]
    told = {str(token.pop("id")): token for token in listed}
    settings = {"eos_token": END, "bos_token": BEGIN, "tokenizer_class": "LlamaTokenizerFast"}
    carried = {"added_tokens_decoder": told, "chat_template": "{{ x }}", "name_or_path": "/home/x"}
    short = reading_of(folder_of("begins", **settings, **carried))
    assert len(short) < 200
    assert read(folder_of("begins", **settings, **carried)).tokenizer.to_str() == (
        read_tokenizer(folder_of("begins") / "tokenizer.json", short).tokenizer.to_str()
    )
    told["1"]["rstrip"] = True
    assert '"rstrip": true' in reading_of(folder_of("begins", **settings, **carried))
    assert_as_stock(folder_of("begins", **settings, **carried))


def test_settings_that_are_no_json_are_refused(folder_of):
    folder = folder_of("begins")
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(DataError, match=r"tokenizer_config.json is not JSON"):
        reading_of(folder)
