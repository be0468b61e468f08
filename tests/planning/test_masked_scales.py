"""Trials of a model that sees the whole window: what it learns by, and what is refused."""

import dataclasses

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.units import B
from raydistill.data.known_corpora import UNTOKENISED
from raydistill.distillation.loss_name import had_teacher, warm_loss
from raydistill.distillation.teacher_shape import check_shape
from raydistill.planning.artifacts import layer_requests, pretraining
from raydistill.planning.cell import Cell, settle
from raydistill.planning.search.selection import control_cell
from raydistill.reports.results.cells import is_taught
from raydistill.specs.locations import NONE
from raydistill.specs.scale import load_scale
from raydistill.specs.shape.families import check_measured

MASKED = load_scale("smoke_reduced+mask=0.3")
CAUSAL = load_scale("smoke_reduced")


def settled(scale=MASKED, **changes):
    request = scale.trial(age=320 * B, location="input", count=1)
    return settle(dataclasses.replace(request, **changes), scale, count_given=False)


def cell(scale=MASKED, **changes):
    return Cell(sweep="s", scale=scale, values={}, request=settled(scale, **changes))


def test_a_trial_learns_by_the_loss_of_its_bases():
    assert settled().loss == MASKED.objective == "masked-lm+share=0.3"
    assert settled(CAUSAL).loss == "lm"
    assert settled(budget=0).loss == "masked-lm+share=0.3"
    assert warm_loss(settled().loss) == settled().loss


def test_its_control_does_too():
    control = control_cell(cell()).request
    assert (control.location, control.loss) == (NONE, "masked-lm+share=0.3")
    assert control_cell(cell(CAUSAL, loss="kd")).request.loss == "lm"


@pytest.mark.parametrize("loss", ["lm", "kd", "minima"])
def test_the_next_tokens_are_no_targets_of_what_sees_them(loss):
    with pytest.raises(UsageError) as refused:
        settled(loss=loss)
    assert str(refused.value) == (
        f"loss {loss!r}: a model of family encoder sees the next tokens, which it would tell; "
        "it learns by masked-lm+share=0.3"
    )


def test_a_share_that_hides_no_token_is_refused():
    with pytest.raises(UsageError, match="of 64 tokens a window it hides none"):
        settled(loss="masked-lm+share=0.005")
    assert settled(loss="masked-lm+share=0.02").loss == "masked-lm+share=0.02"


def test_hidden_tokens_are_not_taught_to_what_is_measured_on_the_next():
    with pytest.raises(UsageError, match="name a masked scale, such as reduced") as refused:
        settled(CAUSAL, loss="masked-lm")
    assert load_scale(str(refused.value).rpartition(" ")[2]).evaluation.mask_share == 0.15


def test_it_teaches_no_causal_student():
    with pytest.raises(UsageError, match="sees the next tokens, which a student is to tell"):
        check_shape("kd", CAUSAL.model, MASKED.model, MASKED.name)


def test_what_a_model_cannot_be_measured_by_is_refused():
    tasks = dataclasses.replace(MASKED.evaluation, tasks=("last-word",))
    with pytest.raises(UsageError, match="sees: leave out last-word"):
        check_measured(MASKED.model, tasks, MASKED.objective)
    nothing = dataclasses.replace(MASKED.evaluation, mask_share=0.0)
    with pytest.raises(UsageError, match="next tokens, which a model of family encoder sees"):
        check_measured(MASKED.model, nothing, MASKED.objective)
    with pytest.raises(UsageError, match="that learned the next tokens tells no masked ones"):
        check_measured(CAUSAL.model, MASKED.evaluation, CAUSAL.objective)
    check_measured(CAUSAL.model, MASKED.evaluation, MASKED.objective)
    assert MASKED.evaluation.mask_share == 0.3


def test_a_scale_whose_model_sees_what_it_learns_pretrains_nothing():
    wrong = dataclasses.replace(MASKED, objective="lm")
    with pytest.raises(UsageError, match="it learns by masked-lm"):
        pretraining(wrong, UNTOKENISED)


def test_no_score_ranks_its_layers():
    assert layer_requests([cell()]) == ()
    with pytest.raises(UsageError, match="scores read text as it is, and models of family enc"):
        layer_requests([cell(location="block-influence")])
    assert len(layer_requests([cell(CAUSAL, location="block-influence")])) == 1


def test_who_is_taught_is_said_by_the_file_of_the_loss(own_parts):
    """Also of a student without a teacher whose loss is not `lm`."""
    own_parts({"losses/flat.py": 'TEACHER = "none"\ndef loss(a, b, ask): ...'})
    values = {"teacher": "smoke@80B", "size": "smoke"}
    taught = {
        loss: is_taught(NONE, 1, loss, values) for loss in ("lm", "masked-lm", "flat", "kd", "gone")
    }
    assert taught == {"lm": False, "masked-lm": False, "flat": False, "kd": True, "gone": True}
    assert [had_teacher(loss) for loss in ("kd", "flat")] == [True, False]
