"""What a model card says of a model's size."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from raydistill.core.units import B
from raydistill.export.lineage import of_base, origin_of
from raydistill.export.model_card import model_card
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.planning.cell import BaseRequest
from raydistill.specs.flops import active_parameters, parameters
from raydistill.specs.scale import load_scale

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tiny_decoders import tiny_decoder


@pytest.mark.parametrize("model_type", ["mamba", "deepseek_v3"])
def test_of_experts_the_active_parameters_are_told_too(model_type, tmp_path):
    tiny_decoder(model_type).save_pretrained(tmp_path)
    model = read_checkpoint(str(tmp_path), "main").model
    scale = replace(load_scale("smoke"), model=model)
    base = origin_of(BaseRequest(scale=scale, age=scale.ages[-1]), "0" * 64)
    text = model_card(of_base(base, None, small_scale=True), "mine", own_family=False)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    told = {row[0]: row[1:] for row in rows if row}
    assert told["parameters"] == [f"{parameters(model):,}"] * 2
    active = [f"{active_parameters(model):,}"] * 2
    assert told.get("active parameters") == (active if model_type == "deepseek_v3" else None)


def test_a_student_that_was_cut_from_its_teacher_says_so():
    small, large = (
        origin_of(BaseRequest(scale=load_scale(name), age=320 * B), "0" * 64)
        for name in ("smoke_small", "smoke")
    )
    lineage = replace(of_base(small, None, small_scale=True), cut_from=large)
    text = model_card(lineage, "mine", own_family=True)
    assert (
        "6 layers cut from `smoke` (320B) to a smaller shape, beside `smoke_small` (320B)" in text
    )
    assert lineage.removed == ()
