"""The items of probes on disk: made once, anew when a probe is edited, none where it cannot be."""

import pytest

from raydistill.core.errors import DataError
from raydistill.data.corpus.heldout_documents import read_documents
from raydistill.data.corpus.preparation import prepare_corpus
from raydistill.evaluation.probing.item_files import (
    TEST_ITEMS,
    TRAIN_ITEMS,
    make_items,
    read_items,
    without_items,
)
from raydistill.specs.evaluation import EvalSpec

SPEC = EvalSpec(tasks=(), heldout_windows=8, curve_windows=2)


def test_items_are_made_once_and_read_as_they_were_made(folder, store):
    file = make_items(["book-kind"], store=store, folder=folder)["book-kind"]
    before = file.stat().st_mtime_ns
    assert make_items(["book-kind"], store=store, folder=folder)["book-kind"] == file
    assert file.stat().st_mtime_ns == before
    items = read_items("book-kind", folder.name, SPEC, store)
    assert items.labels == 5
    assert items.chance == 0.2
    assert TRAIN_ITEMS / 4 < len(items.train) <= TRAIN_ITEMS
    assert 50 < len(items.test) <= TEST_ITEMS
    assert not {item.unit for item in items.train} & {item.unit for item in items.test}


def test_chance_is_that_of_the_labels_in_the_test_part(folder, store, own_parts):
    """A probe of three labels, one of which no held-out document has."""
    names = {document.unit for document in read_documents(folder)}
    own_parts({"probes/numbers.py": LACKING.format(heldout=sorted(names))})
    make_items(["numbers"], store=store, folder=folder)
    items = read_items("numbers", folder.name, SPEC, store)
    assert {item.label for item in items.train} == {0, 1, 2}
    assert {item.label for item in items.test} == {0, 1}
    assert (items.labels, items.chance) == (3, 0.5)


LACKING = """
from raydistill.api import LabelledItem
LABELS, HELDOUT = 3, {heldout}
def candidates(document, others, rng):
    for label in range(2 if document.unit in HELDOUT else 3):
        yield LabelledItem(unit=document.unit, texts=(str(label),), label=label)
"""

PROBE = """
from raydistill.api import LabelledItem
LABELS = 2
def candidates(document, others, rng):
    for label, text in enumerate(("one", "{other}")):
        yield LabelledItem(unit=document.unit, texts=(text,), label=label)
"""


def test_an_edited_probe_has_new_items(folder, store, own_parts):
    files = []
    for other in ("two", "three"):
        own_parts({"probes/numbers.py": PROBE.format(other=other)})
        files.append(make_items(["numbers"], store=store, folder=folder)["numbers"])
    first, second = (file.read_text() for file in files)
    assert first != second == first.replace('"two"', '"three"')


def test_a_probe_that_a_corpus_lacks_is_left_out_there_and_refused_alone(tmp_path, store):
    text = "He counted the small ships of the old city. Then a boy went down to the cold river. "
    (tmp_path / "a.txt").write_text("\f".join(f"{text * 20} Day {n} went by." for n in range(40)))
    folder = prepare_corpus(str(tmp_path / "a.txt"), store=store, vocab_size=300)
    names = ["paraphrase", "acceptability", "verse-order"]
    make_items(names, store=store, folder=folder)
    assert without_items(names, folder.name, store) == ("paraphrase",)
    items = read_items("acceptability", folder.name, SPEC, store)
    assert len(items.test) > 20
    with pytest.raises(DataError) as caught:
        make_items(["paraphrase", "book-kind"], store=store, folder=folder)
    assert str(caught.value) == (
        "the corpus 'a.txt' has no items for probe paraphrase, book-kind: add text, or name other "
        "--probes, or none"
    )
