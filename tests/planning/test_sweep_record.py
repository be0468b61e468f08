"""A sweep's record in the store."""

from dataclasses import replace

from raydistill.planning.artifacts import layer_request
from raydistill.planning.history.sweep_record import (
    CellRequest,
    SweepRecord,
    all_records,
    save_record,
)
from raydistill.planning.resolve import resolve
from raydistill.pruning.layer_choice import FailedChoice
from raydistill.specs.scale import load_scale
from raydistill.storage.store import Store
from support.planned import all_known, cell_of, choice_of

TOKEN = "hf_0123456789abcdefghij"


def test_names_that_are_tokens_are_hidden_and_a_repetition_writes_nothing(tmp_path):
    scale, store = load_scale("smoke"), Store(tmp_path)
    request = scale.trial(age=scale.ages[-1], location="input", count=2)
    cell = cell_of(scale, request)
    spec = resolve(cell, all_known(scale))
    named = replace(cell, scale=replace(scale, corpus=f"/texts/{TOKEN}.jsonl"))
    record = SweepRecord(
        name="some", question="?", axes=(), scale="smoke", small_scale=True, searched=False,
        cells=(CellRequest(cell=named, spec=spec, base_sha256="0" * 64),),
    )  # fmt: skip
    save_record(record, store)
    file = tmp_path / "sweeps" / "some" / "smoke" / "asked.json"
    assert TOKEN not in file.read_text()
    (stored,) = all_records(store)
    assert stored.cells[0].cell.scale.corpus == "/texts/***.jsonl"
    before = file.stat().st_ino
    save_record(record, store)
    assert file.stat().st_ino == before


def test_a_cell_whose_score_failed_makes_room_for_the_next_try(tmp_path):
    scale, store = load_scale("smoke"), Store(tmp_path)
    request = scale.trial(age=scale.ages[-1], location="block-influence", count=2)
    cell = cell_of(scale, request)
    asked = layer_request(request)
    failed = FailedChoice(request=asked, message="?", traceback="")
    begun = all_known(scale)
    worlds = [
        replace(begun, failed_choices={(cell.base.key, asked): failed}),
        all_known(scale, choice_of("block-influence", 1, 2)),
    ]
    specs = [resolve(cell, artifacts) for artifacts in worlds]
    for spec in specs:
        record = SweepRecord(
            name="some", question="?", axes=(), scale="smoke", small_scale=True, searched=False,
            cells=(CellRequest(cell=cell, spec=spec, base_sha256="0" * 64),),
        )  # fmt: skip
        save_record(record, store)
    (stored,) = all_records(store)
    assert [each.spec for each in stored.cells] == specs[1:]
