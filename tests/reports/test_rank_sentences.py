"""Every sentence of `raydistill rank` is true of the numbers that it prints."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.pruning.ranking_result import Cut, Ranking, layers_text
from raydistill.reports.ranking import NOT_MISSED_NATS, findings, perplexity
from raydistill.specs.locations import RANDOM_LOCATIONS

LAYERS = 8
SETS = {"input": (1, 2), "output": (5, 6), "both": (1, 6), "alt-both": (1, 6)}
SETS |= dict(zip(RANDOM_LOCATIONS, ((2, 5), (3, 6), (1, 5)), strict=False))
NATS = st.floats(2.0, 2.2)


@st.composite
def rankings(draw):
    by_layers = {layers: draw(NATS) for layers in dict.fromkeys(SETS.values())}
    numbers = st.lists(st.floats(-0.01, 0.1), min_size=LAYERS, max_size=LAYERS)
    return Ranking(
        model="m", text="t", windows=4, context=8, device="CPU", seconds=1.0, counts=(2,),
        block_influence=tuple(draw(numbers)), loss_increase=tuple(draw(numbers)), spans={},
        base_nll=2.0,
        cuts=tuple(
            Cut(location=name, layers=layers, nll=by_layers[layers])
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
    names, lowest, _, number, low, high, lower = re.fullmatch(
        r"2 of 8: of the locations, lowest one-shot perplexity at (.+), (\S+) against (\S+) of the "
        r"whole model; (\d) random sets (\S+) to ([0-9.]+?)(?:, (\d) of them lower)?\.",
        best,
    ).groups()
    assert float(lowest) == min(rules.values())
    assert all(rules[name] == float(lowest) for name in names.split(" and "))
    assert (int(number), float(low), float(high)) == (len(nulls), min(nulls), max(nulls))
    own = min(cut.nll for cut in ranking.cuts if not cut.location.startswith("random"))
    random = [cut.nll for cut in ranking.cuts if cut.location.startswith("random")]
    assert int(lower or 0) == sum(nll < own for nll in random)
    shown = [float(value) for value in re.findall(r"\(([+-]\d\.\d+)\)", least)]
    assert shown == sorted(shown)
    hardly = next((line for line in others if line.startswith("Hardly missed")), "")
    inner = ranking.loss_increase[1:-1]
    assert hardly.startswith("Hardly missed") == any(nats < NOT_MISSED_NATS for nats in inner)
