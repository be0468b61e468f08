"""What a plan says of lengths: perplexity's windows, what is read of tasks, what is truncated."""

from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.lm_harness.task_data import ITEMS, data_folder
from raydistill.evaluation.lm_harness.truncation import paper_truncation
from raydistill.evaluation.scoring import kept_documents
from raydistill.planning.artifacts import measured_bases
from raydistill.planning.axes.named_checkpoint import local_tokenizer
from raydistill.planning.cell import bases_of
from raydistill.planning.prepared import PreparedSweep, missing_probes
from raydistill.specs.corpus import CorpusInfo
from raydistill.specs.evaluation import PERPLEXITY, plain_task, words_of
from raydistill.specs.results import Truncation


def lengths_text(prepared: PreparedSweep) -> str:
    """Tokens of a window of perplexity and of what is read of a task, and items that are longer.

    Items are counted once a base is measured; before that those of the paper's 13 tasks, where
    their data and the tokenizer are local.
    """
    scale = prepared.plan.shown_scale
    tokens = scale.evaluation.tokens_read(scale.model)
    longer = [
        f"{t.truncated} of {t.items} of {name}"
        for name, t in sorted((_expected(prepared) | _counted(prepared)).items())
        if t.truncated
    ]
    loss = words_of(PERPLEXITY, scale.evaluation.loss)
    lost = f"; longer items lose their beginning ({', '.join(longer)})" if longer else ""
    windows = f"{scale.evaluation.heldout_windows} windows of {scale.model.context:,} tokens"
    tasks = f", tasks up to {tokens:,} tokens{lost}" if scale.evaluation.tasks else ""
    return f"{loss} in {windows}{tasks}"


def probes_text(prepared: PreparedSweep) -> str:
    """The probes of a plan, and how many fine-tunings of its bases are left; empty if none."""
    bases = [base for base in measured_bases(prepared.plan.cells) if base.scale.evaluation.probes]
    if not bases:
        return ""
    names = dict.fromkeys(probe for base in bases for probe in base.scale.evaluation.probes)
    left = sum(len(missing_probes(base, prepared)) for base in bases)
    whose = "its base" if len(bases) == 1 else f"{len(bases)} bases, the oldest of each scale"
    return (
        f"{', '.join(names)}; {left} fine-tunings of {whose}, from its weights and from fresh ones"
    )


def _expected(prepared: PreparedSweep) -> dict[str, Truncation]:
    """By task, from its documents, as far as these and the tokenizer are local."""
    scale, store = prepared.plan.scale, prepared.store
    corpus = store.path("corpora", prepared.artifacts.corpus_of(scale).corpus_sha256)
    tokenizer = corpus if corpus.is_dir() else local_tokenizer(scale)
    if tokenizer is None:
        return {}
    folder = prepared.plan.options.task_data
    truncations = {}
    for source in scale.evaluation.sources:
        file = data_folder(source, store) / ITEMS
        if folder is not None and not file.is_file():
            file = folder / f"{source.task}.jsonl"
        if source.task in PAPER13 and not source.num_fewshot and file.is_file():
            truncations[source.task] = paper_truncation(
                source.task,
                file,
                tokenizer,
                scale.evaluation.tokens_read(scale.model),
                scale.evaluation.limit,
            )
    return truncations


def _counted(prepared: PreparedSweep) -> dict[str, Truncation]:
    """By task, as counted when a base was measured."""
    store, artifacts = prepared.store, prepared.artifacts
    texts = {
        base: store.load(
            CorpusInfo, "corpora", artifacts.corpus_of(base.scale).corpus_sha256, "corpus.json"
        )
        for base in bases_of(prepared.plan.cells)
        if base.key in artifacts.bases
    }
    return {
        plain_task(name): scores.truncation
        for base, corpus in texts.items()
        if corpus is not None
        for name, scores in kept_documents(
            artifacts.bases[base.key].weights_sha256,
            store=store,
            corpus=corpus,
            spec=base.scale.evaluation,
        ).items()
        if not isinstance(scores.truncation, str)
    }
