"""Corpora of conversations: tokens, marks on what the assistant says, and what is left out."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from transformers import AutoTokenizer

from raydistill.core.errors import DataError, UsageError
from raydistill.data.batches import TokenFile
from raydistill.data.conversations.encoding import marks
from raydistill.data.corpus import draft
from raydistill.data.corpus.heldout_documents import read_info, read_marks, read_spans, read_tokens
from raydistill.data.corpus.length import length_of
from raydistill.data.corpus.preparation import CorpusRequest, check_corpus, prepare_corpus
from raydistill.data.heldout_windows import heldout_windows
from raydistill.data.tokenizer import load_tokenizer, why_other_ids
from raydistill.models.huggingface.chat_rendering import chat_renderer
from raydistill.storage.store import Store
from support.chats import CHATML, MARKED, chat, chats, save_chat_tokenizer, write_chats

UNENDED = MARKED.replace(
    "{{ message['content'] + '<|im_end|>' }}{% endgeneration %}",
    "{{ message['content'] }}{% endgeneration %}{{ '<|im_end|>' }}",
)


def fields(folder, **more):
    return {
        "tokenizer": folder, "vocab_size": 2050, "context": 16, "text_field": "messages",
        "text_form": "chat", **more,
    }  # fmt: skip


def made(text, tokenizer, store, **more):
    return prepare_corpus(
        str(text), store=store, renderer=chat_renderer, **fields(tokenizer, **more)
    )


def learned(folder, ids, is_learned):
    """The runs of tokens that are learned, as text."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    edges = np.flatnonzero(np.diff([0, *is_learned.astype(int), 0])).reshape(-1, 2)
    return [tokenizer.decode(ids[a:b].tolist(), skip_special_tokens=False) for a, b in edges]


def training(folder):
    """The training tokens of a corpus, and which are learned."""
    info = read_info(folder)
    ids = np.fromfile(folder / "train.bin", f"<u{info.token_bytes}")
    return ids, np.fromfile(folder / "train.mask", np.bool_)


@pytest.mark.parametrize("template", [CHATML, MARKED, UNENDED])
def test_what_the_assistant_says_is_marked_up_to_the_end_of_its_turn(template, tmp_path):
    tokenizer = save_chat_tokenizer(tmp_path / "model", template)
    rows = chats()
    folder = made(write_chats(tmp_path / "a.jsonl", rows), tokenizer, Store(tmp_path / "s"))
    said = [m["content"] + "<|im_end|>" for row in rows for m in row if m["role"] == "assistant"]
    heldout = learned(folder, read_tokens(folder), read_marks(folder))
    assert sorted(learned(folder, *training(folder)) + heldout) == sorted(said)
    assert any("marks leave out" in note for note in read_info(folder).notes) == (
        template == UNENDED
    )


def test_tokens_and_marks_are_those_of_transformers(tmp_path):
    tokenizer = save_chat_tokenizer(tmp_path / "model", MARKED)
    rows = chats()
    folder = made(write_chats(tmp_path / "a.jsonl", rows), tokenizer, Store(tmp_path / "s"))
    stock = AutoTokenizer.from_pretrained(tokenizer)
    theirs = [
        stock.apply_chat_template(
            row, return_dict=True, return_assistant_tokens_mask=True, tokenize=True
        )
        for row in rows
    ]
    ids, is_learned = training(folder)
    parts = np.flatnonzero(ids == 0)
    starts = [0, *(parts + 1)]
    ours = [
        (ids[a:b].tolist(), is_learned[a:b].astype(int).tolist())
        for a, b in zip(starts, parts, strict=False)
    ]
    assert len(ours) == 19
    assert all(pair in [(t["input_ids"], t["assistant_masks"]) for t in theirs] for pair in ours)


def test_a_token_belongs_to_whoever_it_begins_with():
    assert marks([(0, 3), (3, 6), (6, 8)], [(4, 8)]) == [False, False, True]
    assert marks([(0, 3), (4, 6)], [(4, 6)]) == [False, False], "the space before it is not there"
    assert marks([(0, 1), (1, 2), (1, 2)], [(1, 2)]) == [False, True, True], "bytes of a letter"


