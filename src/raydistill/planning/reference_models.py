"""Reference models in a sweep's table, evaluated only (METHOD 7).

A reference is a base of another size or age, or any checkpoint with the same tokenizer. For one
with another tokenizer there is `raydistill add --reference`.
"""

import re
from dataclasses import replace
from pathlib import Path

from raydistill.core.errors import UsageError
from raydistill.core.text.redaction import printed_command
from raydistill.data.tokenizer import load_tokenizer
from raydistill.planning.axes.named_checkpoint import (
    NamedCheckpoint,
    checkpoint_named,
    local_tokenizer,
    model_named,
    scale_of_checkpoint,
)
from raydistill.planning.cell import REFERENCE, BaseRequest, Cell, base_named, reading_alike, settle
from raydistill.planning.custom_model import as_read_by, up_to
from raydistill.specs.corpus import CHAT
from raydistill.specs.locations import NONE
from raydistill.specs.scale import Scale, with_text_of


def reference_cell(name: str, sweep: str, own: Scale, max_length: int = 0) -> Cell:
    """The cell of a model that is evaluated like the bases of `own`.

    Args:
        name: `SCALE@AGE`, or a scale alone: then its oldest base. Of a custom model, a revision.
            Or a folder, or an id of the hub, of any model: `org/name@revision`.
        sweep: the name of the cell's sweep.
        own: the scale that is swept.
        max_length: tokens of a task's request that are read, at most; 0: the model's own.

    Raises:
        UsageError: if there is no such base, or it reads its text with another tokenizer.
        DataError: if a checkpoint cannot be read.
    """
    named = model_named(name, own.models) or checkpoint_named(name)
    base = _checkpoint(name, named, own, max_length) if named else _base(name, own)
    base.scale.age_tokens(base.age)  # refuses an age that the scale does not have
    untrained = base.scale.trial(age=base.age, location=NONE, count=0, share=0)
    request = settle(untrained, base.scale, count_given=False)
    return Cell(sweep=sweep, scale=base.scale, values={REFERENCE: base.name}, request=request)


def _base(name: str, own: Scale) -> BaseRequest:
    if own.brought:
        return BaseRequest(scale=own, age=name)
    base = base_named(name, lambda scale: reading_alike(scale, own, f"reference {name!r}"))
    return replace(base, scale=replace(base.scale, evaluation=own.evaluation))


def _checkpoint(name: str, named: NamedCheckpoint, own: Scale, max_length: int) -> BaseRequest:
    """A checkpoint as a scale with the text of `own`, in windows of the same length."""
    scale = scale_of_checkpoint(named, own)
    if not _reads_alike(scale, own):
        row = re.sub(r"[^\w.-]+", "-", Path(scale.brought).name)
        words = [
            "raydistill",
            "add",
            scale.brought,
            "--like",
            "TRIAL",
            "--reference",
            "--name",
            row,
        ]
        raise UsageError(
            f"reference {name!r} has another tokenizer: compare its tasks alone, once a trial is "
            f"done: {printed_command(words)}"
        )
    max_length = min(max_length, scale.model.max_length)
    evaluation = up_to(own.evaluation, max_length, scale.model)
    evaluation = as_read_by(evaluation, Path(scale.tokenizer))
    alike = replace(with_text_of(scale, own), cheap=own.cheap, evaluation=evaluation)
    if own.text_form == CHAT:  # by the template of the students, which makes its text
        alike = replace(alike, tokenizer=own.tokenizer)
    return BaseRequest(scale=alike, age=scale.ages[-1])


def _reads_alike(scale: Scale, own: Scale) -> bool:
    """Whether both have one tokenizer; not if that of `own` has yet to be trained."""
    path = local_tokenizer(own)
    if path is None:
        return False
    return load_tokenizer(path).to_str() == load_tokenizer(Path(scale.tokenizer)).to_str()
