"""Damaged text is mended, counted and said."""

import json
import logging

import pyarrow

from raydistill.data.corpus.preparation import (
    prepare_corpus,
)
from raydistill.data.tokenizer import load_tokenizer
from raydistill.storage.store import Store
from support.corpora import made
from support.texts import (
    essay,
    essays,
    heldout_texts,
    info_of,
    tokens,
    write_parquet,
)


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


def test_what_had_to_be_mended_is_counted_and_kept(tmp_path, store):
    lines = [json.dumps({"text": text}) for text in essays()]
    lines += ['{"text": "a lone \\ud800 and a pair \\ud83d\\ude00"}']
    lines += ['{"text": "nul \\u0000 here"}', '{"text": " "}']
    lines += [json.dumps({"text": text}) for text in ("", "\u200b\u200d", "\ufeff", "\u00ad")]
    raw = "\r\n".join(lines).encode() + b'\n{"text": "not \xff UTF-8"}\r\n'
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + raw)
    corpus = made(tmp_path / "a.jsonl", store)
    assert info_of(corpus)["notes"][0].endswith(
        "a.jsonl: 1 bytes not UTF-8 replaced, 1 NUL dropped, 1 lone surrogates replaced, "
        "5 empty documents left out"
    )


def test_parquet_that_is_not_utf_8_is_mended(tmp_path, store):
    bad = pyarrow.array([b"not \xff UTF-8", *(text.encode() for text in essays())])
    column = pyarrow.StringArray.from_buffers(len(bad), *bad.buffers()[1:])
    corpus = made(write_parquet(tmp_path / "a.parquet", column), store)
    assert "1 bytes not UTF-8 replaced" in info_of(corpus)["notes"][0]
