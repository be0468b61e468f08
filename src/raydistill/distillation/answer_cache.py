"""A teacher's answers in the store: written by the first trial that needs them, read by all.

    teacher_answers/<key>/<windows>/    the answers to some windows (`distillation/answer_files.py`)

The key covers teacher, tokens and excerpt, not the data order: trials with other seeds or
students read the same files, and add only the windows that are missing.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from raydistill.core.errors import DataError, SetupError
from raydistill.core.progress import tracked
from raydistill.core.serialization import digest
from raydistill.data.batches import TokenFile
from raydistill.distillation.answer_files import Segment, Writer, WrittenSpec, WrittenTeacher
from raydistill.specs.trial import TrainSpec
from raydistill.storage.manifest import is_whole
from raydistill.storage.sharing import done_by_one, small_or_below
from raydistill.storage.store import Store

ANSWERS = "teacher_answers"
_BATCH_LOGITS = 1 << 24
Logits = Callable[[Tensor], Tensor]


def windows_of(train: TrainSpec, tokens: TokenFile) -> list[int]:
    """The windows that a training needs answers to, ascending: none of the warm phase."""
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

    Of several processes that need the same teacher at once, one writes and the others wait; if it
    writes nothing for ten minutes another one does.

    Args:
        spec: which teacher, over which tokens, and what is written of it.
        windows: numbers of the token file.
        tokens: that file.
        teacher: loads a function from inputs [B, T] on the CPU to logits [B, T, V], if need be.
        store: where answers are.
        cap_bytes: of all answers in the store.

    Raises:
        DataError: if the tokens are not those of `spec`, or the files were changed.
        SetupError: if the answers would take more than `cap_bytes`.
    """
    if (tokens.info.corpus_sha256, tokens.context) != (spec.corpus_sha256, spec.context):
        raise DataError(
            f"the teacher's answers are to windows of {spec.context} tokens of the corpus "
            f"{spec.corpus_sha256}, not of {tokens.context} of {tokens.info.corpus_sha256}"
        )
    written = _open(spec, store)
    if _missing(windows, written):
        folder = store.path(ANSWERS, spec.key)
        files = small_or_below(f"{ANSWERS}/{spec.key}")
        turn = done_by_one(
            store.root, ANSWERS, spec.key, is_wanted=files, progress=lambda: _bytes_in(folder)
        )
        with turn:
            written = _open(spec, store)
            if missing := _missing(windows, written):
                _check_space(spec, len(missing), store, cap_bytes)
                with store.making(ANSWERS, spec.key, digest(missing)) as draft:
                    _write(Writer(draft, spec), missing, tokens, teacher())
                written = _open(spec, store)
    return written


def _bytes_in(folder: Path) -> int:
    sizes = 0
    for file in folder.rglob("*.bin"):
        with suppress(FileNotFoundError):  # its folder was renamed
            sizes += file.stat().st_size
    return sizes


def _check_space(spec: WrittenSpec, num_windows: int, store: Store, cap_bytes: float) -> None:
    """Refuse to go over the cap, before anything is computed."""
    present = sum(f.stat().st_size for f in store.path(ANSWERS).rglob("*.bin"))
    needed = num_windows * spec.window_bytes
    if present + needed > cap_bytes:
        raise SetupError(
            f"the teacher's answers to {num_windows} windows need {needed / 1e9:.3g} GB beside "
            f"{present / 1e9:.3g} GB that are there, and the cap is {cap_bytes / 1e9:.3g} GB: "
            "raise --cache-gb, write less of each token, or ask the teacher online"
        )


def _open(spec: WrittenSpec, store: Store) -> WrittenTeacher:
    """All answers in the store."""
    folders = sorted(store.path(ANSWERS, spec.key).glob("[!.]*"))
    return WrittenTeacher(spec, [Segment(path, spec) for path in folders if is_whole(path)])


def _missing(windows: Sequence[int], written: WrittenTeacher) -> list[int]:
    return sorted(set(windows) - written.rows.keys())


def _write(writer: Writer, windows: Sequence[int], tokens: TokenFile, logits: Logits) -> None:
    spec = writer.spec
    size = max(1, _BATCH_LOGITS // (spec.context * spec.vocab_size))
    batches = [list(windows[first : first + size]) for first in range(0, len(windows), size)]
    for numbers in tracked(batches, "caching the teacher's answers", "windows", size=len):
        with torch.no_grad():
            logits_BTV = logits(tokens.windows(numbers)[:, :-1])
        for number, logits_TV in zip(numbers, logits_BTV, strict=True):
            writer.write(number, logits_TV)
