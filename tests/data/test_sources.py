"""JSON lines, Parquet, plain text, folders of all, and the hub."""

import json

import pyarrow
import pytest

from raydistill.core.errors import DataError
from raydistill.data.corpus.preparation import (
    check_corpus,
)
from raydistill.data.corpus.request import CorpusRequest, expected_notes
from support.corpora import WRITERS, made, refusal
from support.texts import (
    essay,
    essays,
    info_of,
    write_jsonl,
    write_parquet,
    write_txt,
)


def test_the_same_documents_give_the_same_tokens_in_every_kind(tmp_path, store):
    folders = {
        made(write(tmp_path / f"a{kind}", essays()), store) for kind, write in WRITERS.items()
    }
    assert len(folders) == 1
    assert info_of(folders.pop())["train_documents"] == 38


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_the_text_stands_where_text_field_says(tmp_path, store, kind):
    path = WRITERS[kind](tmp_path / f"a{kind}", essays(), field="body")
    message = refusal(path, store)
    assert "'text'. There are: body, id" in message.replace("no key ", "").replace("no column ", "")
    assert "--text-field" in message
    assert info_of(made(path, store, text_field="body"))["heldout_documents"] == 2


@pytest.mark.parametrize(
    "kind", [pyarrow.large_string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())]
)
def test_every_parquet_type_of_text_is_read(tmp_path, store, kind):
    path = write_parquet(tmp_path / "a.parquet", essays(), kind=kind)
    assert made(path, store) == made(write_txt(tmp_path / "a.txt", essays()), store)


def test_a_folder_may_hold_all_kinds(tmp_path, store):
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    texts = essays(48)
    write_txt(folder / "a.txt", texts[:16])
    write_jsonl(folder / "deep" / "b.jsonl", texts[16:32])
    write_parquet(folder / "deep" / "c.parquet", texts[32:])
    corpus = made(folder, store)
    assert corpus == made(write_jsonl(tmp_path / "all.jsonl", texts), store)


def test_files_of_a_folder_that_are_not_read_are_said(tmp_path, store):
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    write_jsonl(folder / "a.jsonl", essays())
    assert not expected_notes(CorpusRequest(text=str(folder)))
    for name in ("more.jsonl.gz", "rows.json", "UPPER.JSONL", "deep/b.csv", ".hidden"):
        (folder / name).write_text("not read")
    note = (
        "texts: 4 files passed over, no .txt, .jsonl or .parquet file: UPPER.JSONL, deep/b.csv, "
        "more.jsonl.gz, rows.json"
    )
    assert expected_notes(CorpusRequest(text=str(folder))) == [note]
    assert info_of(made(folder, store))["notes"][0] == note


def test_what_is_wrong_with_a_line_is_said_with_file_and_line(tmp_path, store):
    good = json.dumps({"text": essay()})
    cases = {
        '{"text": "a"': "a.jsonl:3 is not JSON",
        "[1]": "a.jsonl:3 is no object with a key 'text'",
        '{"txt": "a"}': "a.jsonl:3: no key 'text'. Did you mean 'txt'? There are: txt",
        '{"text": null}': "a.jsonl:3: 'text' is null, it must be a string",
        '{"text": ["a"]}': "a.jsonl:3: 'text' is [\"a\"], it must be a string",
        "[" * 100_000: "a.jsonl:3 is not JSON",
    }
    for line, message in cases.items():
        (tmp_path / "a.jsonl").write_text(f"{good}\n\n{line}\n{good}\n")
        assert message in refusal(tmp_path / "a.jsonl", store)


def test_what_is_wrong_with_a_parquet_file_is_said(tmp_path, store):
    path = tmp_path / "a.parquet"
    path.write_text("no such thing")
    assert f"{path} is not Parquet that can be read" in refusal(path, store)
    write_parquet(path, [essay(), None])
    assert f"{path}, row 2: 'text' is null, it must be a string" in refusal(path, store)
    write_parquet(path, [1, 2])
    assert "column 'text' holds int64, it must be strings" in refusal(path, store)


def test_a_data_set_of_the_hub_without_network_says_what_was_looked_for(monkeypatch, store):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for attempt in (
        lambda: check_corpus(CorpusRequest(text="owner/name")),
        lambda: made("a/b", store),
    ):
        with pytest.raises(DataError) as caught:
            attempt()
        message = str(caught.value)
        assert message.startswith("no data set ")
        assert "looked for a file or folder /" in message
        assert "at the Hugging Face hub" in message
        assert "\n" not in message
