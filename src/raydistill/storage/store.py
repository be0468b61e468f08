"""Everything made, under a path named by the hash of what made it.

    corpora/<sha256>/        training and held-out tokens, and their tokenizer; the name is the
                             sha256 of both token files
    corpora/drafts/<key>/    a corpus in preparation: its tokenizer, and tokens in shards
    corpora/general/<key>/   the tokens of a second held-out text
    corpora/hub/<key>/       documents of a data set of the Hugging Face hub
    text_facts/<sha256>.json the words and bytes of that corpus, and what word frequencies predict
    items/<sha256>/          the items of each task, made of that corpus' held-out text
    bases/<sha256>/          weights; the name is the sha256 of `model.safetensors`
    brought/                 which base the files of an external checkpoint became
    trunks/<id>/             the shared prefix of a "wsd" schedule, for longer budgets to branch off
    pretraining/<trial_id>/  the checkpoints of one run, and which base each age became
    layer_scores/<sha256>/   one file per data-driven location and count of a base
    cuts/<sha256>/<layers>/  held-out loss of a base without those layers, before any training
    teacher_answers/<key>/   cached answers of a teacher (`distillation/answer_cache.py`)
    trials/<trial_id>/       checkpoints, `estimate.json`, `trained.json`, `failure.json`,
                             weights; `rungs/`: held-out loss at each rung of early stopping. Of
                             an external student `trained.json` alone
    scores/<sha256>/         one file per score of those weights
    laws/<id>/               one fit of a law, with its points (`laws/stored.py`)
    devices/                 the matmul peak of each kind of device
    probes/                  training throughput of a model, measured over a few steps
    claims/                  which process makes something that several need (`storage/sharing.py`)
    sweeps/<name>/<scale>/   the record of a sweep; its log, tables, figures and page
    report/                  the last `raydistill report`

Nothing overwrites anything else, so the same command again resumes.
"""

import errno
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from raydistill.core.errors import SetupError, UsageError
from raydistill.core.serialization import from_json, to_json
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.results import Trained, TrialFailure, UnitScores
from raydistill.storage.manifest import is_whole, write_manifest, write_text

T = TypeVar("T")


class Store:
    """Folders and values below `root`, an absolute path that every node sees."""

    def __init__(self, root: Path) -> None:
        if not root.is_absolute():
            raise SetupError(f"the storage '{root}' is relative; write {root.absolute()}")
        self.root = root

    def path(self, *parts: str) -> Path:
        """The path of `parts` below the root, which need not exist.

        Raises:
            UsageError: if it is outside the root.
        """
        path = self.root.joinpath(*parts)
        if not path.is_relative_to(self.root) or ".." in path.relative_to(self.root).parts:
            raise UsageError(f"{'/'.join(parts)} is no place in the storage {self.root}")
        return path

    def save(self, value: object, *parts: str) -> None:
        """Write a dataclass as JSON, atomically."""
        write_text(self.path(*parts), to_json(value))

    def load(self, kind: type[T], *parts: str) -> T | None:
        """The value saved at `parts`; None if there is none."""
        try:
            text = self.path(*parts).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return from_json(kind, text)

    def has(self, *parts: str) -> bool:
        """Whether the folder at `parts` is complete."""
        return is_whole(self.path(*parts))

    @contextmanager
    def making(self, *parts: str) -> Iterator[Path]:
        """An empty folder to fill, which is renamed to `parts` when the block ends well.

        A complete folder that another process made meanwhile stays.
        """
        final = self.path(*parts)
        draft = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        draft.mkdir(parents=True)
        try:
            yield draft
            write_manifest(draft)
            _place(draft, final)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def general(self, general: str, corpus: CorpusInfo) -> Path:
        """The path of a second held-out text (`EvalSpec.general`) in the tokens of a corpus."""
        begun = "-begun" if corpus.begin_ids else ""
        return self.path("corpora", "general", f"{general}-{corpus.tokenizer_sha256[:16]}{begun}")

    def trained(self, trial_id: str) -> Trained | None:
        """The finished training of a trial."""
        return self.load(Trained, "trials", trial_id, "trained.json")

    def failure(self, trial_id: str) -> TrialFailure | None:
        """The failure of a trial's last attempt; None if it did not fail."""
        return self.load(TrialFailure, "trials", trial_id, "failure.json")

    def unit_scores(self, weights_sha256: str, key: str) -> UnitScores | None:
        """One score of the weights, by document."""
        return self.load(UnitScores, "scores", weights_sha256, f"{key}.json")


def _place(draft: Path, final: Path) -> None:
    """Rename a complete draft to `final`, unless there is a complete folder, which is never away.

    One that is not complete makes room: a copy of an object store may have it in part.
    """
    while not is_whole(final):
        try:
            draft.rename(final)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        rest = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):  # another process was faster
            final.rename(rest)
        if is_whole(rest):  # it became complete meanwhile: back with it
            draft = rest
        else:
            shutil.rmtree(rest, ignore_errors=True)
