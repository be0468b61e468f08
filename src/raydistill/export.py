"""`raydistill export`: a trial or a base as a folder that every tool loads, with its card."""

import argparse
from collections.abc import Mapping
from dataclasses import replace

from raydistill.card import card
from raydistill.codec import to_json
from raydistill.errors import UsageError, unknown
from raydistill.hub_folder import check_target
from raydistill.lineage import FILE, Lineage, Speeds
from raydistill.models.hub import HubDecoder
from raydistill.outgoing import Source, find_source
from raydistill.places import place
from raydistill.pretrain import base_folder, load_verified
from raydistill.report.console import open_console
from raydistill.speed import measure_speeds
from raydistill.store import Store
from raydistill.student_folder import dtype_of, in_float32, stock_of, write_student
from raydistill.surgery import Student
from raydistill.world import World

DTYPES = ("base", "float32")


def export(store: Store, flags: argparse.Namespace) -> int:
    """Write a trial's student, or a base, into a folder.

    Raises:
        UsageError: if there is no such trial or base, or the folder may not be written.
        DataError: if its weights are damaged or gone, or the checkpoint that it came from.
    """
    to = place(flags.to)
    if flags.dtype not in DTYPES:
        raise UsageError(unknown("--dtype", flags.dtype, DTYPES))
    check_target(to, flags.overwrite)
    source = find_source(store, flags.trial)
    student = load_verified(source.weights, source.lineage.weights_sha256)
    if flags.dtype == "float32":
        in_float32(student)
    dtype = str(dtype_of(student)).removeprefix("torch.")
    lineage = replace(source.lineage, dtype=dtype)
    if not flags.no_measure:
        lineage = replace(lineage, speeds=_speeds(student, source, store))
    write_student(
        student,
        to,
        tokenizer=source.tokenizer,
        overwrite=flags.overwrite,
        notes=_notes(lineage, to.absolute().name, student),
    )
    layers = f"{len(lineage.kept)} of {lineage.base.num_layers} layers"
    open_console().print(f"{to.absolute()}: {layers}, in {dtype}", soft_wrap=True)
    return 0


def _notes(lineage: Lineage, name: str, student: Student) -> Mapping[str, str]:
    own_family = not isinstance(student.model, HubDecoder)
    return {"README.md": card(lineage, name, own_family=own_family), FILE: to_json(lineage)}


def _speeds(student: Student, source: Source, store: Store) -> Speeds:
    """Of the base and the student, side by side, in the precision that is written."""
    world, sha256 = World.here(), source.lineage.base.weights_sha256
    base = load_verified(base_folder(sha256, store), sha256)
    before, after = (
        stock_of(each, source.tokenizer).eval().to(world.device, dtype_of(student))
        for each in (base, student)
    )
    speeds = measure_speeds(before, after, student.model.config.context, world)
    student.model.cpu()
    return speeds
