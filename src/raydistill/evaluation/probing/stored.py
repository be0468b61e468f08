"""The accuracies of probes in the store, one by one as all scores: of bases alone.

They enter no mean over tasks and no drop. Importing this imports no torch.
"""

from collections.abc import Iterable

from raydistill.core.parts import PROBE
from raydistill.core.serialization import digest
from raydistill.evaluation.probing.item_files import ITEMS_VERSION, sizes_of, without_items
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import EvalSpec, read_probe_score
from raydistill.specs.part_identity import edited_families, part_identity
from raydistill.specs.results import Documents
from raydistill.storage.store import Store

TUNING_VERSION = 1  # raised when fine-tuning (`training/fine_tuning.py`) would give other scores
EPOCHS = 2  # over the items of a probe
ITEM_TOKENS = 50  # about, of an item


def probe_key(name: str, corpus: CorpusInfo, spec: EvalSpec) -> str:
    """The store's name of an accuracy, named by `specs.evaluation.probe_score`.

    Raises:
        UsageError: if there is no such probe.
    """
    probe, start, seed = read_probe_score(name)
    source = spec.probe_source(probe)
    if source:
        items = [source.data_sha256]
    else:
        items = [str(ITEMS_VERSION), part_identity(PROBE, probe), corpus.corpus_sha256]
    text = [corpus.tokenizer_sha256, *corpus.begin_ids, *edited_families().values()]
    return f"probe-{probe}-{start}-{seed}-{digest([TUNING_VERSION, *items, *text])}"


def requested_probes(spec: EvalSpec, corpus: CorpusInfo, store: Store) -> tuple[str, ...]:
    """The names of the accuracies that a base on a corpus is to have.

    Raises:
        UsageError: if there is no such probe.
    """
    lacking = without_items(spec.corpus_probes, corpus.corpus_sha256, store)
    return tuple(n for n in spec.probe_scores if read_probe_score(n)[0] not in lacking)


def kept_probes(
    weights_sha256: str, corpus_sha256: str, spec: EvalSpec, store: Store
) -> tuple[Documents, tuple[str, ...]]:
    """The accuracies of some weights that the store has, by name, and the names of those missing.

    Raises:
        UsageError: if there is no such probe.
    """
    corpus = store.load(CorpusInfo, "corpora", corpus_sha256, "corpus.json")
    if corpus is None or not spec.probes:
        return {}, spec.probe_scores
    requested = requested_probes(spec, corpus, store)
    loaded = {n: store.unit_scores(weights_sha256, probe_key(n, corpus, spec)) for n in requested}
    kept = {name: scores for name, scores in loaded.items() if scores is not None}
    return kept, tuple(name for name in requested if name not in kept)


def tuning_tokens(names: Iterable[str], context: int) -> int:
    """About how many tokens fine-tuning for accuracies reads; those learnt from count as three."""
    sizes = (sizes_of(read_probe_score(name)[0]) for name in names)
    return sum(3 * EPOCHS * train + test for train, test in sizes) * min(ITEM_TOKENS, context)
