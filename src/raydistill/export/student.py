"""`raydistill export`: a trial or a base as a folder that `transformers` loads, with its card."""

import argparse
from collections.abc import Mapping
from dataclasses import replace

from raydistill.core.errors import UsageError, unknown
from raydistill.core.paths import resolve_path
from raydistill.core.serialization import to_json
from raydistill.export.inference_speed import measure_speeds
from raydistill.export.lineage import FILE, Lineage, Speeds
from raydistill.export.model_card import model_card
from raydistill.export.source import ExportSource, find_source
from raydistill.export.student_folder import (
    check_exportable,
    dtype_of,
    fill_student,
    in_float32,
    stock_of,
)
from raydistill.models.distributed import World
from raydistill.models.families.hub import HubDecoder
from raydistill.models.huggingface.saving import model_folder
from raydistill.models.huggingface.surgery.end_check import check_written
from raydistill.models.student import Student
from raydistill.reports.console.console import open_console
from raydistill.storage.store import Store
from raydistill.training.bases import base_folder, load_verified

DTYPES = ("base", "float32")


def export_student(store: Store, flags: argparse.Namespace) -> int:
    """Write a trial's student, or a base, into a folder.

    Raises:
        UsageError: if there is no such trial or base, the folder may not be written, or
            transformers has no class for it.
        DataError: if its weights are damaged or missing, or the checkpoint that it came from.
    """
    if flags.dtype not in DTYPES:
        raise UsageError(unknown("--dtype", flags.dtype, DTYPES))
    to = resolve_path(flags.to).absolute()
    source = find_source(store, flags.trial)
    written = model_folder(
        flags.to, overwrite=flags.overwrite, source=source.tokenizer, storage=store.root
    )
    with written as draft:
        student = load_verified(source.weights, source.lineage.weights_sha256)
        check_exportable(student.model)
        if flags.dtype == "float32":
            in_float32(student)
        dtype = str(dtype_of(student)).removeprefix("torch.")
        lineage = replace(source.lineage, dtype=dtype)
        if not flags.no_measure:
            lineage = replace(lineage, speeds=_speeds(student, source, store))
        notes = _notes(lineage, to.name, student)
        fill_student(student, draft, tokenizer=source.tokenizer, notes=notes)
        if isinstance(student.model, HubDecoder) and not flags.no_check:
            check_written(student.model.inner.to(dtype_of(student)), draft)
    layers = f"{len(lineage.kept)} of {lineage.base.num_layers} layers"
    open_console().print(f"{to}: {layers}, in {dtype}", soft_wrap=True)
    return 0


def _notes(lineage: Lineage, name: str, student: Student) -> Mapping[str, str]:
    own_family = not isinstance(student.model, HubDecoder)
    return {"README.md": model_card(lineage, name, own_family=own_family), FILE: to_json(lineage)}


def _speeds(student: Student, source: ExportSource, store: Store) -> Speeds:
    """Of the base and the student in one run, in the precision that is written."""
    world, sha256 = World.here(), source.lineage.base.weights_sha256
    base = load_verified(base_folder(sha256, store), sha256)
    before, after = (
        stock_of(model, source.tokenizer).eval().to(world.device, dtype_of(student))
        for model in (base, student)
    )
    speeds = measure_speeds(before, after, student.model.config.context, world)
    student.model.cpu()
    return speeds
