"""Whether a document of an lm-eval task has a right answer that is one of its choices.

lm-eval counts any other answer as wrong whatever the model says. The fields and templates of a
task's file are read here without lm-eval, so that a plan refuses them; what a task computes by
code is checked when its requests are made.
"""

import ast
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined, TemplateError, UndefinedError

from raydistill.evaluation.lm_harness.catalogue import lm_eval_tasks

Document = Mapping[str, Any]
_DECIDING = ("process_docs", "process_results", "doc_to_text", "doc_to_target", "doc_to_choice")
_ENVIRONMENT = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701


class _Code:
    """Stands for a function of a task's own."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    pass


_Loader.add_constructor("!function", lambda _loader, _node: _Code())


def check_answer(target: object, choices: object) -> None:
    """Refuse a right answer that is none of the choices.

    Args:
        target: the index of a choice, its text, or a list of those.
        choices: their texts.

    Raises:
        ValueError: with the answer and the number of choices.
    """
    if not isinstance(choices, list | tuple):
        raise ValueError(f"the choices are {choices!r}, no list")
    answers = target if isinstance(target, list) else [target]
    known = [a in choices if isinstance(a, str) else _is_index(a, len(choices)) for a in answers]
    if not (known and all(known)):
        raise ValueError(f"the right answer is {target!r}, of {len(choices)} choices")


def check_stated_answer(name: str, document: Document) -> None:
    """Refuse a document whose answer is none, as far as the file of task `name` states it.

    Raises:
        ValueError: saying what is missing or out of range.
    """
    task = _definition(name)
    if any(isinstance(task.get(key), _Code) for key in _DECIDING):
        return
    try:
        text, target = (_value(task.get(key), document) for key in ("doc_to_text", "doc_to_target"))
        if task.get("output_type") != "multiple_choice":
            if target is None:
                raise ValueError("the right answer is None")
            return
        choices = _choices(task.get("doc_to_choice"), document)
    except UndefinedError as error:
        raise ValueError(f"a field that {name} needs is missing: {error}") from None
    except (AttributeError, TypeError) as error:
        raise ValueError(f"a field has another form than {name} needs: {error}") from None
    except (TemplateError, SyntaxError):  # with filters of lm-eval's own
        return
    check_answer(text if isinstance(text, int) else target, choices)


def _is_index(answer: object, size: int) -> bool:
    return isinstance(answer, int) and 0 <= answer < size


@functools.cache
def _definition(name: str) -> Mapping[str, Any]:
    """The fields of lm-eval's file of a task, over those that it includes."""

    def read(file: Path) -> dict[str, Any]:
        fields: dict[str, Any] = yaml.load(file.read_text("utf-8"), Loader=_Loader)  # noqa: S506
        include = fields.pop("include", None)
        return (read(file.parent / include) if include else {}) | fields

    return read(lm_eval_tasks()[name])


@functools.cache
def _render(template: str) -> Callable[..., str]:
    return _ENVIRONMENT.from_string(template).render


def _value(stated: object, document: Document) -> object:
    """What lm-eval makes of a `doc_to_text` or `doc_to_target`."""
    if not isinstance(stated, str):
        return stated
    if stated in document:
        return document[stated]
    text = _render(stated)(**document)
    if text.isdigit():
        return int(text)
    is_list = len(text) >= 2 and (text[0], text[-1]) == ("[", "]")
    return ast.literal_eval(text) if is_list else text


def _choices(stated: object, document: Document) -> object:
    """What lm-eval makes of a `doc_to_choice`."""
    if isinstance(stated, dict):
        return list(stated.values())
    if not isinstance(stated, str):
        return stated
    return document[stated] if stated in document else ast.literal_eval(_render(stated)(**document))
