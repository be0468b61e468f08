"""A checkpoint that a flag names beside a sweep's own models: of `--reference`, or `--teacher`.

It is a folder or an id of the hub; behind an `@` a revision, of a folder one that lies in it.
"""

import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from raydistill.core.errors import UsageError
from raydistill.core.paths import resolve_path
from raydistill.data.tokenizer import shipped_tokenizer, why_other_ids
from raydistill.models.huggingface.checkpoint import DEFAULT_REVISION, locate, read_checkpoint
from raydistill.planning.axes.several_models import models_named
from raydistill.planning.custom_model import CustomModel, revisions, scale_of
from raydistill.specs.corpus import CHAT
from raydistill.specs.model import max_positions
from raydistill.specs.scale import Scale, is_scale, with_text_of
from raydistill.specs.trial import OWN, Age

BASE_NAME = re.compile(r"(.*@)?\d+(\.\d+)?[KMB]?")  # an age, or SCALE@AGE
_SHIPPED = ("embedded", "smoke")  # corpora whose default tokenizer is the package's own
_KEPT = 64  # teachers that one process knows


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedCheckpoint:
    """A folder, absolute, or an id of the hub, and a revision of it."""

    name: str
    revision: str

    @property
    def text(self) -> str:
        """What a flag takes for it, in any working directory."""
        return self.name if self.revision == DEFAULT_REVISION else f"{self.name}@{self.revision}"


def checkpoint_named(text: str) -> NamedCheckpoint | None:
    """The checkpoint that a text names; None if it is no folder and looks like no id of the hub.

    >>> checkpoint_named("org/name@step100"), checkpoint_named("laptop@80B")
    (NamedCheckpoint(name='org/name', revision='step100'), None)
    """
    for name, revision in ((text, ""), text.rpartition("@")[::2]):
        if name and (path := resolve_path(name)).is_dir():
            return NamedCheckpoint(name=str(path.absolute()), revision=revision or DEFAULT_REVISION)
    if "/" not in text:
        return None
    name, _, revision = text.partition("@")
    return NamedCheckpoint(name=name, revision=revision or DEFAULT_REVISION)


def model_named(text: str, models: Iterable[str]) -> NamedCheckpoint | None:
    """One of the models of `--models`, by its name, with a revision behind an `@`, or its last."""
    name, _, revision = text.partition("@")
    model = models_named(models).get(name)
    if model is None:
        return None
    return NamedCheckpoint(name=model.checkpoint, revision=revision or model.revisions[-1])


def teaching_checkpoint(
    teacher: str, ages: Iterable[Age], models: Iterable[str] = ()
) -> NamedCheckpoint | None:
    """The checkpoint that `--teacher` names, unless it means a base of some ages or SCALE@AGE."""
    if named := model_named(teacher, models):
        return named
    of_scale = teacher.rpartition("@")[0]
    is_base = BASE_NAME.fullmatch(teacher) and (not of_scale or is_scale(of_scale))
    return None if is_base or teacher in (OWN, *ages) else checkpoint_named(teacher)


def scale_of_checkpoint(named: NamedCheckpoint, own: Scale) -> Scale:
    """A checkpoint as a scale, in windows as long as those of `own`; of `--models` by its name.

    Raises:
        UsageError: if its revision is no name.
        DataError: if it cannot be read, or not so long windows.
    """
    ages = revisions([named.revision])
    custom = CustomModel(name=named.name, revisions=ages, seq_len=own.model.context)
    scale = scale_of(custom, None)
    names = (m.name for m in models_named(own.models).values() if m.checkpoint == named.name)
    return replace(scale, name=next(names, scale.name))


def teacher_scale(named: NamedCheckpoint, own: Scale) -> Scale:
    """The scale of a teacher for students of `own`: its model, with the text of `own`.

    Raises:
        UsageError: if it has another tokenizer, too few ids, or too short a context.
        DataError: if it cannot be read.
    """
    return _teacher_scale(named, own, _stamp(named))


def _stamp(named: NamedCheckpoint) -> tuple[tuple[str, int, int], ...]:
    """What tells that the files of a folder were changed; nothing of the hub's, which stay."""
    folder = Path(named.name)
    if named.revision != DEFAULT_REVISION:
        folder /= named.revision
    files = sorted([*folder.glob("*.json"), *folder.glob("*.safetensors")])
    stats = ((file.name, file.stat()) for file in files)
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


@functools.lru_cache(maxsize=_KEPT)  # planning asks for every cell
def _teacher_scale(named: NamedCheckpoint, own: Scale, stamp: object) -> Scale:
    del stamp
    folder = locate(named.name, named.revision)
    model = read_checkpoint(named.name, named.revision).model
    check_ids(f"teacher {named.text!r}", folder, model.vocab_size, own)
    longest = max_positions(json.loads(model.config))
    if 0 < longest < own.model.context:
        cure = f"add --seq-len {longest}" if own.brought else "name one that reads as many"
        raise UsageError(
            f"teacher {named.text!r} reads up to {longest} tokens, and a window of training has "
            f"{own.model.context}: {cure}"
        )
    scale = scale_of_checkpoint(named, own)
    return replace(with_text_of(scale, own), tokenizer=str(folder), cheap=own.cheap)


def check_ids(what: str, tokenizer: Path, rows: int, own: Scale) -> None:
    """Refuse a teacher whose ids are not those of the students' tokenizer.

    Args:
        what: begins the message: `teacher 'name'`.
        tokenizer: the teacher's, a file or its folder.
        rows: ids that the teacher gives logits of.
        own: the scale of the students.

    Raises:
        UsageError: naming both tokenizers, and the first difference.
        DataError: if one of them cannot be read.
    """
    path = local_tokenizer(own)
    if path is None:
        raise UsageError(
            f"{what} shares no tokenizer with the students: theirs is made of the corpus "
            f"{own.corpus!r}; use --corpus embedded, or bring the students' --model"
        )
    if why := why_other_ids(path, tokenizer, rows, special_too=own.text_form == CHAT):
        raise UsageError(
            f"{what} has another tokenizer ({tokenizer}) than the students ({path}): {why}; KD "
            "compares probabilities id by id"
        )


def local_tokenizer(scale: Scale) -> Path | None:
    """The tokenizer that a scale names or the package ships for it; None if it is yet to train."""
    if scale.tokenizer:
        return resolve_path(scale.tokenizer)
    return shipped_tokenizer() if scale.corpus in _SHIPPED else None
