"""The flags that name text: what is trained on, and what is measured on."""

import argparse
from collections.abc import Iterable
from dataclasses import replace

from raydistill.core.errors import UsageError
from raydistill.core.paths import resolve_path
from raydistill.data.conversations.rows import FIELD
from raydistill.data.corpus.general_heldout import general_text
from raydistill.data.sources.source import absolute
from raydistill.evaluation.text_tasks import is_text_task
from raydistill.specs.corpus import CHAT, TEXT_FORMS
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.shape.settings import names_text


def add_text_flags(parser: argparse._ActionsContainer) -> None:
    """Add them to a sweep or to `raydistill base`."""
    parser.add_argument(
        "--corpus",
        help="embedded, bbe, a .txt, .jsonl or .parquet file, a folder, OWNER/NAME at the hub; "
        "several with shares: a.jsonl=0.7,b.txt=0.3",
    )
    parser.add_argument("--text-field", help="key or column of the text (text, or messages)")
    parser.add_argument(
        "--text-form",
        choices=TEXT_FORMS,
        help="rows are documents (plain), or conversations by the chat template of --model, of "
        "which the assistant's turns are learned (chat)",
    )
    parser.add_argument(
        "--words", help="a file of words, one a line: only sentences of these alone are kept"
    )
    parser.add_argument("--heldout", help="text to measure on (one document in 16 of the corpus)")
    parser.add_argument(
        "--heldout-general", help="a second text to measure on: the corpus can hide damage"
    )


def with_text(scale: Scale, flags: argparse.Namespace) -> Scale:
    """The scale with the text that the flags name, unless its own name says which it reads.

    Raises:
        DataError: if the file of `--heldout-general` cannot be read.
    """
    if not names_text(scale.name):
        scale = replace(
            scale,
            corpus=absolute(flags.corpus) if flags.corpus else scale.corpus,
            text_field=flags.text_field or _field(scale, flags),
            text_form=flags.text_form or scale.text_form,
            heldout=absolute(flags.heldout) if flags.heldout else scale.heldout,
            words=str(resolve_path(flags.words).absolute()) if flags.words else scale.words,
        )
    if scale.text_form == CHAT:
        scale = _of_conversations(scale, flags)
    if not flags.heldout_general:
        return scale
    text = absolute(flags.heldout_general)
    evaluation = replace(scale.evaluation, general=general_text(text, scale.text_field))
    return replace(scale, heldout_general=text, evaluation=evaluation)


def _field(scale: Scale, flags: argparse.Namespace) -> str:
    return FIELD if flags.text_form == CHAT else scale.text_field


def _of_conversations(scale: Scale, flags: argparse.Namespace) -> Scale:
    """A scale that is measured on the assistant's turns, without what is made of plain text."""
    if flags.heldout_general:
        raise UsageError(
            f"--heldout-general names plain text, and with --text-form {CHAT} the assistant's turns"
            " are measured: leave one of the two out"
        )
    named = (getattr(flags, "tasks", None) or "").split(",")
    if made := [name for name in named if name and is_text_task(name)]:
        raise UsageError(
            f"--tasks {made[0]}: its items are made of held-out plain text, and with --text-form "
            f"{CHAT} there are conversations: name tasks with data of their own"
        )
    if probes := getattr(flags, "probes", None):
        raise UsageError(f"--probes {probes}: bases are probed on plain text, not on conversations")
    tasks = tuple(name for name in scale.evaluation.tasks if not is_text_task(name))
    evaluation = replace(scale.evaluation, tasks=tasks, probes=(), assistant=True)
    return replace(scale, evaluation=evaluation)


def check_text_flags(names: Iterable[str], flags: argparse.Namespace) -> None:
    """Refuse flags that name a text which nobody would read, or where a name has another.

    Args:
        names: of the scales that could, as they were given.
        flags: likewise.

    Raises:
        UsageError: if the names of all these scales say which text they read, or one says it of
            the text that its scale has anyway, which its own name leaves out.
    """
    names_of_text = ("corpus", "words", "heldout", "text_form")
    given = [name.replace("_", "-") for name in names_of_text if getattr(flags, name)]
    scales = list(dict.fromkeys(names))
    if given and all(map(names_text, scales)):
        first, *others = scales
        who = f"{first} and {len(others)} more name their" if others else f"{first} names its"
        raise UsageError(f"{who} text, and --{given[0]} another: leave one of them out")
    for name in scales:
        if given and names_text(name) and not names_text(own := load_scale(name).name):
            raise UsageError(
                f"{name} names the text that {own} reads anyway, and --{given[0]} another for "
                f"{own}: leave one of them out"
            )
