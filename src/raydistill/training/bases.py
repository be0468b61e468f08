"""Bases on a worker: verified, measured whole and after cuts, their layers scored."""

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from raydistill.core.errors import DataError, OwnCodeError
from raydistill.core.parts import own_errors_named
from raydistill.core.progress import in_parts, tracked
from raydistill.data.batches import open_tokens
from raydistill.evaluation.likelihood.heldout_loss import heldout_loss
from raydistill.evaluation.probing import item_files as probe_files
from raydistill.evaluation.probing.stored import kept_probes, tuning_tokens
from raydistill.evaluation.scoring import MEASURING, scores_of, unmeasured_tokens
from raydistill.evaluation.stored_scores import cut_path
from raydistill.models.distributed import World
from raydistill.models.student import Student
from raydistill.models.weights import WEIGHTS, config_of, load_weights
from raydistill.pruning.calibration import calibration_samples
from raydistill.pruning.layer_choice import FailedChoice, LayerRequest, layer_choice_path
from raydistill.pruning.layer_scoring import choose_layers, total_passes
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import ExternalBase, TrialSpec
from raydistill.storage.manifest import sha256_of
from raydistill.storage.store import Store
from raydistill.training.fine_tuning import fine_tune
from raydistill.training.jobs import BaseJob, CutJob


def measure_cuts(job: CutJob, *, world: World) -> None:
    """Store the held-out nats of the base without each of the job's layer sets, untrained.

    Raises:
        DataError: if the base is missing or damaged.
    """
    store = Store(Path(job.storage))
    model = load_weights(base_folder(job.weights_sha256, store)).model.to(world.device)
    corpus, blocks = store.path("corpora", job.corpus_sha256), list(model.blocks)
    for layers in tracked(job.layer_sets, "scoring layer sets", "sets"):
        model.use_blocks(blocks)
        Student(model).remove(layers)
        nll = heldout_loss(model, corpus, job.evaluation)
        key = cut_path(job.weights_sha256, layers, job.corpus_sha256, job.evaluation, store)
        store.save(nll, *key)


def base_folder(weights_sha256: str, store: Store) -> Path:
    """The folder of a base's weights, in the store or shipped with the package.

    Raises:
        DataError: if there is none, or its bytes are not those of the name.
    """
    shipped = Path(str(resources.files("raydistill"))) / "bases"
    for folder in (store.path("bases", weights_sha256), *sorted(shipped.glob("*/*"))):
        path = folder / WEIGHTS
        if path.is_file() and sha256_of(path) == weights_sha256:
            return folder
        if folder.name == weights_sha256 and path.is_file():
            raise DataError(f"{path} has not the sha256 of its name: it was changed; delete it")
    raise DataError(f"no base with the sha256 {weights_sha256} in {store.root} or the package")


def load_verified(folder: Path, weights_sha256: str) -> Student:
    """The student in `folder`.

    Raises:
        DataError: if its weights do not have that sha256.
    """
    if sha256_of(folder / WEIGHTS) != weights_sha256:
        raise DataError(f"{folder / WEIGHTS} has not the sha256 {weights_sha256}: it was changed")
    return load_weights(folder)


def measure(job: BaseJob, *, world: World) -> tuple[FailedChoice, ...]:
    """Score a base as trials will be, and store the layers that data-driven locations choose.

    Returns:
        the choices that a score's own error prevents.

    Raises:
        DataError: if the corpus is too short.
    """
    store = Store(Path(job.storage))
    corpus = store.path("corpora", job.corpus_sha256)
    base = base_folder(job.weights_sha256, store)
    model = load_weights(base).model.to(world.device)
    tokens = open_tokens(corpus, model.config)
    samples = calibration_samples(tokens, world.device)
    weights, spec = job.weights_sha256, job.evaluation
    tokens_once = sum(ids.numel() for sample in samples for ids in sample)
    failed: dict[LayerRequest, FailedChoice] = {}
    layer_tokens = {}
    for score, requests in _by_score(job.layers).items():
        with _noted(requests, failed):
            layer_tokens[score] = tokens_once * total_passes(requests, len(model.blocks))
    score_tokens = unmeasured_tokens(weights, spec, model.config.context, tokens.info, store)
    probe_files.make_items(spec.corpus_probes, store=store, folder=corpus)
    probes = kept_probes(weights, job.corpus_sha256, spec, store)[1]
    probe_tokens = tuning_tokens(probes, model.config.context)
    total_tokens = score_tokens + probe_tokens + sum(layer_tokens.values())
    with in_parts(MEASURING, "tokens", total_tokens) as part:
        with part(score_tokens):
            scores_of(weights, lambda: model, store=store, folder=corpus, spec=spec)
        if probes:
            with part(probe_tokens):
                fine_tune(probes, base, job, world.device)
        for score, size in layer_tokens.items():
            requests = _by_score(job.layers)[score]
            with part(size), _noted(requests, failed):
                for choice in choose_layers(model, samples, requests):
                    key = layer_choice_path(weights, job.corpus_sha256, choice.request)
                    store.save(choice, *key)
    return tuple(failed.values())


def _by_score(requests: Iterable[LayerRequest]) -> dict[str, list[LayerRequest]]:
    by_score: dict[str, list[LayerRequest]] = {}
    for request in requests:
        by_score.setdefault(request.score, []).append(request)
    return by_score


@contextmanager
def _noted(
    requests: Iterable[LayerRequest], failed: dict[LayerRequest, FailedChoice]
) -> Iterator[None]:
    """Within the block, an error of a score is noted in `failed` for each request."""
    try:
        with own_errors_named():
            yield
    except (OwnCodeError, DataError) as error:
        text = "".join(traceback.format_exception(error))
        for request in requests:
            failed[request] = FailedChoice(request=request, message=str(error), traceback=text)


def teacher_shapes(spec: TrialSpec, store: Store) -> tuple[ModelConfig, ...]:
    """The shape of a trial's teacher, if one answers online: a cached one is shared."""
    if not isinstance(spec.teacher, ExternalBase):
        return ()
    return (config_of(base_folder(spec.teacher.weights_sha256, store)),)
