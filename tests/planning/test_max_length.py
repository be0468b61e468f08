"""How much of a task a custom model reads: its own length, whatever a training window has."""

import json
import random
import re

import pytest
from lm_eval.models.huggingface import HFLM

from raydistill.core.errors import UsageError
from raydistill.evaluation.lm_harness.file_tasks import paper_task
from raydistill.evaluation.lm_harness.task_data import data_folder, keep_task_data
from raydistill.evaluation.lm_harness.zeroshot import score_with
from raydistill.models.weights import load_weights
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.dry_run import describe
from raydistill.planning.reference_models import reference_cell
from raydistill.specs.results import Truncation
from raydistill.storage.store import Store
from support import sweeping, task_samples, trained_here
from support.hub_models import save_model

POSITIONS = 256


@pytest.fixture
def folder(tmp_path):
    return save_model(tmp_path / "mine", max_position_embeddings=POSITIONS, initializer_range=0.2)


def scale_of(folder, tmp_path, *flags):
    flags = ("--model", str(folder), "--location", "none,input", *flags)
    return trained_here.plan(tmp_path / "storage", *flags).scale


def test_tasks_are_read_up_to_the_models_own_length(folder, tmp_path):
    scale = scale_of(folder, tmp_path)
    assert (scale.model.context, scale.evaluation.tokens_read(scale.model)) == (64, POSITIONS)
    scale = scale_of(folder, tmp_path, "--seq-len", str(POSITIONS))
    assert scale.evaluation.max_length == 0, "scores at the model's own length keep their key"
    scale = scale_of(folder, tmp_path, "--max-length", "100")
    assert scale.evaluation.tokens_read(scale.model) == 100
    scale = scale_of(folder, tmp_path, "--max-length", "64")
    assert scale.evaluation.max_length == 0
    with pytest.raises(UsageError, match=f"--max-length 257: the model reads up to {POSITIONS}"):
        scale_of(folder, tmp_path, "--max-length", "257")


def test_a_very_long_model_reads_16384_tokens_unless_more_are_named(tmp_path):
    folder = save_model(tmp_path / "long", max_position_embeddings=131_072)
    scale = scale_of(folder, tmp_path)
    assert scale.evaluation.tokens_read(scale.model) == 16_384
    scale = scale_of(folder, tmp_path, "--max-length", "100000")
    assert scale.evaluation.tokens_read(scale.model) == 100_000


@pytest.mark.parametrize(
    ("family", "length"), [("llama", 2_048), ("qwen3", 32_768), ("bloom", 2_048)]
)
def test_a_model_that_names_no_positions_is_read_as_hflm_reads_it(family, length, tmp_path):
    own = {"vocab_size": 2048, "hidden_size": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 0}
    folder = save_model(tmp_path / "mine", family, **(own if family == "bloom" else {}))
    fields = json.loads((folder / "config.json").read_text())
    fields.pop("max_position_embeddings", None)
    (folder / "config.json").write_text(json.dumps(fields))
    scale = scale_of(folder, tmp_path)
    hflm = HFLM(pretrained=str(folder), device="cpu")
    assert scale.model.max_length == hflm.max_length == length
    assert scale.evaluation.tokens_read(scale.model) == min(length, 16_384)


def test_a_reference_reads_as_much_as_it_can(folder, tmp_path):
    own = scale_of(save_model(tmp_path / "short"), tmp_path)
    assert own.evaluation.tokens_read(own.model) == 64
    for asked, tokens in ((0, POSITIONS), (100, 100), (999, POSITIONS)):
        scale = reference_cell(str(folder), "some", own, asked).scale
        assert scale.evaluation.tokens_read(scale.model) == tokens


def long_questions(folder):
    """BoolQ with passages of 20 to 300 words: most beyond a training window, some beyond all."""
    draw = random.Random(0)
    words = ("go", "in", "peace", "unto", "the", "LORD", "thy", "servant", "is", "with")
    documents = [
        {
            "passage": " ".join(draw.choice(words) for _ in range(20 * n)),
            "question": "is it so", "label": n % 2,
        }
        for n in range(1, 16)
    ]  # fmt: skip
    return task_samples.write(folder, {"boolq": documents})


def planned(storage, flags):
    plan = describe(prepare(trained_here.plan(storage, *flags), Store(storage)))
    return " ".join(plan.split())


def test_scores_of_base_and_students_are_those_of_hflm(folder, prepared, tmp_path):
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    storage, data = prepared(tmp_path / "storage"), long_questions(tmp_path / "data")
    flags = (
        *("--model", str(folder), "--location", "none,input", "--no-lr-probe"),
        *("--tasks", "boolq", "--task-data", str(data)),
    )
    evaluation, store = trained_here.plan(storage, *flags).scale.evaluation, Store(storage)
    before = planned(storage, flags)
    keep_task_data(evaluation, data, store)
    results = trained_here.train(storage, *flags)
    (source,) = evaluation.sources
    task = paper_task("boolq", data_folder(source, store), 0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    task.build_all_requests()
    encode = AutoTokenizer.from_pretrained(folder).encode
    longer = {r.doc_id for r in task.instances if len(encode("".join(r.args))) - 1 > POSITIONS}
    assert 0 < len(longer) < 15
    values = set()
    for result in results.values():
        for scores, weights in (
            (result.before, ("bases", result.before.weights_sha256)),
            (result.after, ("trials", result.trained.trial_id, "weights")),
        ):
            stock = load_weights(store.path(*weights)).model.inner.eval()
            theirs = score_with(HFLM(pretrained=stock, tokenizer=tokenizer, batch_size=4), task)
            ours = scores.tasks["boolq"]
            assert (ours.value, ours.chance) == (theirs.value, theirs.chance)
            assert ours.truncation == Truncation(
                max_length=POSITIONS, items=15, truncated=len(longer)
            )
            values.add(ours.value)
    assert len(values) > 1
    lost = f"{len(longer)} of 15 of boolq"
    windows = f"perplexity in {evaluation.heldout_windows} windows of 64 tokens"
    lengths = f"{windows}, tasks up to 256 tokens; longer items lose their beginning ({lost})"
    assert lengths in before
    assert lengths in planned(storage, flags)
    table = " ".join(sweeping.command(storage, "report").stdout.split())
    assert f"read up to 256 tokens: longer items lost their beginning, {lost}." in table
    assert re.search(r"the base has perplexity [\d.]+ in windows of 64 tokens", table)
    shown = " ".join(
        sweeping.command(storage, "show", results["input"].trained.trial_id).stdout.split()
    )
    assert f"({len(longer)} of 15 items truncated at 256 tokens)" in shown
    assert re.search(r"perplexity before [\d.]+, after [\d.]+ in windows of 64 tokens", shown)
    sweeping.command(storage, "track", "sync")
    for run in sweeping.cells(storage):
        metrics, params = run.data.metrics, run.data.params
        assert (metrics["task.boolq.truncated_items"], metrics["task.boolq.items"]) == (
            len(longer), 15,
        )  # fmt: skip
        assert (params["window_tokens"], params["max_length"]) == ("64", "256")
