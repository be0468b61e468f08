"""Every sentence of `raydistill rank` is true of the numbers that it prints."""

import re
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.pruning.ranking_result import Cut, Ranking, layers_text
from raydistill.reports.ranking import (
    NOT_MISSED_NATS,
    findings,
    perplexity,
    sections,
    tied_with_lowest,
)
from raydistill.specs.locations import RANDOM_LOCATIONS

LAYERS = 8
SETS = {"input": (1, 2), "output": (5, 6), "both": (1, 6), "alt-both": (1, 6)}
SETS |= dict(zip(RANDOM_LOCATIONS, ((2, 5), (3, 6), (1, 5)), strict=False))
NATS = st.floats(2.0, 2.2)


@st.composite
def rankings(draw):
    windows = st.lists(NATS, min_size=16, max_size=16)
    by_layers = {layers: tuple(draw(windows)) for layers in dict.fromkeys(SETS.values())}
    numbers = st.lists(st.floats(-0.01, 0.1), min_size=LAYERS, max_size=LAYERS)
    return Ranking(
        model="m", text="t", windows=16, context=8, device="CPU", seconds=1.0, counts=(2,),
        block_influence=tuple(draw(numbers)), loss_increase=tuple(draw(numbers)), spans={},
        base_nll=2.0,
        cuts=tuple(
            Cut(
                location=name, layers=layers, nll=fmean(by_layers[layers]),
                window_nll=by_layers[layers],
            )
            for name, layers in SETS.items()
        ),
    )  # fmt: skip


@settings(max_examples=100, deadline=None, derandomize=True)
@given(ranking=rankings())
def test_the_best_of_a_count_is_the_lowest_that_is_printed(ranking):
    least, *others, _ = findings(ranking)
    best = next(line for line in others if line.startswith("2 of 8"))
    printed = {
        f"{cut.location} ({layers_text(cut.layers)})": float(perplexity(cut.nll))
        for cut in ranking.cuts
    }
    rules = {name: value for name, value in printed.items() if not name.startswith("random")}
    nulls = [value for name, value in printed.items() if name.startswith("random")]
    names, lowest, _, number, low, high, lower, ties = re.fullmatch(
        r"2 of 8: of the locations, lowest one-shot perplexity at (.+), (\S+) against (\S+) of the "
        r"whole model; (\d) random sets (\S+) to ([0-9.]+?)(?:, (\d) of them lower)?\. Not told "
        r"apart from the lowest of all: (\d) of 6 layer sets\.",
        best,
    ).groups()
    assert float(lowest) == min(rules.values())
    assert all(rules[name] == float(lowest) for name in names.split(" and "))
    assert (int(number), float(low), float(high)) == (len(nulls), min(nulls), max(nulls))
    own = min(cut.nll for cut in ranking.cuts if not cut.location.startswith("random"))
    random = [cut.nll for cut in ranking.cuts if cut.location.startswith("random")]
    assert int(lower or 0) == sum(nll < own for nll in random)
    tied = tied_with_lowest(ranking, 2)
    assert len(tied) == int(ties)
    assert min(ranking.cuts, key=lambda cut: cut.nll).layers in tied
    for row in sections(ranking)[1].rows:
        assert row[1].endswith("*") == (SETS[row[0]] in tied)
    shown = [float(value) for value in re.findall(r"\(([+-]\d\.\d+)\)", least)]
    assert shown == sorted(shown)
    hardly = next((line for line in others if line.startswith("Hardly missed")), "")
    inner = ranking.loss_increase[1:-1]
    assert hardly.startswith("Hardly missed") == any(nats < NOT_MISSED_NATS for nats in inner)


@pytest.mark.parametrize(("windows", "tied"), [(7, {"input", "output"}), (8, {"input"})])
def test_what_is_tied_in_a_ranking_is_told_by_the_test_of_the_tables(windows, tied):
    nlls = {"input": (2.0,) * windows, "output": (2.1,) * windows}
    ranking = Ranking(
        model="m", text="t", windows=windows, context=8, device="CPU", seconds=1.0, counts=(2,),
        block_influence=(0.0,) * LAYERS, loss_increase=(0.0,) * LAYERS, spans={}, base_nll=2.0,
        cuts=tuple(
            Cut(location=name, layers=SETS[name], nll=fmean(nll), window_nll=nll)
            for name, nll in nlls.items()
        ),
    )  # fmt: skip
    assert tied_with_lowest(ranking, 2) == {SETS[name] for name in tied}
