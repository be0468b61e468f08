"""How a running trial is named: by what varies."""

from dataclasses import replace

from raydistill.driver.progress import ProgressReporter
from raydistill.runners.cluster.work import FINISHED, Candidate
from raydistill.specs.evaluation import EvalSpec
from raydistill.specs.trial import DropPlan, ExternalBase, TrialSpec
from raydistill.training.jobs import TrialJob
from support.tiny import SPEC

BASE = ExternalBase(name="smoke", revision="320B", weights_sha256="b" * 64)
JOB = TrialJob(
    spec=TrialSpec(base=BASE, plan=DropPlan(), train=SPEC), base_sha256="b" * 64,
    evaluation=EvalSpec(tasks=(), heldout_windows=1, curve_windows=1), storage="", sweep="some",
)  # fmt: skip


class Lines:
    """A view that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def update(self, cell_key, metrics):
        pass

    def finished(self, cell_key, summary):
        self.lines.append(summary)

    def note(self, text):
        self.lines.append(text)


def names(*axes):
    view = Lines()
    cells = [Candidate(key=str(index), axes=of, job=JOB) for index, of in enumerate(axes)]
    reporter = ProgressReporter(cells, view)
    for cell in cells:
        reporter.update(cell.key, {"tokens": 1, "perplexity_drop_pct": 1.0, FINISHED: 1})
    return [line.partition(", age")[0] for line in view.lines]


def test_where_nothing_leaves_a_trial_is_named_by_what_varies():
    common = {"location": "none", "count": 0, "age": "320B", "size": "smoke"}
    told = names(*({**common, "teacher": teacher} for teacher in ("none", "smoke@80B")))
    assert told == ["none, teacher none", "none, teacher smoke@80B"]


def test_a_base_as_it_is_has_lost_nothing_and_the_line_says_no_loss():
    view = Lines()
    untrained = replace(
        SPEC,
        recipe=replace(SPEC.recipe, budget_tokens=0, warmup_tokens=0, warm_phase_tokens=0),
    )
    axes = {"location": "none", "count": 0, "age": "320B"}
    jobs = [replace(JOB, spec=replace(JOB.spec, train=train)) for train in (untrained, SPEC)]
    cells = [Candidate(key=str(n), axes=axes, job=job) for n, job in enumerate(jobs)]
    reporter = ProgressReporter(cells, view)
    for cell in cells:
        reporter.update(cell.key, {"tokens": 0, "perplexity_drop_pct": 0.0, FINISHED: 1})
    assert view.lines == [
        "none, age 320B: measured as it is",
        "none, age 320B: perplexity +0.0 % lost",
    ]


def test_where_layers_leave_what_only_a_control_has_names_no_trial():
    removed = {"location": "input", "age": "320B", "gap": 0}
    control = {**removed, "location": "none", "count": 0}
    told = names({**removed, "count": 1}, {**removed, "count": 2}, control)
    assert told == ["input, count 1", "input, count 2", "none, count 0"]
