"""Text that cannot be trained or measured on: one line, exit code 3, and nothing left behind."""

import dataclasses

import pytest

from raydistill.core.errors import DataError
from raydistill.core.serialization import from_json
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.sources import embedded
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.scale import load_scale
from raydistill.storage.store import Store
from support.texts import write_jsonl, write_parquet

TEXT = [
    # flags, part of the error
    ("--corpus no.txt", "no.txt: it must be a .txt, .jsonl or .parquet file or a folder"),
    ("--corpus ./nowhere", "nowhere: it must be a .txt, .jsonl or .parquet file or a folder"),
    ("--corpus ./empty", "no .txt, .jsonl or .parquet file in"),
    ("--corpus c4", "text and tokenizer of 'c4' are not local"),
    ("--scale paper_300m --yes", "text and tokenizer of 'c4' are not local"),
    ("--tasks paper13 --task-data nowhere", "nowhere is no folder"),
    ("--tasks piqa,copa --task-data .", "lacks piqa.jsonl, copa.jsonl; has key.jsonl"),
    ("--corpus no.jsonl", "no.jsonl: it must be a .txt, .jsonl or .parquet file or a folder"),
    ("--corpus no.parquet=1,smoke=1", "no.parquet: it must be a .txt, .jsonl or .parquet"),
    ("--heldout no.txt", "no.txt: it must be a .txt, .jsonl or .parquet file or a folder"),
    ("--corpus line.jsonl", "line.jsonl:1 is not JSON: Expecting value, column 1"),
    ("--corpus key.jsonl", "key.jsonl:1: no key 'text'. Did you mean 'txt'? There are: txt"),
    ("--corpus number.jsonl", "number.jsonl:1: 'text' is 7, it must be a string"),
    ("--corpus key.parquet", "key.parquet: no column 'text'. Did you mean 'txt'?"),
    ("--corpus key.parquet --text-field id", "column 'id' holds int64, it must be strings"),
    ("--corpus owner/name", "no data set 'owner/name': looked for a file or folder /"),
    ("--words no.txt", "no file of words at /"),
    ("--words empty", "no file of words at /"),
    ("--words blank.txt", "blank.txt has no word in it: write a word a line"),
    ("--words key.parquet", "key.parquet is not UTF-8 text: a file of words has a word a line"),
    ("--words other.txt", "other.txt: none of the 3,959 verses of smoke has words"),
    ("--scale laptop --corpus no.txt", "no.txt: it must be a .txt, .jsonl or .parquet file"),
]

BAD_LINES = {"line.jsonl": "text", "key.jsonl": '{"txt": "a"}', "number.jsonl": '{"text": 7}'}
BAD_WORDS = {"blank.txt": "\n--\n", "other.txt": "xyzzy\nplugh\n"}


@pytest.mark.parametrize(("flags", "message"), TEXT, ids=[flags for flags, _ in TEXT])
def test_text_that_is_not_here_is_told_before_anything_starts(
    refused, tmp_path, monkeypatch, flags, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "empty").mkdir()
    for name, line in (BAD_LINES | BAD_WORDS).items():
        (tmp_path / name).write_text(line)
    write_parquet(tmp_path / "key.parquet", ["a"], field="txt")
    code, (_, error) = refused(flags.split())
    assert code == 3
    assert error.count("\n") == 1
    assert message in error


def test_an_empty_text_is_counted(refused, tmp_path):
    (tmp_path / "a.txt").touch()
    code, (_, error) = refused(["--corpus", str(tmp_path / "a.txt")])
    assert code == 3
    assert error.count("\n") == 1
    assert "a.txt needs at least 65 training tokens, has 0" in error


def test_a_text_shorter_than_a_sequence_is_counted(run_sweep, tmp_path):
    (tmp_path / "a.txt").write_text("Seventeen tokens or so.")
    done = run_sweep("where_to_drop", tmp_path / "storage", "--corpus", str(tmp_path / "a.txt"))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "a.txt needs at least 65 training tokens, has 6" in done.stderr
    assert not list(tmp_path.rglob("*.bin"))
    assert not list(tmp_path.glob("storage/*/.*"))


def test_held_out_text_that_repeats_training_text_is_counted(tmp_path):
    chapters = list(embedded.chapters("kjv").values())
    text = write_jsonl(tmp_path / "a.jsonl", chapters[:60])
    heldout = write_jsonl(tmp_path / "h.jsonl", chapters[:24])
    folder = prepare_corpus(str(text), store=Store(tmp_path), heldout=str(heldout))
    (note,) = from_json(CorpusInfo, (folder / "corpus.json").read_text()).notes
    assert "24 of 24 held-out documents repeat 12 words in a row of training text" in note


def test_token_ids_that_the_model_does_not_know_are_refused(tmp_path):
    """A model's vocabulary may be larger than its tokenizer's, never smaller."""
    from raydistill.data.batches import open_tokens  # torch, which no other test here needs

    corpus = prepare_corpus("smoke", store=Store(tmp_path))
    model = load_scale("smoke").model
    assert open_tokens(corpus, dataclasses.replace(model, vocab_size=2050)).num_windows > 0
    with pytest.raises(DataError, match=r"2048 token ids, up to 2047; .* below 2000") as refusal:
        open_tokens(corpus, dataclasses.replace(model, vocab_size=2000))
    assert refusal.value.exit_code == 3
