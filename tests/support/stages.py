"""What a stage reported of itself, from its beginning to its end."""

from contextlib import contextmanager

from raydistill.core.progress import listening


@contextmanager
def reports_of(stage):
    """The shares of it that `stage` reports in the block: up to 1, and never falling."""
    reports, shares = [], []
    with listening(reports.append):
        yield shares
    shares += [p.done / p.total for p in reports if p.stage == stage]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any(0 < share < 1 for share in shares)
