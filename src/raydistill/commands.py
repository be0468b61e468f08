"""What the console command does: train bases, show MLflow's pages, read rungs off trials."""

import argparse
import json
import os
import shutil
import socket
import sys
from dataclasses import asdict
from pathlib import Path

from raydistill import tracking
from raydistill.codec import from_json
from raydistill.conduct import check_storage
from raydistill.corpus import check_corpus, wanted_by
from raydistill.errors import DataError, SetupError, UsageError
from raydistill.interrupts import interrupts_held
from raydistill.known import corpus_id, pretraining
from raydistill.manifest import MANIFEST, write_manifest
from raydistill.places import folder_to_fill, place
from raydistill.record import Record
from raydistill.report.console import open_console
from raydistill.report.settling import replay_lines, settling_lines
from raydistill.results import finished_trials
from raydistill.rungs import MIN_SETS, grids
from raydistill.scales import Scale, load_scale
from raydistill.store import Store
from raydistill.text_flags import with_text
from raydistill.units import format_age

DESCRIPTION = "base.json"


def ui(store: Store, flags: argparse.Namespace) -> int:
    """Become an MLflow server on the storage's database, on this machine alone.

    Raises:
        SetupError: if nothing was tracked there yet, or the port is taken.
    """
    uri, port = tracking.default_uri(store), flags.port
    if not store.path("mlflow.db").is_file():
        raise SetupError(f"{store.root} has no mlflow.db yet: run a sweep first")
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except (OSError, OverflowError) as error:
        raise SetupError(f"--port {port} of 127.0.0.1 cannot be used: {error}") from error
    server = f"http://127.0.0.1:{port}"
    for name, experiment_id in tracking.experiments(uri).items():
        print(f"{name}: {tracking.experiment_url(server, experiment_id)}", flush=True)
    command = tracking.ui_command(uri, port=port).split(" ")
    argv = [sys.executable, "-m", *command]
    os.execv(sys.executable, argv)  # noqa: S606  (no shell is the safe way)


def rungs(store: Store, flags: argparse.Namespace) -> int:
    """Say how early the order of the finished trials settled, or what a funnel would have chosen.

    Raises:
        DataError: if there are no layer sets to compare.
    """
    found = grids(finished_trials(store, flags.sweep or ""))
    if not found:
        of = f"sweep {flags.sweep!r}" if flags.sweep else "any sweep"
        raise DataError(
            f"{store.root} has no {MIN_SETS} finished layer sets of {of} that were trained alike"
        )
    lines = replay_lines if flags.replay else settling_lines
    print("\n".join(lines(found, flags.tolerance)), flush=True)
    return 0


def base(store: Store, flags: argparse.Namespace) -> int:
    """Train the bases of a scale by its recipe, and put them where `--to` says.

    Raises:
        DataError: if the text to train on is not here.
        UsageError: if `--to` holds bases already.
    """
    scale = with_text(load_scale(flags.scale), flags)
    if flags.to and (place(flags.to) / DESCRIPTION).exists():
        raise UsageError(f"{flags.to} holds bases already: choose another folder")
    check_corpus(wanted_by(scale))
    target = folder_to_fill(flags.to) if flags.to else None
    with interrupts_held():
        from raydistill.runners import cluster, stages  # noqa: PLC0415  (Ray)
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
        publish(scale, store, target)
    spec = pretraining(scale, corpus_id(scale, store))
    console.print(f"bases: {store.path('pretraining', spec.trial_id, 'ages.json')}")
    return 0


def publish(scale: Scale, store: Store, target: Path) -> None:
    """Lay out bases as the package ships them: weights, and how they came to be; never scores."""
    corpus = corpus_id(scale, store)
    run = pretraining(scale, corpus)
    folder = store.path("pretraining", run.trial_id)
    made: dict[str, str] = json.loads((folder / "ages.json").read_text("utf-8"))
    record = from_json(Record, (folder / "record.json").read_text("utf-8"))
    ages = {}
    for age in scale.ages:
        age_tokens, name = scale.age_tokens(age), format_age(age)
        sha256 = made[str(age_tokens)]
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
