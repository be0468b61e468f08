"""`raydistill base`: train the bases of a scale by its recipe."""

import argparse
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from raydistill.cli.arguments.text_flags import check_text_flags, with_text
from raydistill.core.serialization import from_json
from raydistill.core.signals import interrupts_held
from raydistill.core.units import format_age
from raydistill.data.corpus.preparation import check_corpus
from raydistill.data.corpus.request import corpus_request
from raydistill.data.known_corpora import corpus_id
from raydistill.planning.artifacts import base_command, pretraining
from raydistill.reports.console.console import open_console
from raydistill.specs.results import Record
from raydistill.specs.scale import Scale, load_scale
from raydistill.storage.manifest import MANIFEST
from raydistill.storage.object_store import check_storage
from raydistill.storage.output_folder import output_folder, write_errors
from raydistill.storage.store import Store


def base(store: Store, flags: argparse.Namespace) -> int:
    """Train the bases of a scale, and copy them to where `--to` says.

    Raises:
        DataError: if the text to train on is not here.
        UsageError: if `--to` may not be written.
    """
    scale = with_text(load_scale(flags.scale), flags)
    check_text_flags([flags.scale], flags)
    scale = replace(scale, evaluation=replace(scale.evaluation, tasks=()))  # sweeps measure
    check_corpus(corpus_request(scale))
    if not flags.to:
        _train(scale, store)
        return 0
    with output_folder(
        flags.to, overwrite=flags.overwrite, apart_from={"the storage": store.root}
    ) as draft:
        _train(scale, store)
        with write_errors(draft):
            _publish(scale, store, draft)
    return 0


def _train(scale: Scale, store: Store) -> None:
    """Train what the store lacks of the bases, and say where they are."""
    with interrupts_held():
        from raydistill.runners.cluster import connection as cluster  # noqa: PLC0415  (Ray)
        from raydistill.runners.pretraining import pretrain_bases  # noqa: PLC0415  (Ray)
        from raydistill.runners.texts import tokenise  # noqa: PLC0415  (Ray)
    check_storage(store.root)
    console = open_console()
    console.print(
        "The recipe is the same everywhere; the bits are not: another CPU type or torch version "
        "gives other weights, and so another base."
    )
    with cluster.connected(store.path("pretraining", "ray.log")):
        need = cluster.device_need()
        tokenise([scale], store, console.print)
        pretrain_bases([scale], store, need, console.print)
    spec = pretraining(scale, corpus_id(scale, store))
    console.print(f"bases: {store.path('pretraining', spec.trial_id, 'ages.json')}")


def _publish(scale: Scale, store: Store, folder: Path) -> None:
    """Lay out bases as the package ships them: weights and how they were trained, no scores."""
    corpus = corpus_id(scale, store)
    run = pretraining(scale, corpus)
    trained = store.path("pretraining", run.trial_id)
    sha256_of_age: dict[str, str] = json.loads((trained / "ages.json").read_text("utf-8"))
    record = from_json(Record, (trained / "record.json").read_text("utf-8"))
    ages = {}
    for age in scale.ages:
        age_tokens, name = scale.age_tokens(age), format_age(age)
        sha256 = sha256_of_age[str(age_tokens)]
        shutil.copytree(store.path("bases", sha256), folder / name, ignore=lambda *_: {MANIFEST})
        ages[name] = {"age_tokens": age_tokens, "weights_sha256": sha256}
    tokenizer = store.path("corpora", corpus.corpus_sha256, "tokenizer.json")
    shutil.copy(tokenizer, folder / "tokenizer.json")
    about = {
        "command": base_command(scale),
        "corpus": scale.corpus,
        "corpus_sha256": corpus.corpus_sha256,
        "tokenizer_sha256": corpus.tokenizer_sha256,
        "model": asdict(scale.model),
        "recipe": scale.pretrain.named_fields,
        "ages": ages,
        "loss_curve": [[p.tokens, round(p.loss, 4)] for p in record.thinned_curve(scale.pretrain)],
    }
    (folder / "base.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
