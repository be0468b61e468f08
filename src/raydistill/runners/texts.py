"""The texts of a sweep: tokenised side by side, with task items made of them and their facts.

Every text is looked for in the store first, and only what is missing is made.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from raydistill.data.corpus.general_heldout import make_general
from raydistill.data.corpus.preparation import (
    begin_corpus,
    build_corpus_in_turn,
    corpus_turn,
    find_corpus,
    is_large,
)
from raydistill.data.corpus.request import CorpusRequest, corpus_request
from raydistill.data.known_corpora import corpus_id
from raydistill.evaluation.probing import item_files as probe_files
from raydistill.evaluation.task_items import item_files, make_items
from raydistill.models.huggingface.chat_rendering import chat_renderer
from raydistill.runners.cluster.tasks import run_each_once, run_once
from raydistill.runners.tokenization import LARGE_BYTES, tokenise_shards
from raydistill.specs.corpus import CorpusInfo, facts_path, masked_line_path
from raydistill.specs.scale import Scale
from raydistill.storage.manifest import is_whole
from raydistill.storage.sharing import done_by_one
from raydistill.storage.store import Store
from raydistill.storage.urls import url_of


def has_text(scale: Scale, corpus_sha256: str, store: Store) -> bool:
    """Whether the corpus, a second text and the items of the scale's tasks and probes exist."""
    corpus = store.load(CorpusInfo, "corpora", corpus_sha256, "corpus.json")
    if corpus is None or not store.has("corpora", corpus_sha256):
        return False
    general = store.general(scale.evaluation.general, corpus)
    items = item_files(scale.evaluation.corpus_tasks, corpus_sha256, store)
    of_probes = probe_files.item_files(scale.evaluation.corpus_probes, corpus_sha256, store)
    return all(file.is_file() for file in (*items.values(), *of_probes.values())) and (
        not scale.evaluation.general or is_whole(general)
    )


def tokenise(scales: Sequence[Scale], store: Store, say: Callable[[str], None]) -> None:
    """Make the corpora of scales, and items of tasks and probes, unless another sweep has just.

    Large texts come one after the other, each on all nodes; all others side by side.

    Raises:
        DataError: if a text cannot be had, or is too short for a task.
    """
    by_turn = {corpus_turn(corpus_request(scale)): scale for scale in scales}
    with ExitStack() as turns:
        for turn in sorted(by_turn):  # every sweep in one order
            turns.enter_context(done_by_one(store.root, *turn, say=say))
        missing = [
            scale
            for scale in by_turn.values()
            if not has_text(scale, corpus_id(scale, store).corpus_sha256, store)
        ]
        for scale in missing:
            say(f"tokenising the corpus {scale.corpus!r}")
            _tokenise_in_shards(corpus_request(scale), store)
        jobs = [CorpusJob(scale=scale, storage=str(store.root)) for scale in missing]
        if jobs:
            run_each_once(make_corpus, {"CPU": 1}, jobs)
    for scale in by_turn.values():
        corpus = find_corpus(corpus_request(scale), store)
        for note in corpus.notes if corpus else ():
            say(note)
        if corpus and scale.evaluation.probes:
            probes = scale.evaluation.corpus_probes
            for name in probe_files.without_items(probes, corpus.corpus_sha256, store):
                say(
                    f"the corpus {corpus.name!r} has no items for probe {name}: "
                    "it is left out there"
                )


def _tokenise_in_shards(request: CorpusRequest, store: Store) -> None:
    """Make the shards of a large corpus that is missing, where nodes share the storage."""
    in_shards = is_large(request, LARGE_BYTES) and not url_of(store.root)
    if in_shards and find_corpus(request, store) is None:
        draft = run_once(begin_corpus, {"CPU": 1}, request, store, chat_renderer)
        tokenise_shards(request, draft, store)


def count_facts(corpora: Iterable[tuple[str, Scale]], store: Store) -> None:
    """Make the facts of the store's corpora, and the lines of masked losses, that are missing.

    Args:
        corpora: each with a scale that is measured on it.
        store: keeps both.
    """
    jobs = {_facts_job(sha256, scale, store) for sha256, scale in corpora}
    jobs = {job for job in jobs if store.has("corpora", job.corpus_sha256)}
    missing = sorted((job for job in jobs if job.is_missing(store)), key=astuple)
    if missing:
        run_each_once(make_text_facts, {"CPU": 1}, missing)


def _facts_job(corpus_sha256: str, scale: Scale, store: Store) -> "FactsJob":
    job = FactsJob(corpus_sha256=corpus_sha256, storage=str(store.root))
    if not (share := scale.evaluation.mask_share):
        return job
    windows = scale.evaluation.heldout_windows
    return replace(job, mask_share=share, windows=windows, context=scale.model.context)


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusJob:
    """The text of a scale, to be tokenised into a storage."""

    scale: Scale
    storage: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FactsJob:
    """A corpus of a storage whose facts are missing, or the line of a masked loss on it."""

    corpus_sha256: str
    storage: str
    mask_share: float = 0.0  # 0: of no masked loss
    windows: int = 0
    context: int = 0

    def is_missing(self, store: Store) -> bool:
        """Whether either is."""
        paths = [facts_path(self.corpus_sha256)]
        if self.mask_share:
            of_line = self.mask_share, self.windows, self.context
            paths.append(masked_line_path(self.corpus_sha256, *of_line))
        return not all(store.path(*path).is_file() for path in paths)


def make_corpus(job: CorpusJob) -> None:
    """On a worker, while the driver has the turn: tokenise the text, and make items of it."""
    scale, store = job.scale, Store(Path(job.storage))
    folder = build_corpus_in_turn(corpus_request(scale), store, chat_renderer)
    _make_facts(folder, store)
    make_items(scale.evaluation.corpus_tasks, store=store, folder=folder)
    probe_files.make_items(scale.evaluation.corpus_probes, store=store, folder=folder)
    if scale.heldout_general:
        make_general(scale.heldout_general, scale.text_field, folder, store)


def make_text_facts(job: FactsJob) -> None:
    """On a worker: the facts of a corpus that was made without them, and of its masked loss."""
    from raydistill.data.text_facts import make_masked_line  # noqa: PLC0415  (numpy, as below)

    store = Store(Path(job.storage))
    folder = store.path("corpora", job.corpus_sha256)
    _make_facts(folder, store)
    if share := job.mask_share:
        make_masked_line(folder, store, share=share, windows=job.windows, context=job.context)


def _make_facts(folder: Path, store: Store) -> None:
    from raydistill.data.text_facts import make_facts  # noqa: PLC0415  (numpy, on the worker only)

    make_facts(folder, store)
