"""How many files a plan enters between the command line and Tune: few enough to be read."""

import sys
import threading
from pathlib import Path

import raydistill
from raydistill.core.signals import STOPPED
from raydistill.planning.plan import Options, SweepPlan
from raydistill.planning.prepared import PreparedSweep
from raydistill.runners.tune.trials import run_jobs

PACKAGE = str(Path(raydistill.__file__).parent)
MOST_FILES = 16


class Way:
    """The files whose functions get a plan, or an object that holds one, until `run_jobs`."""

    def __init__(self):
        self.functions, self.is_at_tune = {}, False

    def note(self, frame, event, argument):
        """For `sys.settrace`: it hears of calls only, as it returns nothing."""
        code = frame.f_code
        if self.is_at_tune or not code.co_filename.startswith(PACKAGE):
            return
        self.is_at_tune = code is run_jobs.__code__
        values = list(frame.f_locals.values())  # the arguments, and what a closure holds
        if any(map(is_plan, values)) or any(is_plan(held) for v in values for held in held_by(v)):
            file = str(Path(code.co_filename).relative_to(PACKAGE))
            self.functions.setdefault(file, []).append(code.co_name)
        if self.is_at_tune:
            raise KeyboardInterrupt  # as far as it goes: no trial is needed


def is_plan(value):
    return type(value) in (SweepPlan, PreparedSweep, Options)


def held_by(value):
    names = getattr(value, "__dict__", None) or getattr(type(value), "__slots__", ())
    return [getattr(value, name, None) for name in names] if ours(value) else []


def ours(value):
    return type(value).__module__.startswith("raydistill")


def test_from_the_command_line_to_tune_a_plan_enters_few_files(run_sweep, prepared, tmp_path):
    storage, way = prepared(tmp_path), Way()
    threading.settrace(way.note)
    sys.settrace(way.note)
    try:
        done = run_sweep("where_to_drop", storage, "--age", "320B", "--location", "none,input")
    finally:
        sys.settrace(None)
        threading.settrace(None)
    assert way.is_at_tune, done.stderr
    assert done.returncode == STOPPED
    listing = "\n".join(
        f"{file}: {', '.join(dict.fromkeys(f))}" for file, f in way.functions.items()
    )
    assert len(way.functions) <= MOST_FILES, listing
