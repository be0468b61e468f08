"""What tests of plans share: a store with corpus, bases and finished trials, as plain values."""

import json
from pathlib import Path

from raydistill.data.known_corpora import CorpusId
from raydistill.planning.artifacts import Artifacts, pretraining
from raydistill.planning.cell import Cell
from raydistill.planning.resolve import resolve
from raydistill.pruning.layer_choice import LayerChoice, LayerRequest
from raydistill.specs.flops import exact_flops, paper_flops
from raydistill.specs.results import Cost, MadeBy, Trained
from raydistill.specs.scale import Scale
from raydistill.specs.trial import ExternalBase, TrialRequest, TrialSpec
from raydistill.storage.store import Store

CORPUS = CorpusId(corpus_sha256="c0" * 32, tokenizer_sha256="70" * 32)


def base(scale: Scale, age: int) -> ExternalBase:
    """A base of `scale` that exists."""
    return ExternalBase(name=scale.name, revision="some", weights_sha256=f"{age:064d}")


def cell_of(scale: Scale, request: TrialRequest) -> Cell:
    """A cell of a sweep over locations."""
    return Cell(sweep="some", scale=scale, values={"location": request.location}, request=request)


def choice_of(score: str, *layers: int, values: tuple[float, ...] = ()) -> LayerChoice:
    """What a data-driven location took by one calibration sample."""
    request = LayerRequest(score=score, count=len(layers))
    return LayerChoice(request=request, samples=(layers,), values=(values,) if values else ())


def all_known(scale: Scale, *choices: LayerChoice) -> Artifacts:
    """Everything made: the corpus, every age, and `choices` of the last age."""
    late = (scale.name, scale.ages[-1])
    return Artifacts(
        corpora={scale.name: CORPUS},
        bases={(scale.name, age): base(scale, age) for age in scale.ages},
        layer_choices={(late, choice.request): choice for choice in choices},
    )


def finished(spec: TrialSpec, scale: Scale, *, train_s: float) -> Trained:
    """A trial that took `train_s` seconds on one CPU."""
    recipe = spec.train.recipe
    return Trained(
        trial_id=spec.trial_id,
        spec=spec,
        model=scale.model,
        kept=tuple(x for x in range(scale.model.num_layers) if x not in spec.plan.layers),
        weights_sha256="f" * 64,
        curve=(),
        heldout_curve=(),
        cost=Cost(
            tokens=recipe.total_tokens,
            flops_paper=paper_flops(scale.model, spec.plan, recipe),
            flops_exact=exact_flops(scale.model, spec.plan, recipe),
            train_s=train_s,
            evaluate_s=1.0,
            peak_bytes=1,
        ),
        trained_in="some",
        made_by=MadeBy(device="cpu", world_size=1, torch="2", host="here"),
        started_s=0.0,
        ended_s=train_s,
    )


def keep_finished(
    store: Store, scale: Scale, request: TrialRequest, *, train_s: float
) -> TrialSpec:
    """Put a finished trial into the store; returns its spec."""
    spec = resolve(cell_of(scale, request), all_known(scale))
    assert isinstance(spec, TrialSpec)
    trained = finished(spec, scale, train_s=train_s)
    store.save(trained, "trials", spec.trial_id, "trained.json")
    return spec


def keep_ages(store: Store, scale: Scale, corpus: CorpusId) -> Path:
    """Note in the store that every age of `scale` was pretrained."""
    path = store.path("pretraining", pretraining(scale, corpus).trial_id, "ages.json")
    path.parent.mkdir(parents=True)
    sha256s = {str(scale.age_tokens(a)): base(scale, a).weights_sha256 for a in scale.ages}
    path.write_text(json.dumps(sha256s))
    return path
