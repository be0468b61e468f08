"""A budget for the first sweep of a model that was ranked: what its text and this machine allow."""

from dataclasses import dataclass

from raydistill.core.units import B, exact_tokens, format_seconds, format_tokens
from raydistill.planning.custom_model import MIN_STEPS
from raydistill.planning.lr_probe import FACTORS, PROBE_BUDGET_SHARE
from raydistill.planning.preview.repeats import BEYOND, MOST_EPOCHS

MOST_S = 3600.0  # of one device, for all trials
MOST_TOKENS = 2 * B  # the default of a custom model
BACKWARD = 3  # a training step costs three forward passes


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstBudget:
    """Tokens of each trial, and what that means."""

    tokens: int
    text_tokens: int
    seconds: float  # of one device, for all trials

    @property
    def flag(self) -> tuple[str, str]:
        """The words of a command."""
        return "--budget", exact_tokens(self.tokens)

    @property
    def sentence(self) -> str:
        """How long the sweep takes, and how often a trial reads the text."""
        epochs = self.tokens / self.text_tokens
        often = f"{epochs:.2g} times" if epochs <= MOST_EPOCHS else f"{epochs:.3g} times, {BEYOND}"
        return (
            f"Each trial trains on {format_tokens(self.tokens)} tokens, the text's "
            f"{format_tokens(self.text_tokens)} {often}; by the speed of these passes all take "
            f"about {format_seconds(self.seconds)} on one such device."
        )


def first_budget(
    *, text_tokens: int, context: int, tokens_per_s: float, cells: int, arms: int
) -> FirstBudget:
    """The largest budget that reads the text up to four times and takes up to an hour.

    It is at least what a trial needs, a hundred steps of a window, whatever that takes.

    Args:
        text_tokens: of training text.
        context: of a window.
        tokens_per_s: of forward passes, as measured.
        cells: trained on the whole budget.
        arms: whose peak rate is probed.
    """
    budgets = cells + arms * len(FACTORS) * PROBE_BUDGET_SHARE
    affordable = MOST_S * tokens_per_s / BACKWARD / budgets
    most = min(MOST_TOKENS, MOST_EPOCHS * text_tokens, round(affordable))
    step = MIN_STEPS * context
    tokens = max(1, most // step) * step
    return FirstBudget(
        tokens=tokens,
        text_tokens=text_tokens,
        seconds=tokens * budgets * BACKWARD / tokens_per_s,
    )
