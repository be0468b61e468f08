"""`raydistill base`: train the bases of a scale by its recipe."""

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from raydistill.cli.arguments.text_flags import with_text
from raydistill.core.errors import UsageError
from raydistill.core.paths import folder_to_fill, resolve_path
from raydistill.core.serialization import from_json
from raydistill.core.signals import interrupts_held
from raydistill.core.units import format_age
from raydistill.data.corpus.preparation import check_corpus
from raydistill.data.corpus.request import corpus_request
from raydistill.planning.artifacts import corpus_id, pretraining
from raydistill.reports.console.console import open_console
from raydistill.specs.scale import Scale, load_scale
from raydistill.specs.training_record import Record
from raydistill.storage.manifest import MANIFEST, write_manifest
from raydistill.storage.object_store import check_storage
from raydistill.storage.store import Store

DESCRIPTION = "base.json"


def base(store: Store, flags: argparse.Namespace) -> int:
    """Train the bases of a scale, and copy them to where `--to` says.

    Raises:
        DataError: if the text to train on is not here.
        UsageError: if `--to` holds bases already.
    """
    scale = with_text(load_scale(flags.scale), flags)
    if flags.to and (resolve_path(flags.to) / DESCRIPTION).exists():
        raise UsageError(f"{flags.to} holds bases already: choose another folder")
    check_corpus(corpus_request(scale))
    target = folder_to_fill(flags.to) if flags.to else None
    with interrupts_held():
        from raydistill.runners import stages  # noqa: PLC0415  (Ray)
        from raydistill.runners.cluster import connection as cluster  # noqa: PLC0415  (Ray)
    check_storage(store.root)
    console = open_console()
    console.print(
        "The recipe is the same everywhere; the bits are not: another CPU type or torch version "
        "gives other weights, and so another base."
    )
    with cluster.connected(store.path("pretraining", "ray.log")):
        need = cluster.device_need()
        stages.tokenise(scale, store, console.print)
        stages.pretrain_bases(scale, store, need, console.print)
    if target:
        _publish(scale, store, target)
    spec = pretraining(scale, corpus_id(scale, store))
    console.print(f"bases: {store.path('pretraining', spec.trial_id, 'ages.json')}")
    return 0


def _publish(scale: Scale, store: Store, target: Path) -> None:
    """Lay out bases as the package ships them: weights and how they were trained, no scores."""
    corpus = corpus_id(scale, store)
    run = pretraining(scale, corpus)
    folder = store.path("pretraining", run.trial_id)
    sha256_of_age: dict[str, str] = json.loads((folder / "ages.json").read_text("utf-8"))
    record = from_json(Record, (folder / "record.json").read_text("utf-8"))
    ages = {}
    for age in scale.ages:
        age_tokens, name = scale.age_tokens(age), format_age(age)
        sha256 = sha256_of_age[str(age_tokens)]
        shutil.copytree(store.path("bases", sha256), target / name, ignore=lambda *_: {MANIFEST})
        ages[name] = {"age_tokens": age_tokens, "weights_sha256": sha256}
    tokenizer = store.path("corpora", corpus.corpus_sha256, "tokenizer.json")
    shutil.copy(tokenizer, target / "tokenizer.json")
    about = {
        "command": f"raydistill base --scale {scale.name}",
        "corpus": scale.corpus,
        "corpus_sha256": corpus.corpus_sha256,
        "tokenizer_sha256": corpus.tokenizer_sha256,
        "model": asdict(scale.model),
        "recipe": asdict(scale.pretrain),
        "ages": ages,
        "loss_curve": [[p.tokens, round(p.loss, 4)] for p in record.thinned_curve(scale.pretrain)],
    }
    (target / DESCRIPTION).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    write_manifest(target)
