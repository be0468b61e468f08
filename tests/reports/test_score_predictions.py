"""How well scores read before healing predict what is measured after it."""

import dataclasses
import math

import pytest

from raydistill.evaluation.bootstrap import Estimate, Missing
from raydistill.pruning.layer_choice import LayerChoice, LayerRequest
from raydistill.reports.results.cells import ReportCell
from raydistill.reports.tables.score_predictions import agreement, overlap, predictions, stability
from raydistill.reports.tables.table import build_table
from raydistill.specs.results import TrialFailure
from raydistill.specs.trial import Recipe, TrainSpec
from support.reported import cell, sweep

REQUEST = LayerRequest(score="block-influence", count=2)
VALUES = (9.0, 1.0, 2.0, 3.0, 4.0, 9.0)
CHOICE = LayerChoice(request=REQUEST, samples=((1, 2),), values=(VALUES,))
RECIPE = Recipe(peak_lr=1.0, budget_tokens=2, batch_tokens=1, micro_batches=1, warmup_tokens=0)
TRAIN = TrainSpec(recipe=RECIPE, loss="lm", seed=1, corpus_sha256="", tokenizer_sha256="")
FAILURE = TrialFailure(trial_id="", where="", message="", traceback="", attempts=1)


def removed(*layers, **changes):
    """A cell that took `layers` out; its outcome is not looked at."""
    location = ",".join(map(str, layers))
    failed_cell = ReportCell(
        scale="smoke", num_params=1, location=location, age=1, values={"location": location},
        layers=layers, num_layers=6, layer_map="", gap_tokens=0, train=TRAIN, outcome=FAILURE,
    )  # fmt: skip
    return dataclasses.replace(failed_cell, **changes)


def nats(value):
    return Estimate(value=value, low=value, high=value)


def sets_of_two(delta_nll, **changes):
    """Four sets of two layers, in the order of the sums of `VALUES`, with what they lost.

    All but one are told apart from the best.
    """
    cells = [removed(1, 2, choice=CHOICE), removed(1, 3), removed(2, 3), removed(3, 4)]
    changed = (dataclasses.replace(cell, **changes) for cell in cells)
    apart = [lost > min(delta_nll) for lost in delta_nll]
    return list(zip(changed, map(nats, delta_nll), apart, strict=True))


@pytest.mark.parametrize(
    ("lost", "tau"), [((0.1, 0.2, 0.3, 0.4), "+1.00"), ((0.4, 0.3, 0.2, 0.1), "-1.00")]
)
def test_a_score_is_compared_by_the_order_of_its_sums(lost, tau):
    (sentence,) = predictions(sets_of_two(lost))
    assert "4 sets of 2 layers, 3 of them told apart from the best" in sentence
    assert sentence.endswith(f"block-influence {tau}.")


def test_fewer_than_four_sets_have_no_order():
    assert predictions(sets_of_two((0.1, 0.2, 0.3, 0.4))[:3]) == ()


def test_equal_sets_count_once():
    once = sets_of_two((0.1, 0.2, 0.3, 0.4))[:3]
    assert predictions([*once, (removed(2, 1, layers=(1, 2)), nats(0.1), True)]) == ()


def test_what_was_not_measured_or_had_nothing_removed_is_no_set():
    three = sets_of_two((0.1, 0.2, 0.3, 0.4))[:3]
    assert predictions([*three, (removed(), nats(0.0), True)]) == ()
    assert predictions([*three, (removed(3, 4), Missing(reason="failed"), True)]) == ()


@pytest.mark.parametrize(
    "other",
    [
        {"layers": (1,)},
        {"gap_tokens": 5},
        {"train": dataclasses.replace(TRAIN, loss="kd")},
        {"train": dataclasses.replace(TRAIN, recipe=dataclasses.replace(RECIPE, budget_tokens=4))},
        {"values": {"location": "3-4", "teacher": "320B"}},
    ],
)
def test_what_was_asked_otherwise_is_not_ranked_with_the_rest(other):
    measured = sets_of_two((0.1, 0.2, 0.3, 0.4))
    last = dataclasses.replace(measured[3][0], **other)
    assert predictions([*measured[:3], (last, nats(0.4), True)]) == ()


def test_without_a_score_that_has_values_nothing_is_said():
    greedy = dataclasses.replace(CHOICE, values=())
    measured = sets_of_two((0.1, 0.2, 0.3, 0.4))
    scored = [(dataclasses.replace(cell, choice=greedy), *rest) for cell, *rest in measured]
    assert predictions(scored) == ()


def test_sets_that_are_all_tied_have_no_order_to_predict():
    tied = [(cell, lost, False) for cell, lost, _ in sets_of_two((0.1, 0.2, 0.3, 0.4))]
    assert predictions(tied) == ()


def test_values_that_tell_no_set_from_another_have_no_agreement():
    flat = dataclasses.replace(CHOICE, values=((1.0,) * 6,))
    assert predictions(sets_of_two((0.1, 0.2, 0.3, 0.4), choice=flat)) == ()


def test_stability_is_the_mean_over_pairs_of_samples():
    samples = ((1, 2), (2, 1), (1, 3))  # pairs share 2, 1 and 1 of 2
    upside_down = (9.0, 4.0, 3.0, 2.0, 1.0, 0.0)  # pairs agree by 1, −1 and −1
    choice = LayerChoice(request=REQUEST, samples=samples, values=(VALUES, VALUES, upside_down))
    assert overlap(choice) == pytest.approx(2 / 3)
    assert agreement(choice) == pytest.approx(-1 / 3)
    assert stability(choice) == (
        "block-influence: 3 disjoint calibration samples share 67 % of the layers, "
        "Kendall tau of their values -0.33 (means over pairs)"
    )


def test_the_ends_count_where_they_may_leave():
    ends = dataclasses.replace(REQUEST, allow_ends=True)
    left, right = (0.0, 1.0, 2.0, 9.0), (9.0, 1.0, 2.0, 0.0)
    inside = LayerChoice(request=REQUEST, samples=((1, 2),) * 2, values=(left, right))
    assert agreement(inside) == 1.0
    assert agreement(dataclasses.replace(inside, request=ends)) < 0


def test_layers_that_are_chosen_together_have_an_overlap_alone():
    choice = LayerChoice(request=REQUEST, samples=((1, 2), (1, 2)), values=())
    assert math.isnan(agreement(choice))
    assert "share 100 % of the layers (means" in stability(choice)


def test_one_sample_tells_nothing_of_stability():
    assert "was not seen" in stability(CHOICE)


def test_the_table_says_it_below_its_rows():
    choice = dataclasses.replace(CHOICE, values=(tuple(float(x) for x in range(12)),))
    scored = dataclasses.replace(cell("block-influence"), choice=choice)
    (block,) = build_table(sweep([scored, *map(cell, ("input", "output", "both"))])).blocks
    assert any("Kendall tau over 4 sets of 4 layers" in sentence for sentence in block.words)
