"""A part is what its file computes; those that the package ships keep their names in storages."""

import contextlib
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import raydistill
from raydistill.core.errors import DataError, UsageError
from raydistill.core.parts import (
    EXCERPT,
    KINDS,
    LOSS,
    MODEL_FAMILY,
    SCORE,
    TASK,
    PartKind,
    part_file,
    part_names,
    shared_file,
)
from raydistill.specs.part_identity import SHIPPED, code_digest, own_parts

PLAIN = """
import math
from shapes.base import area

def corners(n):
    return [math.sqrt(area(i)) for i in range(n)]
"""
BASE = "from shapes import unit\ndef area(n): return n * unit.ONE"


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """Writes the parts of a folder `shapes`; gives the digest of `square`."""
    folder = tmp_path / "shapes"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    (folder / "base.py").write_text(BASE)
    (folder / "unit.py").write_text("ONE = 1")
    (folder / "other.py").write_text("class Other: pass")

    def digest(square=PLAIN, *, shared="", **others):
        for name, text in {"square": square, **others}.items():
            (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return code_digest(PartKind("shapes", "shape", shared=shared), "square")

    yield digest
    sys.modules.pop("shapes", None)


@pytest.mark.parametrize(
    "rewritten",
    [
        PLAIN.replace("import math", "# by hand\nimport math"),
        PLAIN.replace("import math", '"""A square."""\nimport math\nimport json as json'),
        PLAIN.replace("(n):", '(n):\n    """Of\n    it."""').replace("[math", "[\n  math"),
        PLAIN.replace("def corners", 'u"A note."\n\n\n\ndef corners'),
        PLAIN.replace("from shapes.base", "from .base"),
        PLAIN.replace("import math", "import numpy.ma, moved.math"),
        PLAIN.replace("    return", "    import math\n    pass\n    return"),
        PLAIN + "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .other import Other",
    ],
)
def test_imports_comments_docstrings_and_formatting_are_not_the_part(shapes, rewritten):
    assert rewritten != PLAIN
    assert shapes(rewritten) == shapes(PLAIN)


@pytest.mark.parametrize(
    "edited",
    [
        {"square": PLAIN.replace("range(n)", "range(n + 1)")},
        {"square": PLAIN.replace("i in", "j in")},
        {"square": PLAIN.replace("import area", "import volume as area")},
        {"square": PLAIN + "\nif not TYPE_CHECKING:\n    corners = None"},
        {"base": "from shapes import unit\ndef area(n): return n * n * unit.ONE"},
        {"unit": "ONE = 2"},
    ],
)
def test_code_is_the_part_and_so_is_that_of_the_parts_it_uses(shapes, edited):
    assert shapes(**edited) != shapes(PLAIN, base=BASE, unit="ONE = 1")


def test_a_part_that_is_not_used_counts_for_nothing(shapes):
    assert shapes(other="class Other:\n    sides = 4") == shapes()


def test_the_code_of_the_package_counts_only_where_its_kind_says_so(shapes):
    assert shapes(all="") == shapes(all="SIDES = 4")
    assert shapes(all="", shared="shapes.all") != shapes(all="SIDES = 4", shared="shapes.all")


def test_a_part_in_a_folder_is_all_files_of_it_and_the_parts_that_these_use(shapes, tmp_path):
    def folder(inner="from ..base import area\nSIDES = 4"):
        shapes()
        (tmp_path / "shapes" / "square.py").unlink()
        own = tmp_path / "shapes" / "square"
        own.mkdir(exist_ok=True)
        (own / "__init__.py").write_text("from .inner import SIDES, area")
        (own / "inner.py").write_text(inner)
        return code_digest(PartKind("shapes", "shape"), "square")

    plain = folder()
    assert folder(inner="from ..base import area\nSIDES = 5") != plain
    assert folder() == plain
    (tmp_path / "shapes" / "base.py").write_text("def area(n): return 2 * n")
    assert code_digest(PartKind("shapes", "shape"), "square") != plain


def test_parts_that_use_each_other_have_an_identity(shapes):
    assert shapes(base="from shapes.square import corners\narea = corners") != shapes(base=BASE)


def test_a_file_that_is_not_python_is_told_in_one_line(shapes):
    with pytest.raises(DataError, match=r"square\.py is not Python: .*line 1"):
        shapes("def corners(:")


def test_a_part_whose_file_is_gone_has_no_identity_and_can_still_be_shown():
    assert own_parts([(LOSS, "gone"), (LOSS, "kd")]) == {}
    with pytest.raises(UsageError, match="no loss 'gone'"):
        code_digest(LOSS, "gone")


@pytest.mark.parametrize("part", SHIPPED)
def test_shipped_parts_keep_their_names_in_storages(part):
    kind, name = part.split()
    digest = code_digest({each.name: each for each in KINDS}[kind], name)
    assert SHIPPED[part].code == digest, (
        f"the code of {part} has changed. If it computes what it did before, write the digest "
        f'"{digest}" into SHIPPED of specs/part_identity.py: old results are then still its own. '
        "If it computes something else, write it there a second time, as the identity too."
    )


IDS = """
import json, sys
from dataclasses import replace
from raydistill.pruning.layer_choice import LayerRequest, layer_choice_path
from raydistill.evaluation.scoring import score_key
from raydistill.core.parts import SCORE, TASK, part_names
from raydistill.training.throughput import probe_path
from raydistill.specs.model import *
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.trial import *

model = ModelConfig(family="palm", num_layers=6, dim=16, num_heads=2, vocab_size=32, context=8)
recipe = Recipe(peak_lr=0.1, budget_tokens=64, batch_tokens=16, micro_batches=1, warmup_tokens=16)
train = TrainSpec(recipe=recipe, loss="lm", seed=1, corpus_sha256="c", tokenizer_sha256="t")
base = ExternalBase(name="laptop", revision="80B", weights_sha256="w", family="palm")
hub = replace(base, family="hub")
plan = DropPlan(drops=(LayerDrop(at_tokens=16, layer=1), LayerDrop(at_tokens=32, layer=4)))
lm = TrialSpec(base=base, plan=plan, train=train)
kd = replace(lm, train=replace(train, loss="kd+temperature=2"), teacher=base)
young = PretrainedBase(model=model, train=train, age_tokens=16)
corpus = CorpusInfo(
    name="", corpus_sha256="c", tokenizer_sha256="t", vocab_size=1, token_bytes=2, train_tokens=1,
    heldout_tokens=1, train_documents=1, heldout_documents=1,
)
trials = {
    "lm": lm,
    "kd": kd,
    "minima": replace(kd, train=replace(train, loss="minima")),
    "hub": replace(lm, base=hub),
    "cached": replace(kd, teacher=CachedTeacher(base=base, excerpt="top-k-tail=32")),
    "cached young": replace(kd, teacher=CachedTeacher(base=young, excerpt="top-k-tail=32")),
    "scratch": replace(lm, base=RandomBase(model=model, seed=1), plan=DropPlan()),
    "young": replace(lm, base=young),
}
layers = [LayerRequest(score=s, count=2, allow_ends=s == "greedy") for s in part_names(SCORE)]
ids = {
    **{name: spec.trial_id for name, spec in trials.items()},
    **{request.score: layer_choice_path("w", "c", request)[-1] for request in layers},
    **{task: score_key(task, corpus, 16) for task in part_names(TASK)},
    "probe": probe_path(model, recipe)[-1],
    "heavy": sorted({"torch", "numpy", "lm_eval"} & set(sys.modules)),
}
print(json.dumps(ids))
"""
ANSWERS = """
import json
from raydistill.distillation.answer_files import WrittenSpec

keys = {
    excerpt: WrittenSpec(
        teacher_sha256="t", corpus_sha256="c", tokenizer_sha256="k", context=8, vocab_size=32,
        excerpt=excerpt, size=6,
    ).key
    for excerpt in ("threshold", "top-k-tail")
}
print(json.dumps(keys))
"""

FIRST = {
    "lm": "4cfd6577eac8ffb3",
    "hub": "4cfd6577eac8ffb3",
    "kd": "e2c0f3315a627e06",
    "minima": "ba774b92a3abedb2",
    "cached": "26e8f1f00a0e0924",
    "cached young": "4c22d8328e87f010",
    "scratch": "adc3dc06cdf9b33a",
    "young": "9116ba9aa4c8cbe9",
    "angular-distance": "angular-distance-2-534a4dfcd056b9bf.json",
    "angular-distance-last": "angular-distance-last-2-16801b854526287b.json",
    "block-influence": "block-influence-2-5d80e840ccf65b70.json",
    "greedy": "greedy-2-ends-68c46a268b765fea.json",
    "loss-increase": "loss-increase-2-e5644ef82c5b75f5.json",
    "continuation": "continuation-9c48bf2597ac98a4",
    "last-word": "last-word-69d4faddde689c6f",
    "word-order": "word-order-4c6268fb641345e6",
    "probe": "d7acc41014dfd713.json",
    "heavy": [],
}
"""As they stand in storages that were made before identities were digests of code."""
FIRST_ANSWERS = {"threshold": "6f9337f582adb6cf", "top-k-tail": "ddf538bed7d773c0"}
MEASURED = set(part_names(SCORE)) | set(part_names(TASK))
"""On weights that a family computes with."""


def ids_of(folder, code=IDS):
    """The ids that a package in `folder` gives, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], env={"PYTHONPATH": str(folder)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@contextlib.contextmanager
def edited(copied, file, old, new):
    """The copy with `new` for `old` in a file."""
    own = copied / file.relative_to(PACKAGE.parent)
    text = own.read_text()
    assert old in text
    own.write_text(text.replace(old, new))
    try:
        yield
    finally:
        own.write_text(text)


PACKAGE = Path(raydistill.__file__).parent


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A user's own copy of the package."""
    folder = tmp_path_factory.mktemp("copied")
    ignored = shutil.ignore_patterns("bases", "__pycache__")
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=ignored)
    return folder


