"""Axes and depth per FLOP, probes and correlations of a sweep over shapes, as planted."""

import dataclasses
import math

import pytest

from raydistill.reports.reduced_scale.depth import FLOPS, PARAMETERS
from raydistill.reports.reduced_scale.probes import MEAN, ZERO_SHOT
from raydistill.reports.reduced_scale.runs import MASKED
from raydistill.reports.reduced_scale.tables import reduced_scale_tables
from raydistill.specs.evaluation import FRESH
from support.shaped import GRID, TOKENS, found, power, probed, run, scores, section


def test_the_best_axis_per_flop_is_told_from_a_worse_one():
    def wide_is_better(flops, shape, tokens):
        return power(flops, shape, tokens) - 0.1 * math.log2(shape.width / 32)

    runs = [run(wide_is_better, tokens=TOKENS[-1:], **of) for of in GRID]
    findings = found(runs)
    assert [of.axis for of in findings.slopes if of.best] == ["width"]
    words = section(reduced_scale_tables(findings), "One axis at a time").words[0]
    assert words.startswith("Per FLOP width lowers the loss most here, -0.")
    assert "told apart: layers and feed-forward" in words


def test_depth_is_compared_at_equal_parameters_and_at_equal_flops():
    def deep_is_worse(flops, shape, tokens):
        return power(flops, shape, tokens) + 0.02 * shape.layers

    runs = [
        run(deep_is_worse, tokens=TOKENS[-1:], **of)
        for of in ({}, {"heads": 2}, {"layers": 8, "width": 16, "feed_forward": 160},
                   {"layers": 2, "feed_forward": 320})
    ]  # fmt: skip
    pairs = found(runs).depth
    equal = {(p.equal, p.shallow.shape.layers, p.deep.shape.layers): p for p in pairs}
    assert all(p.deep.non_embedding <= 1.03 * p.shallow.non_embedding
               for p in pairs if p.equal == PARAMETERS)  # fmt: skip
    assert (PARAMETERS, 2, 4) in equal
    assert {p.equal for p in pairs} <= {PARAMETERS, FLOPS}
    assert len(pairs) == len(equal)  # the shape with other heads stands for none
    assert {p.sign for p in pairs} == {1}
    words = section(reduced_scale_tables(found(runs)), "Depth at equal size").words
    assert "the shallower shape is better in " in words[0]


def test_the_smallest_size_that_pretraining_helps_and_whether_larger_ones_follow():
    def gains(helps):
        runs = [run(tokens=TOKENS[-1:], width=w) for w in (8, 16, 32, 64)]
        return found([
            probed(probed(of, 0.03 * (of.shape.width in helps)), 0.0, probe="order")
            for of in runs
        ])  # fmt: skip

    everywhere = section(reduced_scale_tables(gains((16, 32, 64))), "Probes")
    assert everywhere.words[0] == (
        "paraphrase: width=16, 67,072 parameters, is the smallest of the 4 sizes tried that "
        "pretraining helps, and at all 2 larger ones."
    )
    assert everywhere.words[1] == "order: pretraining helps at none of the 4 sizes tried."
    assert everywhere.words[2].startswith(f"{MEAN}: width=16")
    assert everywhere.words[3].startswith("Partly as in the paper (pretraining helps models as")
    assert everywhere.rows[1][4].endswith(" !")
    once = section(reduced_scale_tables(gains((16,))), "Probes")
    assert once.words[0].endswith("and not at all larger ones.")
    none = section(reduced_scale_tables(gains(())), "Probes")
    assert none.words[3].startswith("Neither for nor against the paper")


@pytest.mark.parametrize(("gain", "said"), [(0.2, "helps"), (0.0, "does not help")])
def test_of_one_size_is_said_whether_pretraining_helps(gain, said):
    words = section(reduced_scale_tables(found([probed(run(tokens=TOKENS[-1:]), gain)])), "Probes")
    assert words.words[0] == f"paraphrase: pretraining {said} at the one size tried."


