"""How often a plan's trials read their text, and whether there is enough of it at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raydistill.core.units import format_bytes, format_tokens
from raydistill.data.conversations.template import chat_template_at
from raydistill.data.corpus.length import length_of
from raydistill.data.corpus.request import CorpusRequest, corpus_request, expected_notes
from raydistill.data.sources import hub
from raydistill.data.sources.source import name_of, sources_of
from raydistill.evaluation.task_items import items_of
from raydistill.evaluation.text_tasks import is_text_task
from raydistill.planning.artifacts import texts_read
from raydistill.planning.plan import SweepPlan
from raydistill.planning.prepared import PreparedSweep
from raydistill.specs.corpus import CHAT, CorpusInfo
from raydistill.specs.scale import Scale, load_scale, with_text_of
from raydistill.specs.shape.settings import names_text

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


def corpora_text(plan: SweepPlan) -> str:
    """The names of the texts that a plan reads, with the words that are allowed of them."""
    texts = [alike[0] for alike in texts_read(plan.scale, plan.cells)]
    names = [text.corpus + (f" (words of {text.words})" if text.words else "") for text in texts]
    return f"corp{'us' if len(names) == 1 else 'ora'} {', '.join(names)}"


def text_notes(prepared: PreparedSweep) -> Iterator[str]:
    """How often each text is read, and notes on it; before it is tokenised, those known without.

    Raises:
        DataError: as `repeats_of`.
    """
    plan = prepared.plan
    by_text = texts_read(plan.scale, plan.cells)
    for alike in by_text:
        name = f"{name_of(alike[0].corpus)}: " if len(by_text) > 1 else ""
        yield from (name + note for note in _notes(alike, prepared))


def _notes(alike: Sequence[Scale], prepared: PreparedSweep) -> Iterator[str]:
    corpus = _corpus(alike[0], prepared)
    request = corpus_request(alike[0])
    if repeats := repeats_of(alike, prepared):
        yield repeats.sentence
    else:
        texts = [source.text for source in sources_of(request.text)]
        yield from map(not_counted, filter(hub.is_id, texts))
    yield from corpus.notes if corpus else expected_notes(request)
    if lost := _lost_by_plain_text(request, prepared.plan.scale):
        yield lost
    own = prepared.plan.scale
    if names_text(alike[0].name) and with_text_of(own, load_scale(own.name)) != own:
        yield "named by the sizes that read it; flags that name a text are for the others"


def _lost_by_plain_text(request: CorpusRequest, scale: Scale) -> str:
    """What an instruct model loses that is healed on plain text; empty of any other."""
    if request.is_chat or not scale.brought or request.tokenizer is None:
        return ""
    if chat_template_at(request.tokenizer) is None:
        return ""
    return (
        "warning: the model has a chat template, and this is plain text: it is healed as a text "
        "model, and may forget the form of conversations and what it refuses; "
        f"--text-form {CHAT} heals on conversations"
    )


def _corpus(scale: Scale, prepared: PreparedSweep) -> CorpusInfo | None:
    sha256 = prepared.artifacts.corpus_of(scale).corpus_sha256
    return prepared.store.load(CorpusInfo, "corpora", sha256, "corpus.json")


def not_counted(text: str) -> str:
    """What is known of a data set of the hub before it is downloaded, in words."""
    size = hub.num_bytes(text)
    known = (
        f"{format_bytes(size)} in all columns" if size is not None else "a length it does not say"
    )
    return f"{text} has {known} by its card; its tokens are not counted before it is downloaded"


def repeats_of(alike: Sequence[Scale], prepared: PreparedSweep) -> Repeats | None:
    """How often the cells of scales with one text read it; None where its length is not known yet.

    Raises:
        DataError: if a text on this machine is too short to train or to be measured on.
    """
    scale, names = alike[0], {own.name for own in alike}
    cells = [cell for cell in prepared.plan.cells if cell.scale.name in names]
    read, reader = max(c.scale.recipe(c.request).total_tokens for c in cells), "trial"
    missing = [c.scale for c in cells if c.base.key not in prepared.artifacts.bases]
    if not read and missing and not prepared.plan.scale.brought:  # bases as they are, to be made
        read, reader = max(own.pretrain.total_tokens for own in missing), "pretraining"
    if info := _corpus(scale, prepared):
        size = info.train_tokens
        return Repeats(text_tokens=size, is_exact=True, read_tokens=read, reader=reader)
    request = corpus_request(scale)
    length = length_of(request, prepared.store)
    if length is None or not length.train_tokens:
        return None
    if length.heldout:
        tasks = filter(is_text_task, scale.evaluation.corpus_tasks)
        items_of(tasks, length.heldout, name_of(request.text))
    return Repeats(
        text_tokens=length.train_tokens,
        is_exact=length.is_exact,
        read_tokens=read,
        reader=reader,
    )