def test_shipped_parts_give_the_ids_of_old_storages(copied):
    assert ids_of(copied) == FIRST


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        (part_file(LOSS, "kd"), "kl: float = ", "kl: float = 5 * ",
         {"kd", "minima", "cached", "cached young"}),
        (part_file(LOSS, "minima"), "0.5", "0.25", {"minima"}),
        (part_file(LOSS, "lm"), "return ", "return 2 * ",
         {"lm", "hub", "scratch", "young", "cached young"}),
        (shared_file(LOSS), "VOCABULARY_CHUNK = ", "VOCABULARY_CHUNK = 0 or ",
         {"lm", "hub", "kd", "minima", "cached", "scratch", "young", "cached young"}),
        (part_file(EXCERPT, "top-k-tail"), "return ", "return 0 or ", {"cached", "cached young"}),
        (part_file(MODEL_FAMILY, "palm"), "return ", "return 0 or ",
         {"lm", "kd", "minima", "cached", "scratch", "young", "cached young", "probe"} | MEASURED),
        (part_file(MODEL_FAMILY, "hub"), "return ", "return 0 or ", {"hub"} | MEASURED),
        (part_file(SCORE, "loss-increase"), "return ", "return 0 or ", {"loss-increase", "greedy"}),
        (part_file(SCORE, "block-influence"), "return ", "return 0 or ", {"block-influence"}),
        (part_file(TASK, "last-word"), "CHOICES = ", "CHOICES = 0 or ", {"last-word"}),
        (shared_file(TASK), "ITEMS = ", "ITEMS = 0 or ",
         {"continuation", "last-word", "word-order"}),
        (part_file(LOSS, "kd"), "def loss", '"A note."\nimport raydistill\n\ndef loss', set()),
    ],
)  # fmt: skip
def test_an_edited_part_is_another_one(copied, file, old, new, changed):
    with edited(copied, file, old, new):
        ids = ids_of(copied)
    assert {name for name in FIRST if ids[name] != FIRST[name]} == changed


def test_answers_that_another_excerpt_wrote_are_not_read(copied):
    assert ids_of(copied, ANSWERS) == FIRST_ANSWERS
    with edited(copied, part_file(EXCERPT, "top-k-tail"), "return ", "return 0 or "):
        keys = ids_of(copied, ANSWERS)
    assert {name for name in keys if keys[name] != FIRST_ANSWERS[name]} == {"top-k-tail"}
