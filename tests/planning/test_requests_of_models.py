"""A sweep of a custom model asks its tasks as lm-eval's `HFLM` asks them of the same weights."""

import random

import pytest

from raydistill.data.corpus.heldout_documents import read_info
from raydistill.evaluation.lm_harness.file_tasks import paper_task
from raydistill.evaluation.lm_harness.task_data import data_folder, keep_task_data
from raydistill.evaluation.lm_harness.zeroshot import score_with
from raydistill.evaluation.scoring import requested_scores
from raydistill.models.huggingface.request_tokenizer import reading_of
from raydistill.models.weights import load_weights
from raydistill.planning.reference_models import reference_cell
from raydistill.storage.store import Store
from support import task_samples, trained_here
from support.tokenizer_kinds import save_kind

WORDS = ("go", "in", "peace", "unto", "the", "river", "old", "word", "is", "with", "thee")


def questions(folder):
    """ARC's challenge, whose metric also needs requests without context."""
    draw = random.Random(0)
    documents = [
        {
            "question": " ".join(draw.choices(WORDS, k=9)),
            "choices": {
                "text": [" ".join(draw.choices(WORDS, k=3)) for _ in range(4)],
                "label": list("ABCD"),
            },
            "answerKey": draw.choice("ABCD"),
        }
        for _ in range(30)
    ]
    return task_samples.write(folder, {"arc_challenge": documents})


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("begins", {}),
        ("has one, does not begin", {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}),
    ],
    ids=["begins", "unlike its file"],
)
def test_scores_are_those_of_hflm(kind, settings, prepared, tmp_path):
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    folder = save_kind(tmp_path / "model", kind, positions=96, **settings)
    storage, data = prepared(tmp_path / "storage"), questions(tmp_path / "data")
    flags = (
        *("--model", str(folder), "--location", "none,input", "--no-lr-probe"),
        *("--tasks", "arc_challenge", "--task-data", str(data)),
    )
    scale, store = trained_here.plan(storage, *flags).scale, Store(storage)
    reference = reference_cell(str(folder), "some", scale).scale.evaluation
    assert scale.evaluation.reading == reference.reading == reading_of(folder)
    keep_task_data(scale.evaluation, data, store)
    results = trained_here.train(storage, *flags)
    (source,) = scale.evaluation.sources
    task = paper_task("arc_challenge", data_folder(source, store), 0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert "arc_challenge" in requested_scores(scale.evaluation)
    for result in results.values():
        corpus = store.path("corpora", result.trained.spec.train.corpus_sha256)
        assert read_info(corpus).begin_ids == ((1,) if kind == "begins" else ())
        for scores, weights in (
            (result.before, ("bases", result.before.weights_sha256)),
            (result.after, ("trials", result.trained.trial_id, "weights")),
        ):
            stock = load_weights(store.path(*weights)).model.inner.eval()
            hflm = HFLM(pretrained=stock, tokenizer=tokenizer, logits_cache=False)
            theirs, ours = score_with(hflm, task), scores.tasks["arc_challenge"]
            assert (ours.value, dict(ours.beside)) == (theirs.value, dict(theirs.beside))
            assert ours.truncation.unlike_file == settings.get("tokenizer_class", "")
