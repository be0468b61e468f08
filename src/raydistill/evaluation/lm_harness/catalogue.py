"""Which tasks there are: made of the corpus, the paper's 13, and every one of lm-eval.

lm-eval's are found by the names in its files, without importing it.
"""

import functools
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

from raydistill.core.errors import UsageError, unknown
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.text_tasks import TASKS, is_text_task

ABOVE_CHANCE = "above-chance"

GROUPS = {"paper13": tuple(PAPER13), ABOVE_CHANCE: tuple(PAPER13)}
"""The second is narrowed once the scores of the bases are known."""


def named_tasks(text: str) -> tuple[str, ...]:
    """The tasks that `--tasks` names, groups spelled out, each once.

    Raises:
        UsageError: if one is unknown; the message has the nearest name.

    >>> named_tasks("last-word,paper13")[:3]
    ('last-word', 'piqa', 'hellaswag')
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--tasks {text!r} has an empty name: write names with commas")
    for name in names:
        check_name(name)
    return tuple(dict.fromkeys(task for name in names for task in GROUPS.get(name, (name,))))


def check_name(name: str) -> None:
    """Refuse a name that is neither a task nor a group.

    Raises:
        UsageError: with the nearest name.
    """
    if is_text_task(name) or name in PAPER13 or name in GROUPS:
        return
    if re.search("^unsafe_code: *true", _definition(name), re.MULTILINE):
        raise UsageError(f"task {name!r} runs code that the model writes: it is not run here")
    if name in lm_eval_tasks():
        return
    own = (*TASKS, *PAPER13, *GROUPS)
    message = unknown("task", name, (*own, *lm_eval_tasks()))
    raise UsageError(f"{message.partition(' There are:')[0]} There are: {_listed(own)} of lm-eval")


def _listed(own: Iterable[str]) -> str:
    return f"{', '.join(own)}, and {len(lm_eval_tasks())}"


@functools.cache
def usual_fewshot(name: str) -> int:
    """How many examples a task shows before every item unless asked otherwise."""
    found = re.search(r"^num_fewshot: *(\d+)", _definition(name), re.MULTILINE)
    return int(found[1]) if found else 0


@functools.cache
def has_own_examples(name: str) -> bool:
    """Whether a task of lm-eval's brings its few-shot examples in its file."""
    return bool(re.search(r"^ +samples:", _definition(name), re.MULTILINE))


def _definition(name: str) -> str:
    """The file of a task of lm-eval's, what it includes after it; empty for any other task."""
    file, text = lm_eval_tasks().get(name), ""
    while file is not None and name not in PAPER13:
        own = file.read_text("utf-8")
        text += f"\n{own}"
        included = re.search(r"^include: *[\"']?([^\s\"']+)", own, re.MULTILINE)
        file = file.parent / included[1] if included else None
    return text


@functools.cache
def lm_eval_tasks() -> dict[str, Path]:
    """The file that defines each task of the installed lm-eval; those made by code are not here."""
    package = importlib.util.find_spec("lm_eval")
    assert package is not None, "a dependency"
    assert package.origin is not None, package
    files = sorted(Path(package.origin).parent.joinpath("tasks").rglob("*.yaml"))
    found: dict[str, Path] = {}
    for file in files:
        text = file.read_text("utf-8")
        name = re.search(r"""^task: *["']?([\w.-]+)""", text, re.MULTILINE)
        if name and not re.search("^class:", text, re.MULTILINE):
            found.setdefault(name[1], file)
    return found
