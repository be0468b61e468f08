"""`raydistill law front`: what a sweep over shapes left foresees, as far as its points reach."""

import re

import pytest

from raydistill.laws.stored import save_fit
from raydistill.storage.store import Store
from support.kept_front import front_fit
from support.law_commands import law, refusal


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A storage with the fronts of a sweep over shapes by two rules."""
    folder = tmp_path_factory.mktemp("front")
    for rule in ("exact", "honey"):
        save_fit(Store(folder / "kept"), front_fit(rule))
    return folder


def test_a_front_that_a_sweep_left_is_listed_and_predicts_within_its_reach(folder):
    listing = law(folder)
    assert re.search(r"law of +a front, loss over FLOPs by the rule honey: law front", listing)
    for rule, flops in (("honey", 4e11), ("exact", 2e11)):
        said = law(folder, "front", "--flops", f"{flops:g}", "--rule", rule, "--json")
        low, high = said["answer"]["prediction"]["interval"]
        assert low < said["answer"]["prediction"]["value"] < high
        assert said["answer"]["prediction"]["value"] == pytest.approx(60 * flops**-0.09, rel=0.01)
        assert said["rule"] == rule
    text = law(folder, "front", "--flops", "4e11")
    assert re.search(r"nats +5\.\d{4}\n95 % interval", text)
    assert re.search(r"reach +within the points", text)


def test_a_front_is_no_more_used_than_its_reach(folder):
    assert "beyond the points" in law(folder, "front", "--flops", "1e13")
    refused = refusal(folder, "front", "--flops", "2.2e15")
    assert "a law is used up to 30×" in refused
    assert law(folder, "front", "--flops", "2.2e15", "--far")


def test_without_a_front_it_is_said_which_sweep_leaves_one(tmp_path):
    assert "no front by the rule honey is kept in" in refusal(tmp_path, "front", "--flops", "1e12")
