"""Answers of a teacher in the store: written once by whoever comes first, read by all others.

    teacher_answers/<key>/<windows>/    some windows' answers (`written.py`)

The key is of teacher, tokens and excerpt, not of the data order: trials with other seeds, and
other students, read the same files, and add only the windows that are not there yet.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from raydistill.errors import DataError, SetupError
from raydistill.manifest import is_whole
from raydistill.spec import TrainSpec, digest
from raydistill.store import Store
from raydistill.tokens import TokenFile
from raydistill.written import Segment, Writer, WrittenSpec, WrittenTeacher

ANSWERS = "teacher_answers"
STALE_S = 60.0
"""A writer that gives no sign of life for so long is taken to be dead."""

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
    stale_s: float = STALE_S,
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
        stale_s: how long a silent writer is waited for.

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
        with _turn(store.path(ANSWERS, f"{spec.key}.claim"), stale_s) as alive:
            written = _open(spec, store)
            if missing := _missing(windows, written):
                check_room(spec, len(missing), store=store, cap_bytes=cap_bytes)
                with store.making(ANSWERS, spec.key, digest(missing)) as folder:
                    _write(Writer(folder, spec), missing, tokens, teacher(), alive)
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


def _write(
    writer: Writer,
    windows: Sequence[int],
    tokens: TokenFile,
    logits: Logits,
    alive: Callable[[], None],
) -> None:
    spec = writer.spec
    at_once = max(1, LOGITS_AT_ONCE // (spec.context * spec.vocab_size))
    for first in range(0, len(windows), at_once):
        numbers = list(windows[first : first + at_once])
        with torch.no_grad():
            logits_BTV = logits(tokens.windows(numbers)[:, :-1])
        for number, logits_TV in zip(numbers, logits_BTV, strict=True):
            writer.write(number, logits_TV)
            alive()


@contextlib.contextmanager
def _turn(claim: Path, stale_s: float) -> Iterator[Callable[[], None]]:
    """Wait until nobody else holds `claim`, hold it, and say now and then that one is alive.

    The claim spares work and is no lock: a folder is whole or not there, whoever makes it.
    """
    claim.parent.mkdir(parents=True, exist_ok=True)
    sign, since = 0, time.monotonic()
    while True:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        with contextlib.suppress(FileNotFoundError):
            if (seen := claim.stat().st_mtime_ns) != sign:
                sign, since = seen, time.monotonic()
            elif time.monotonic() - since > stale_s:
                claim.unlink()
        time.sleep(min(0.2, stale_s))

    def alive() -> None:
        with contextlib.suppress(FileNotFoundError):
            os.utime(claim)

    try:
        yield alive
    finally:
        claim.unlink(missing_ok=True)
