"""How a running trial is named: by what varies."""

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


def test_where_layers_leave_what_only_a_control_has_names_no_trial():
    removed = {"location": "input", "age": "320B", "gap": 0}
    control = {**removed, "location": "none", "count": 0}
    told = names({**removed, "count": 1}, {**removed, "count": 2}, control)
    assert told == ["input, count 1", "input, count 2", "none, count 0"]
