"""The items of tasks on disk: made from the corpus once, and anew when a task is edited."""

import dataclasses
import json

import pytest

from raydistill.core.errors import DataError, OwnCodeError, UsageError
from raydistill.core.parts import own_errors_named
from raydistill.data.corpus.heldout_documents import read_documents
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.data.sources import embedded
from raydistill.evaluation.scoring import score_key, scores_of
from raydistill.evaluation.task_items import make_items
from raydistill.evaluation.text_tasks import choose_items
from raydistill.planning.custom_model import OWN_TASKS
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import EvalSpec
from raydistill.storage.store import Store


def test_an_unknown_task_is_answered_with_the_nearest(folder, store):
    with pytest.raises(UsageError, match="Did you mean 'last-word'"):
        make_items(["last-wrd"], store=store, folder=folder)


def test_items_made_from_the_corpus_folder_are_those_of_the_text_itself(items):
    _, heldout = embedded.split(("kjv", "bbe"), every=16, heldout=12)
    for name, file in items.items():
        lines = [json.dumps(dataclasses.asdict(item)) for item in choose_items(name, heldout)]
        assert file.read_text().splitlines() == lines


def test_items_are_made_once(folder, store, items):
    before = {name: file.stat().st_mtime_ns for name, file in items.items()}
    assert make_items(OWN_TASKS, store=store, folder=folder) == items
    assert {name: file.stat().st_mtime_ns for name, file in items.items()} == before


NEW_TASK = """
from raydistill.evaluation.text_tasks import shuffled_item
CHOICES, METRIC = 2, "acc"
def candidates(document, neighbours, rng):
    yield shuffled_item(document.unit, document.text[:40], "and", ["{wrong}"], rng)
"""


def test_an_added_task_is_scored_in_a_store_that_has_the_corpus(folder, store, model, own_parts):
    own_parts({"tasks/first_word.py": NEW_TASK.format(wrong="but")})
    spec = EvalSpec(tasks=("first-word",), heldout_windows=16, curve_windows=8)
    scores = scores_of("d" * 64, lambda: model, store=store, folder=folder, spec=spec)
    assert scores.tasks["first-word"].chance == 0.5


def test_an_edited_task_has_new_items_and_new_scores(folder, store, own_parts):
    corpus = store.load(CorpusInfo, "corpora", folder.name, "corpus.json")
    keys, texts = set(), []
    for wrong in ("but", "while"):
        own_parts({"tasks/first_word.py": NEW_TASK.format(wrong=wrong)})
        keys.add(score_key("first-word", corpus, 16))
        made = make_items(["first-word"], store=store, folder=folder)["first-word"]
        texts.append(made.read_text())
    assert len(keys) == 2
    assert '"while"' in texts[1]
    assert texts[0] == texts[1].replace('"while"', '"but"')


def own_corpus(tmp_path, pages):
    """A corpus of so many documents, of which one in 16 is held out."""
    words = "In those days the king of the city counted his ships and gave them to the river."
    text = (f"{words} Day {page:02d} went by. " * 40 for page in range(pages))
    (tmp_path / "a.txt").write_text("\f".join(text))
    store = Store(tmp_path / "store")
    return store, prepare_corpus(str(tmp_path / "a.txt"), store=store, vocab_size=300)


def test_a_corpus_too_short_for_a_task_is_refused_in_one_line(tmp_path):
    store, folder = own_corpus(tmp_path, 32)
    info = store.load(CorpusInfo, "corpora", folder.name, "corpus.json")
    assert info.heldout_documents == 2
    with pytest.raises(DataError) as caught:
        make_items(OWN_TASKS, store=store, folder=folder)
    words = sum(len(document.text.split()) for document in read_documents(folder))
    assert str(caught.value) == (
        "the corpus 'a.txt' has no items for task 'continuation': its held-out text is too short "
        f"({words} words in 2 documents); add text, name other text to measure on with --heldout, "
        "or other --tasks"
    )
    assert not store.path("items").exists()


def test_two_held_out_documents_are_enough_for_a_task_that_needs_no_others(tmp_path, model):
    store, folder = own_corpus(tmp_path, 32)
    spec = EvalSpec(tasks=("word-order",), heldout_windows=16, curve_windows=8)
    scores = scores_of("e" * 64, lambda: model, store=store, folder=folder, spec=spec)
    assert 0 <= scores.tasks["word-order"].value <= 1
    assert scores.nll > 0


ODD = """
from raydistill.api import Item
CHOICES, METRIC = {choices}, {metric}
def candidates(document, neighbours, rng):
    {body}
"""
ITEM = "yield Item(unit=document.unit, context='', choices={}, answer={})"


@pytest.mark.parametrize(
    ("choices", "metric", "body", "message"),
    [
        (2, "'acc'", "raise KeyError(1)", r"tasks/odd\.py:5: KeyError: 1"),
        (2, "'acc'", "return None", "candidates gave NoneType, it must yield items"),
        (2, "'acc'", "yield 'a', 'b'", "candidates yielded tuple, it must be an Item"),
        (2, "'acc'", ITEM.format("('a',)", 0), "an item has 1 choices and the answer 0, it must"),
        (2, "'acc'", ITEM.format("('a', 'b')", 2), "has 2 choices and the answer 2, it must be 2"),
        ("'2'", "'acc'", "yield", "CHOICES is '2', it must be 2 or more"),
        (2, "'f1'", "yield", "METRIC is 'f1', it must be acc or acc_norm"),
    ],
)
def test_a_task_that_gives_no_items_is_named(
    folder, store, own_parts, choices, metric, body, message
):
    own_parts({"tasks/odd.py": ODD.format(choices=choices, metric=metric, body=body)})
    with pytest.raises(OwnCodeError, match=message), own_errors_named():
        make_items(["odd"], store=store, folder=folder)
