"""The shipped bases: intact, of the corpus that they name, and worth measuring."""

import itertools
import json
import runpy
from dataclasses import asdict
from pathlib import Path

import pytest

import raydistill
from raydistill.core.serialization import from_dict, from_json
from raydistill.core.units import B
from raydistill.data.known_corpora import corpus_id
from raydistill.evaluation.likelihood.perplexity import heldout_nll
from raydistill.evaluation.lm_harness.zeroshot import score_tasks
from raydistill.evaluation.scoring import standard_error
from raydistill.evaluation.task_items import make_items
from raydistill.evaluation.text_tasks import chance
from raydistill.models.weights import load_weights
from raydistill.planning.artifacts import find_artifacts
from raydistill.planning.custom_model import OWN_TASKS
from raydistill.planning.resolve import distinct
from raydistill.specs.results import Trained
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import Recipe
from raydistill.storage.bundled import copy_bundled_trials, shipped_bases
from raydistill.storage.manifest import sha256_of, verify
from raydistill.storage.store import Store
from raydistill.training.bases import base_folder

FOLDER = Path(raydistill.__file__).parent / "bases"
LAPTOP, SMALL = load_scale("laptop"), load_scale("laptop_small")
FAMILY = [load_scale(f"laptop_family+width={width}") for width in (16, 32, 48, 64, 96, 128)]
for_each_scale = pytest.mark.parametrize(
    "scale", [LAPTOP, SMALL, *FAMILY], ids=lambda scale: scale.name
)


@pytest.fixture(scope="module")
def store(with_embedded_text, tmp_path_factory):
    return Store(with_embedded_text(tmp_path_factory.mktemp("store")))


def test_all_that_is_shipped_is_small():
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(sizes) < 37_000_000


@for_each_scale
def test_its_description_has_the_recipe_and_no_result(scale):
    verify(FOLDER / scale.name)
    about = json.loads((FOLDER / scale.name / "base.json").read_text())
    assert about["command"] == f"raydistill base --scale {scale.name}"
    assert from_dict(Recipe, about["recipe"]) == scale.pretrain  # later fields at their defaults
    assert about["model"] == asdict(scale.model)
    assert about["recipe"]["budget_tokens"] == scale.age_tokens(320 * B) >= 3_900_000
    assert about["loss_curve"][0][1] > 7 > 4.6 > about["loss_curve"][-1][1]
    assert not {"scores", "nll", "perplexity", "tasks", "heldout_curve"} & about.keys()


@for_each_scale
def test_its_name_is_the_sha256_of_its_weights(store, scale):
    for age in shipped_bases(scale)[0].ages.values():
        folder = base_folder(age.weights_sha256, store)
        assert sha256_of(folder / "model.safetensors") == age.weights_sha256


@for_each_scale
def test_the_installed_text_is_the_text_it_was_trained_on(store, scale):
    """Other versions of the text packages would make other tokens, and be refused."""
    shipped = shipped_bases(scale)[0]
    corpus = corpus_id(scale, store)
    assert corpus.corpus_sha256 == shipped.corpus_sha256
    assert corpus.tokenizer_sha256 == shipped.tokenizer_sha256


def test_in_the_family_held_out_loss_falls_with_width_and_with_age(store):
    corpus = store.path("corpora", corpus_id(LAPTOP, store).corpus_sha256)

    def nll(sha256):
        model = load_weights(base_folder(sha256, store)).model
        return heldout_nll(model, corpus, windows=16, context=128).value

    by_age = [
        [nll(age.weights_sha256) for age in shipped_bases(scale)[0].ages.values()]
        for scale in FAMILY
    ]
    for falling in (*by_age, *zip(*by_age, strict=True)):
        assert all(later < earlier for earlier, later in itertools.pairwise(falling))


@pytest.mark.parametrize("task", OWN_TASKS)
def test_at_the_late_age_every_task_is_far_above_chance_and_not_saturated(store, task):
    late = shipped_bases(LAPTOP)[0].weights_sha256(320 * B)
    model = load_weights(base_folder(late, store)).model
    corpus = store.path("corpora", corpus_id(LAPTOP, store).corpus_sha256)
    items = make_items([task], store=store, folder=corpus)
    scores = score_tasks(model, corpus, items)[task]
    assert sum(scores.counts) >= 400
    assert chance(task) + 3 * standard_error(scores) < scores.value < 0.95


def test_the_trial_that_is_as_long_as_a_base_ships_without_a_result(store):
    """Its id is the one that `teacher_free_vs_kd.py` asks for."""
    (folder,) = (FOLDER / "laptop" / "trials").iterdir()
    verify(folder)
    trained = from_json(Trained, (folder / "trained.json").read_text())
    assert trained.trial_id == trained.spec.trial_id == folder.name
    assert trained.heldout_curve == ()
    assert trained.weights_sha256 == sha256_of(folder / "model.safetensors")
    sweep = runpy.run_path(str(Path(__file__).parents[2] / "sweeps/teacher_free_vs_kd.py"))["sweep"]
    cells = sweep.cells(LAPTOP, {"arm": ("scratch-with-age",)})
    (planned,) = distinct(cells, find_artifacts(LAPTOP, cells, store))
    assert planned.trial == trained.spec
    assert copy_bundled_trials([folder.name], store) == [folder.name]
    assert store.trained(folder.name) == trained
    assert copy_bundled_trials([folder.name], store) == []
