"""Scores of weights: measured once, kept one by one."""

import subprocess
import sys

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.progress import listening
from raydistill.evaluation.scoring import (
    EVALUATOR_VERSION,
    PERPLEXITY,
    score_key,
    scores_of,
    source_key,
    standard_error,
)
from raydistill.planning.custom_model import OWN_TASKS
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import EvalSpec, TaskSource
from raydistill.specs.results import UnitScores

SPEC = EvalSpec(tasks=OWN_TASKS, heldout_windows=16, curve_windows=8)


def test_kept_scores_are_not_measured_again(folder, store, model):
    loads = []

    def load():
        loads.append(1)
        return model

    few = EvalSpec(tasks=("last-word",), heldout_windows=16, curve_windows=8)
    first = scores_of("a" * 64, load, store=store, folder=folder, spec=few)
    assert scores_of("a" * 64, load, store=store, folder=folder, spec=few) == first
    assert len(loads) == 1
    more = scores_of("a" * 64, load, store=store, folder=folder, spec=SPEC)
    assert len(loads) == 2
    assert (more.nll, more.tasks["last-word"]) == (first.nll, first.tasks["last-word"])
    assert scores_of("b" * 64, load, store=store, folder=folder, spec=few).nll == first.nll
    assert len(loads) == 3, "other weights are other scores"
    assert len(list(store.path("scores", "a" * 64).iterdir())) == 1 + len(OWN_TASKS)


def test_measuring_says_how_far_it_is_score_by_score(folder, store, model):
    reports = []
    with listening(reports.append):
        scores_of("d" * 64, lambda: model, store=store, folder=folder, spec=SPEC)
    parts = dict.fromkeys(progress.part for progress in reports if progress.part)
    assert list(parts) == ["perplexity", *OWN_TASKS]
    assert {(progress.stage, progress.unit) for progress in reports} == {("measuring", "tokens")}
    shares = [progress.done / progress.total for progress in reports]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(set(shares)) > 2 * len(OWN_TASKS)


def test_scores_carry_chance_and_a_standard_error_over_chapters(folder, store, model):
    scores = scores_of("c" * 64, lambda: model, store=store, folder=folder, spec=SPEC)
    assert set(scores.tasks) == set(OWN_TASKS)
    for task in scores.tasks.values():
        assert task.chance == 0.25
        assert abs(task.value - 0.25) < 5 * task.stderr
    kept = UnitScores(units=("x", "y"), sums=(1.0, 3.0), counts=(4, 4))
    assert standard_error(kept) == pytest.approx(0.25)
    assert standard_error(UnitScores(units=("x",), sums=(1.0,), counts=(4,))) == 0.0


def test_the_key_of_a_score_names_what_was_measured():
    corpus = CorpusInfo(
        name="", corpus_sha256="1", tokenizer_sha256="2", vocab_size=1, token_bytes=2,
        train_tokens=1, heldout_tokens=1, train_documents=1, heldout_documents=1,
    )  # fmt: skip
    assert EVALUATOR_VERSION == 1
    with pytest.raises(UsageError, match="no task 'last-wrd'"):
        score_key("last-wrd", corpus, 8)
    assert score_key("last-word", corpus, 8) == score_key("last-word", corpus, 16)
    assert score_key(PERPLEXITY, corpus, 8) != score_key(PERPLEXITY, corpus, 16)
    lengths = {score_key("last-word", corpus, 8, max_length=length) for length in (0, 64, 96)}
    assert len(lengths) == 3, "what was read up to another length is another score"
    assert score_key(PERPLEXITY, corpus, 8, max_length=64) == score_key(PERPLEXITY, corpus, 8)
    source = TaskSource(task="boolq", data_sha256="3")
    assert len({source_key(source, corpus, length) for length in (0, 64, 96)}) == 3
    readings = ("", '{"files": {}}', '{"files": {"config.json": {"model_type": "llama"}}}')
    assert len({score_key("last-word", corpus, 8, reading=r) for r in readings}) == 3
    assert len({score_key(PERPLEXITY, corpus, 8, reading=r) for r in readings}) == 1
    assert len({source_key(source, corpus, reading=r) for r in readings}) == 3
    assert source_key(source, corpus, reading="") == source_key(source, corpus)


def test_importing_the_evaluation_imports_neither_torch_nor_lm_eval():
    code = (
        "import sys; from raydistill.evaluation.scoring import score_key; "
        "from raydistill.specs.part_identity import part_identity; "
        "from raydistill.core.parts import TASK; part_identity(TASK, 'last-word'); "
        "print(sorted({'torch', 'numpy', 'lm_eval', 'datasets', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
