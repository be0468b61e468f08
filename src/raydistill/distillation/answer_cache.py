"""Answers of a teacher in the store: written once by whoever comes first, read by all others.

    teacher_answers/<key>/<windows>/    some windows' answers (`distillation/answer_files.py`)

The key is of teacher, tokens and excerpt, not of the data order: trials with other seeds, and
other students, read the same files, and add only the windows that are not there yet.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from raydistill.core.errors import DataError, SetupError
from raydistill.core.serialization import digest
from raydistill.data.batches import TokenFile
from raydistill.distillation.answer_files import Segment, Writer, WrittenSpec, WrittenTeacher
from raydistill.specs.trial import TrainSpec
from raydistill.storage.lock import turn
from raydistill.storage.manifest import is_whole
from raydistill.storage.store import Store

ANSWERS = "teacher_answers"

LOGITS_AT_ONCE = 1 << 24

Logits = Callable[[Tensor], Tensor]


def windows_of(train: TrainSpec, tokens: TokenFile) -> list[int]:
    """The windows that a training asks its teacher for, ascending: none in the warm phase."""
    recipe = train.recipe
    per_step = recipe.batch_tokens // tokens.context
    steps = range(recipe.warm_phase_tokens // recipe.batch_tokens, recipe.total_steps)
    return sorted({n for step in steps for n in tokens.numbers(train.seed, step, per_step)})


def cached_teacher(
    spec: WrittenSpec,
    windows: Sequence[int],
    *,
    tokens: TokenFile,
    teacher: Callable[[], Logits],
    store: Store,
    cap_bytes: float,
) -> WrittenTeacher:
    """The answers to `windows`, written where the store lacks them.

    Of those who ask at once for the same teacher, one writes and the others wait.

    Args:
        spec: which teacher, over which tokens, and what is written of it.
        windows: numbers of the token file.
        tokens: that file.
        teacher: loads what gives logits [B, T, V] of inputs [B, T] on the CPU; only to write.
        store: where answers are kept.
        cap_bytes: what all answers in the store may take.

    Raises:
        DataError: if the tokens are not those of `spec`, or the files were changed.
        SetupError: if it would take more than `cap_bytes`.
    """
    if (tokens.info.corpus_sha256, tokens.context) != (spec.corpus_sha256, spec.context):
        raise DataError(
            f"the teacher's answers are to windows of {spec.context} tokens of the corpus "
            f"{spec.corpus_sha256}, not of {tokens.context} of {tokens.info.corpus_sha256}"
        )
    written = _open(spec, store)
    if _missing(windows, written):
        with turn(store.path(ANSWERS, f"{spec.key}.claim")):
            written = _open(spec, store)
            if missing := _missing(windows, written):
                check_room(spec, len(missing), store=store, cap_bytes=cap_bytes)
                with store.making(ANSWERS, spec.key, digest(missing)) as folder:
                    _write(Writer(folder, spec), missing, tokens, teacher())
                written = _open(spec, store)
    return written


def check_room(spec: WrittenSpec, num_windows: int, *, store: Store, cap_bytes: float) -> None:
    """Refuse to write more than is allowed, before anything is computed.

    Raises:
        SetupError: if `num_windows` more windows would take it over `cap_bytes`.
    """
    there = sum(f.stat().st_size for f in store.path(ANSWERS).rglob("*.bin"))
    needed = num_windows * spec.window_bytes
    if there + needed > cap_bytes:
        raise SetupError(
            f"the teacher's answers to {num_windows} windows need {needed / 1e9:.3g} GB beside "
            f"{there / 1e9:.3g} GB that are there, and the cap is {cap_bytes / 1e9:.3g} GB: raise "
            "--cache-gb, write less of each token, or ask the teacher online"
        )


def _open(spec: WrittenSpec, store: Store) -> WrittenTeacher:
    """All that is there."""
    folder = store.path(ANSWERS, spec.key)
    whole = [path for path in sorted(folder.glob("[!.]*")) if is_whole(path)]
    return WrittenTeacher(spec, [Segment(path, spec) for path in whole])


def _missing(windows: Sequence[int], written: WrittenTeacher) -> list[int]:
    return sorted(set(windows) - written.places.keys())


def _write(writer: Writer, windows: Sequence[int], tokens: TokenFile, logits: Logits) -> None:
    spec = writer.spec
    at_once = max(1, LOGITS_AT_ONCE // (spec.context * spec.vocab_size))
    for first in range(0, len(windows), at_once):
        numbers = list(windows[first : first + at_once])
        with torch.no_grad():
            logits_BTV = logits(tokens.windows(numbers)[:, :-1])
        for number, logits_TV in zip(numbers, logits_BTV, strict=True):
            writer.write(number, logits_TV)
