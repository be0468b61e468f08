"""Layer sets measured by taking them out of a base, without any training."""

from pathlib import Path

from raydistill.checkpoint import load_weights
from raydistill.evaluate.perplexity import heldout_nll
from raydistill.jobs import CutJob
from raydistill.pretrain import base_folder
from raydistill.results import cut_path
from raydistill.store import Store
from raydistill.surgery import Student
from raydistill.world import World


def measure_cuts(job: CutJob, *, world: World) -> None:
    """Keep the held-out nats of the base without each of the job's layer sets.

    Raises:
        DataError: if the base is missing or damaged.
    """
    store = Store(Path(job.storage))
    model = load_weights(base_folder(job.weights_sha256, store)).model.to(world.device)
    corpus, blocks = store.path("corpora", job.corpus_sha256), list(model.blocks)
    windows, context = job.evaluation.heldout_windows, model.config.context
    for layers in job.layer_sets:
        model.use_blocks(blocks)
        Student(model).remove(layers)
        nll = heldout_nll(model, corpus, windows=windows, context=context)
        place = cut_path(job.weights_sha256, layers, job.corpus_sha256, job.evaluation, store)
        store.save(nll, *place)
