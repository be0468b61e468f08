"""Which tasks there are: made of the corpus, the paper's 13, and every one of lm-eval.

lm-eval's are found by the names in its files, without importing it.
"""

import functools
import importlib.util
import re
from pathlib import Path

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import TASK, is_entry_point, part_file, part_in_file, part_names
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.text_tasks import is_text_task

ABOVE_CHANCE = "above-chance"
# above-chance is narrowed once the scores of the bases are known (`planning/task_filter.py`)
GROUPS = {"paper13": tuple(PAPER13), ABOVE_CHANCE: tuple(PAPER13)}


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
    """Refuse a name that is neither a task nor a group, or both one's own and lm-eval's.

    Raises:
        UsageError: with the nearest name.
    """
    if is_text_task(name) and _is_own(name):
        alike = [task for task in lm_eval_tasks() if task.replace("_", "-") == name]
        if alike:
            raise UsageError(f"{part_in_file(TASK, name)}: lm-eval has {alike[0]!r}, rename yours")
    if is_text_task(name) or name in PAPER13 or name in GROUPS:
        return
    if re.search("^unsafe_code: *true", _definition(name), re.MULTILINE):
        raise UsageError(f"task {name!r} runs code that the model writes: it is not run here")
    if name in lm_eval_tasks():
        return
    own = (*part_names(TASK), *PAPER13, *GROUPS)
    nearest = unknown("task", name, (*own, *lm_eval_tasks())).partition(" There are:")[0]
    there_are = f"{', '.join(own)}, and {len(lm_eval_tasks())} of lm-eval"
    raise UsageError(f"{nearest} There are: {there_are}")


def _is_own(name: str) -> bool:
    folder = Path(__file__).parents[1] / TASK.folder
    return is_entry_point(TASK, name) or not part_file(TASK, name).is_relative_to(folder)


@functools.cache
def usual_fewshot(name: str) -> int:
    """How many examples a task shows before every item by default."""
    setting = re.search(r"^num_fewshot: *(\d+)", _definition(name), re.MULTILINE)
    return int(setting[1]) if setting else 0


@functools.cache
def has_own_examples(name: str) -> bool:
    """Whether the file of a task of lm-eval's contains its few-shot examples."""
    return bool(re.search(r"^ +samples:", _definition(name), re.MULTILINE))


def _definition(name: str) -> str:
    """The text of lm-eval's file of a task and of those it includes; empty for any other task."""
    file, texts = lm_eval_tasks().get(name), ""
    while file is not None and name not in PAPER13:
        text = file.read_text("utf-8")
        texts += f"\n{text}"
        include = re.search(r"^include: *[\"']?([^\s\"']+)", text, re.MULTILINE)
        file = file.parent / include[1] if include else None
    return texts


@functools.cache
def lm_eval_tasks() -> dict[str, Path]:
    """The file that defines each task of the installed lm-eval, but for those made by code."""
    package = importlib.util.find_spec("lm_eval")
    assert package is not None, "a dependency"
    assert package.origin is not None, package
    files: dict[str, Path] = {}
    for file in sorted(Path(package.origin).parent.joinpath("tasks").rglob("*.yaml")):
        text = file.read_text("utf-8")
        name = re.search(r"""^task: *["']?([\w.-]+)""", text, re.MULTILINE)
        if name and not re.search("^class:", text, re.MULTILINE):
            files.setdefault(name[1], file)
    return files
