"""How well two rankings agree."""

from collections.abc import Sequence


def kendall_tau(left: Sequence[float], right: Sequence[float]) -> float:
    """Rank agreement of two lists in [−1, 1] (tau-b); NaN if one has a single value only.

    >>> kendall_tau([1, 2, 3], [10, 20, 30]), kendall_tau([1, 2, 3], [3, 2, 1])
    (1.0, -1.0)
    """
    from scipy.stats import kendalltau  # noqa: PLC0415  (a second, which few reports need)

    return float(kendalltau(left, right).statistic)