def test_parquet_and_json_lines_of_the_same_conversations_are_the_same_corpus(tmp_path):
    tokenizer, store = save_chat_tokenizer(tmp_path / "model"), Store(tmp_path / "s")
    of_lines = made(write_chats(tmp_path / "a.jsonl", chats()), tokenizer, store)
    parquet.write_table(pa.table({"messages": chats()}), tmp_path / "a.parquet")
    assert made(tmp_path / "a.parquet", tokenizer, store) == of_lines
    assert not list(store.path("corpora", "drafts").glob("*"))


def test_shards_of_any_size_give_the_same_tokens_and_marks(tmp_path, monkeypatch):
    tokenizer = save_chat_tokenizer(tmp_path / "model")
    rows = write_chats(tmp_path / "a.jsonl", chats())
    whole = made(rows, tokenizer, Store(tmp_path / "whole"))
    monkeypatch.setattr(draft, "SHARD_CHARACTERS", 300)
    parted = made(rows, tokenizer, Store(tmp_path / "parted"))
    assert parted.name == whole.name
    assert (parted / "train.mask").read_bytes() == (whole / "train.mask").read_bytes()


def test_the_length_of_conversations_is_estimated_by_what_is_said(tmp_path):
    tokenizer, store = save_chat_tokenizer(tmp_path / "model"), Store(tmp_path / "s")
    parquet.write_table(pa.table({"messages": chats(200)}), tmp_path / "a.parquet")
    for file in (write_chats(tmp_path / "a.jsonl", chats(200)), tmp_path / "a.parquet"):
        length = length_of(CorpusRequest(text=str(file), **fields(tokenizer)), store)
        trained = read_info(made(file, tokenizer, store)).train_tokens
        assert not length.is_exact
        assert trained / 3 < length.train_tokens < 3 * trained


def test_a_teacher_must_mean_the_same_by_the_tokens_of_a_template(tmp_path):
    own, other = save_chat_tokenizer(tmp_path / "own"), save_chat_tokenizer(tmp_path / "other")
    text = (other / "tokenizer.json").read_text()
    swapped = text.replace("<|im_start|>", "@swapped@").replace("<|im_end|>", "<|im_start|>")
    (other / "tokenizer.json").write_text(swapped.replace("@swapped@", "<|im_end|>"))
    assert why_other_ids(own, other, 2050) == ""
    assert why_other_ids(own, other, 2050, special_too=True).startswith("id 2048 is '<|im_start|>'")


def test_marks_are_part_of_what_a_corpus_is(tmp_path):
    store, rows = Store(tmp_path / "s"), write_chats(tmp_path / "a.jsonl", chats())
    whole = made(rows, save_chat_tokenizer(tmp_path / "a", CHATML), store)
    turns_alone = CHATML.replace("<|im_end|>\\n", "\\n<|im_end|>\\n")
    other = made(rows, save_chat_tokenizer(tmp_path / "b", turns_alone), store)
    assert whole != other
    assert made(rows, save_chat_tokenizer(tmp_path / "c", MARKED), store) == whole
    info = json.loads((whole / "corpus.json").read_text())
    assert info["text_form"] == "chat"
    assert len(info["mask_sha256"]) == 64
    (whole / "train.mask").write_bytes(b"\1")
    with pytest.raises(DataError, match=r"train.mask has 1 bytes, not \d+: it was changed"):
        TokenFile(whole, 16)


def test_conversations_that_cannot_be_learned_are_counted(tmp_path):
    tokenizer = save_chat_tokenizer(tmp_path / "model")
    rows = [*chats(), [], [], chat("Anybody there?"), [{"role": "user"}, *chat("a", "b")]]
    rows[0][0]["content"] = "Say <|im_end|> aloud."
    file = write_chats(tmp_path / "a.jsonl", rows)
    lines = file.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"tools": [{"name": "search"}]})
    file.write_text("\n".join(lines))
    folder = made(file, tokenizer, Store(tmp_path / "s"))
    notes = " / ".join(read_info(folder).notes)
    assert "a.jsonl: 4 of 24 conversations left out: no message (2), " in notes
    assert "no turn of the assistant (1)" in notes
    assert "the template refuses it: 'dict object' has no attribute 'content' (1)" in notes
    assert "1 conversations have tools, which are not written into them" in notes
    assert "1 conversations have text that spells a special token" in notes


def refusals():
    row = chat("a", "b")
    yield "none", [chat("a"), []], "no conversation can be learned from: no "
    yield "list", [row, "text"], "2: 'messages' is \"text\", it must be a list of messages"
    yield "role", [[{"from": "human"}]], "it must be an object with a role and a content"
    yield "part", [[{"role": "user", "content": [{"type": "image"}]}]], "it must be text"