def test_masked_runs_have_their_probes_in_the_table_and_are_in_no_verdict():
    causal = probed(run(tokens=TOKENS[-1:]), 0.0)
    masked = probed(run(tokens=TOKENS[-1:], objective=MASKED, name="reduced+mask=0.15"), 0.2)
    table = section(reduced_scale_tables(found([masked, causal])), "Probes")
    assert [row[0] for row in table.rows] == ["reduced", "mask=0.15"]
    assert table.rows[1][4].endswith(" !")
    assert table.words[:2] == (
        "Verdicts are of causal on bbe alone, not of mask=0.15.",
        "paraphrase: pretraining does not help at the one size tried.",
    )
    unprobed = section(reduced_scale_tables(found([masked, run(tokens=TOKENS[-1:])])), "Probes")
    assert unprobed.words == ("In no verdict: mask=0.15.",)


def test_a_probe_that_pretraining_harms_is_named():
    runs = [run(tokens=TOKENS[-1:], width=w) for w in (8, 16, 32)]
    of_runs = [probed(of, -0.2 * (of.shape.width < 32)) for of in runs]
    words = section(reduced_scale_tables(found(of_runs)), "Probes").words
    assert words[1].startswith("paraphrase: at 2 of 3 shapes it harms: the interval lies below 0")
    assert not any("harms" in each for each in section(
        reduced_scale_tables(found([probed(of, 0.0) for of in runs])), "Probes"
    ).words)  # fmt: skip


def test_a_probe_needs_both_starts():
    of = probed(run(tokens=TOKENS[-1:]), 0.1)
    half = {name: by for name, by in of.oldest.probes.items() if FRESH not in name}
    point = dataclasses.replace(of.oldest, probes=half)
    assert found([dataclasses.replace(of, points=(point,))]).gains == ()


def test_perplexity_and_scores_correlate_over_models_with_an_interval():
    def scored(width, accuracy):
        of = run(tokens=TOKENS[-1:], width=width)
        point = dataclasses.replace(of.oldest, tasks={"last-word": scores(accuracy)})
        return dataclasses.replace(of, points=(point,))

    widths = (8, 16, 24, 32, 48, 64)
    findings = found([scored(w, 0.2 + 0.05 * i) for i, w in enumerate(widths)])
    (of,) = findings.correlations
    assert (of.score, of.models) == (ZERO_SHOT, 6)
    assert of.spearman.value == pytest.approx(-1)
    assert of.pearson.high < 0
    words = section(reduced_scale_tables(findings), "Perplexity and scores").words[0]
    assert words.startswith("As in the paper (perplexity and downstream scores go together")
    assert words.endswith("6 models are few: such an interval is too short.")
    assert found([scored(8, 0.3), scored(16, 0.4)]).correlations == ()
    (mixed,) = found([scored(w, 0.3 + 0.1 * (i % 2)) for i, w in enumerate(widths)]).correlations
    assert mixed.pearson.low < 0 < mixed.pearson.high


def test_runs_that_stay_on_the_plateau_have_no_slope_and_no_pair():
    def slow(flops, shape, tokens):
        return 5.9 if shape.width < 32 else power(flops, shape, tokens)

    runs = [
        run(slow, tokens=TOKENS[-1:], width=w, layers=n) for w in (8, 16, 32, 64) for n in (2, 4)
    ]
    findings = found(runs)
    (width,) = (of for of in findings.slopes if of.axis == "width")
    assert width.values == (32, 64)
    assert all(pair.deep.shape.width >= 32 for pair in findings.depth)
    assert not any(of.startswith(("One axis", "Depth")) for of in titles(found(runs[:4])))


def titles(findings):
    return [of.title for of in reduced_scale_tables(findings)]


def test_a_run_of_another_recipe_is_in_no_slope_and_is_named():
    runs = [run(tokens=TOKENS[-1:], width=w) for w in (16, 32)]
    other = dataclasses.replace(
        run(tokens=TOKENS[-1:], width=64), name="reduced+lr=0.0001+width=64"
    )
    findings = found([*runs, other])
    (width,) = (slope for slope in findings.slopes if slope.axis == "width")
    assert width.values == (16, 32)
    words = section(reduced_scale_tables(findings), "Shapes").words
    assert any("by another recipe" in each and "lr=0.0001" in each for each in words)
