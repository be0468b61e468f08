"""Several models of one's own in one sweep: `--models 70m=FOLDER_OR_ID,160m=FOLDER_OR_ID`.

Each has a name, by which the axes `size` and `teacher` know it. Its revisions, behind an `@`, are
its ages; its students start from the last one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raydistill.core.errors import UsageError
from raydistill.core.paths import resolve_path
from raydistill.models.huggingface.checkpoint import DEFAULT_REVISION
from raydistill.specs.locations import NONE
from raydistill.specs.scale import is_scale
from raydistill.specs.trial import OWN

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_REVISION = r"[\w.-]+(?:/[\w.-]+)*"
_REVISIONS = re.compile(rf"{_REVISION}(\+{_REVISION})*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedModel:
    """A folder, absolute, or an id of the hub; its revisions, the youngest first."""

    name: str
    checkpoint: str
    revisions: tuple[str, ...]

    @property
    def text(self) -> str:
        """What `--models` takes for it, in any working directory."""
        named = "" if self.revisions == (DEFAULT_REVISION,) else f"@{'+'.join(self.revisions)}"
        return f"{self.name}={self.checkpoint}{named}"


def models_named(items: Iterable[str]) -> Mapping[str, ListedModel]:
    """The models of `--models` by their names.

    Raises:
        UsageError: if an item is no `NAME=FOLDER_OR_ID[@REVISION+REVISION]`, or one comes twice.

    >>> models_named(["70m=org/seventy@step1+step2"])["70m"].revisions
    ('step1', 'step2')
    """
    models: dict[str, ListedModel] = {}
    for item in items:
        model = _model(item.strip())
        if model.name in models:
            raise UsageError(f"--models names {model.name!r} twice")
        if model.checkpoint in {other.checkpoint for other in models.values()}:
            raise UsageError(
                f"--models has {model.checkpoint} twice: its revisions are one model, @A+B"
            )
        models[model.name] = model
    return models


def _model(item: str) -> ListedModel:
    name, equals, place = item.partition("=")
    if not (equals and place):
        raise UsageError(f"--models {item!r}: write NAME=FOLDER_OR_ID, such as 70m=my/pythia-70m")
    if not _NAME.fullmatch(name) or is_scale(name) or name in (OWN, NONE):
        raise UsageError(
            f"--models {item!r}: a name is no scale's, and up to 40 of a-z, 0-9, '_', '.', '-'"
        )
    revisions = DEFAULT_REVISION
    if not resolve_path(place).is_dir() and "@" in place:
        place, _, revisions = place.rpartition("@")
        if not _REVISIONS.fullmatch(revisions) or ".." in revisions:
            raise UsageError(f"--models {item!r}: {revisions!r} are no revisions, write @A+B")
    folder = resolve_path(place)
    return ListedModel(
        name=name,
        checkpoint=str(folder.absolute()) if folder.is_dir() else place,
        revisions=tuple(dict.fromkeys(revisions.split("+"))),
    )