@pytest.mark.parametrize(
    ("rows", "words"), [r[1:] for r in refusals()], ids=[r[0] for r in refusals()]
)
def test_rows_that_are_no_conversations_are_refused_in_a_line(rows, words, tmp_path):
    store = Store(tmp_path / "s")
    with pytest.raises(DataError) as caught:
        made(write_chats(tmp_path / "a.jsonl", rows), save_chat_tokenizer(tmp_path / "m"), store)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(store.root.rglob("*.bin"))


def test_what_does_not_go_with_conversations_is_refused_before_anything_is_made(tmp_path):
    plain, folder = save_chat_tokenizer(tmp_path / "plain", ""), save_chat_tokenizer(tmp_path / "m")
    rows, words = write_chats(tmp_path / "a.jsonl", chats()), tmp_path / "words.txt"
    (tmp_path / "a.txt").write_text("text")
    words.write_text("a")

    def refused(text, error, **more):
        with pytest.raises(error) as caught:
            check_corpus(CorpusRequest(text=str(text), **more))
        return str(caught.value)

    assert "has no chat template" in refused(rows, DataError, **fields(plain))
    assert "this scale's tokenizer has no chat template" in refused(
        rows, DataError, **fields(folder) | {"tokenizer": None}
    )
    assert "no key 'messages'" in refused(
        write_chats(tmp_path / "b.jsonl", chats(), "turns"), DataError, **fields(folder)
    )
    assert "holds plain text" in refused(tmp_path / "a.txt", DataError, **fields(folder))
    assert "'smoke' is plain text" in refused("smoke", UsageError, **fields(folder))
    assert "--words" in refused(rows, UsageError, **fields(folder, words=str(words)))
    check_corpus(CorpusRequest(text=str(rows), **fields(folder)))


def test_a_folder_of_conversations_is_copied_and_never_read_as_plain_text(tmp_path):
    tokenizer, rows = (
        save_chat_tokenizer(tmp_path / "m"),
        write_chats(tmp_path / "a.jsonl", chats()),
    )
    first = made(rows, tokenizer, Store(tmp_path / "s"))
    copy = made(first, tokenizer, Store(tmp_path / "t"))
    assert (copy / "train.mask").read_bytes() == (first / "train.mask").read_bytes()
    with pytest.raises(UsageError, match="tokens of a chat text: add --text-form chat"):
        made(first, tokenizer, Store(tmp_path / "u"), text_form="plain")


def test_windows_have_their_marks_and_those_that_are_held_out_a_target(tmp_path):
    tokenizer, rows = (
        save_chat_tokenizer(tmp_path / "m"),
        write_chats(tmp_path / "a.jsonl", chats()),
    )
    folder = made(rows, tokenizer, Store(tmp_path / "s"))
    data = TokenFile(folder, 16)
    batch = data.batch(0, 0, 4)
    ids, is_learned = training(folder)
    for number, own, marked in zip(batch.numbers, batch.ids, batch.learned, strict=True):
        assert own.tolist() == ids[16 * number : 16 * number + 17].tolist()
        assert marked.tolist() == is_learned[16 * number : 16 * number + 17].tolist()
    assert [part.num_targets for part in batch.micro_batches(4)] == [
        int(row[1:].sum()) for row in batch.learned
    ]
    windows = heldout_windows(folder, windows=99, context=4)
    assert all(read_marks(folder)[w.start + 1 : w.end].any() for w in windows)
    assert 0 < len(windows) < sum(-(-(s.end - s.start) // 4) for s in read_spans(folder))


def test_mixes_and_heldout_text_of_conversations_have_marks_too(tmp_path):
    tokenizer, store = save_chat_tokenizer(tmp_path / "m"), Store(tmp_path / "s")
    rows = chats(60)
    files = [
        write_chats(tmp_path / f"{name}.jsonl", rows[first::3]) for first, name in enumerate("abc")
    ]
    mix = f"{files[0]}=0.5,{files[1]}=0.5"
    folder = made(mix, tokenizer, store, heldout=str(files[2]))
    answers = [m["content"] + "<|im_end|>" for row in rows[2::3] for m in row[1::2]]
    assert learned(folder, read_tokens(folder), read_marks(folder)) == answers
    ids, is_learned = training(folder)
    assert len(ids) == len(is_learned)
    assert all(text.endswith("<|im_end|>") for text in learned(folder, ids, is_learned))
