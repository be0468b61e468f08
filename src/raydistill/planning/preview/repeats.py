"""How often a plan's trials read their text, and whether there is enough of it at all."""

from collections.abc import Iterator
from dataclasses import dataclass

from raydistill.core.units import format_bytes, format_tokens
from raydistill.data.corpus.length import length_of
from raydistill.data.corpus.request import corpus_request, expected_notes
from raydistill.data.sources import hub
from raydistill.data.sources.source import name_of, sources_of
from raydistill.evaluation.task_items import items_of
from raydistill.evaluation.text_tasks import is_text_task
from raydistill.planning.prepared import PreparedSweep
from raydistill.specs.corpus import CorpusInfo

# Up to about four epochs repeated text is worth nearly as much as new text, later less and less
# (Muennighoff et al., Scaling Data-Constrained Language Models, 2023, section 5 and figure 5).
MOST_EPOCHS = 4
BEYOND = (
    f"more than {MOST_EPOCHS} times, beyond which repeated text is worth little "
    "(Muennighoff et al., 2023)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """The training text of a plan beside what its longest trial, or pretraining, reads of it."""

    text_tokens: int
    is_exact: bool
    read_tokens: int
    reader: str = "trial"

    @property
    def epochs(self) -> float:
        """How often the text is read."""
        return self.read_tokens / self.text_tokens

    @property
    def sentence(self) -> str:
        """The epochs in words, with a warning where they are many."""
        about = "" if self.is_exact else "about "
        text = f"{about}{format_tokens(self.text_tokens)} training tokens"
        if self.epochs <= 1:
            return f"{text}, of which the longest {self.reader} reads {100 * self.epochs:.3g} %"
        line = f"{text}, which the longest {self.reader} reads {self.epochs:.3g} times"
        if self.epochs <= MOST_EPOCHS:
            return line
        shorter = " or a smaller --budget" if self.reader == "trial" else ""
        return f"{line}; warning: {BEYOND}: take a longer --corpus{shorter}"


def text_notes(prepared: PreparedSweep) -> Iterator[str]:
    """How often the text is read, and notes on it; before it is tokenised, those known without.

    Raises:
        DataError: as `repeats_of`.
    """
    sha256 = prepared.artifacts.corpus.corpus_sha256
    corpus = prepared.store.load(CorpusInfo, "corpora", sha256, "corpus.json")
    request = corpus_request(prepared.plan.scale)
    texts = [source.text for source in sources_of(request.text)]
    if repeats := repeats_of(prepared):
        yield repeats.sentence
    else:
        yield from map(not_counted, filter(hub.is_id, texts))
    yield from corpus.notes if corpus else expected_notes(request)


def not_counted(text: str) -> str:
    """What is known of a data set of the hub before it is downloaded, in words."""
    size = hub.num_bytes(text)
    known = (
        f"{format_bytes(size)} in all columns" if size is not None else "a length it does not say"
    )
    return f"{text} has {known} by its card; its tokens are not counted before it is downloaded"


def repeats_of(prepared: PreparedSweep) -> Repeats | None:
    """How often a plan reads its text; None where its length is not known yet.

    Raises:
        DataError: if a text on this machine is too short to train or to be measured on.
    """
    plan, store = prepared.plan, prepared.store
    read, reader = max(c.scale.recipe(c.request).total_tokens for c in plan.cells), "trial"
    missing = [c.scale for c in plan.cells if c.base.key not in prepared.artifacts.bases]
    if not read and missing and not plan.scale.brought:  # bases as they are, to be made
        read, reader = max(scale.pretrain.total_tokens for scale in missing), "pretraining"
    sha256 = prepared.artifacts.corpus.corpus_sha256
    info = store.load(CorpusInfo, "corpora", sha256, "corpus.json")
    if info is not None:
        size = info.train_tokens
        return Repeats(text_tokens=size, is_exact=True, read_tokens=read, reader=reader)
    request = corpus_request(plan.scale)
    length = length_of(request, store)
    if length is None or not length.train_tokens:
        return None
    if length.heldout:
        tasks = filter(is_text_task, plan.scale.evaluation.corpus_tasks)
        items_of(tasks, length.heldout, name_of(request.text))
    return Repeats(
        text_tokens=length.train_tokens,
        is_exact=length.is_exact,
        read_tokens=read,
        reader=reader,
    )
