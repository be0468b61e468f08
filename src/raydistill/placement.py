"""Where the teacher of a trial stands. It changes what a trial costs, not what comes out."""

from raydistill.errors import UsageError, unknown
from raydistill.objective import inside_weights

AUTO, SAME_DEVICE, OWN_DEVICES = "auto", "same-device", "own-devices"
PLACEMENTS = (AUTO, SAME_DEVICE, OWN_DEVICES)


def check_placement(placement: str, losses: set[str]) -> None:
    """Refuse a placement that does not exist, or that the losses cannot be had with.

    Raises:
        UsageError: naming those there are, or the loss.
    """
    if placement not in PLACEMENTS:
        raise UsageError(unknown("teacher placement", placement, PLACEMENTS))
    for loss in sorted(losses):
        terms = inside_weights(loss)
        if terms and placement == OWN_DEVICES:
            raise UsageError(
                f"loss {loss!r} looks inside the teacher ({', '.join(terms)}): "
                f"it must stand on the student's device, --teacher-placement {SAME_DEVICE}"
            )
