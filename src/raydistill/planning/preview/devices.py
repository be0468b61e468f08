"""Devices by name, with the peaks of their makers' specification sheets, for a plan without one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from raydistill.core.errors import UsageError, unknown

# Of the peak, by the exact rule. One H200 has 0.28 with the paper's 300M model: 582 ms for a step
# of 65,536 tokens of 2.42e9 FLOPs (README).
UTILISATION = 0.3
SPREAD = 1.5  # either way, where one number stands for all models, losses and sizes of a plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """One device: what torch calls one, so a die where a board has two.

    Attributes:
        bfloat16: dense matrix products that add in float32, in FLOPs per second; none without
            units for them.
        float32: of the vector units, without TF32, in FLOPs per second.
        memory_gb: as the sheet says; the largest, where it has several.
        sheet: where all stand; sparse peaks there are halved.
    """

    bfloat16: float | Literal["none"]
    float32: float
    memory_gb: int
    sheet: str


def _tera(bfloat16: float | Literal["none"], float32: float, memory_gb: int, sheet: str) -> Device:
    return Device(
        bfloat16="none" if bfloat16 == "none" else bfloat16 * 1e12,
        float32=float32 * 1e12,
        memory_gb=memory_gb,
        sheet=sheet,
    )


DEVICES: Mapping[str, Device] = {
    "A30": _tera(165, 10.3, 24, "NVIDIA A30 datasheet"),
    "A40": _tera(149.7, 37.4, 48, "NVIDIA A40 datasheet"),
    "A100": _tera(312, 19.5, 80, "NVIDIA A100 datasheet"),
    "A100-40GB": _tera(312, 19.5, 40, "NVIDIA A100 datasheet"),
    "B200": _tera(2250, 75, 180, "NVIDIA HGX B200 datasheet"),
    "H100": _tera(989.4, 66.9, 80, "NVIDIA H100 datasheet, SXM"),
    "H100-NVL": _tera(835.5, 60, 94, "NVIDIA H100 datasheet, NVL"),
    "H100-PCIe": _tera(756, 51, 80, "NVIDIA H100 datasheet, PCIe"),
    "H200": _tera(989.4, 66.9, 141, "NVIDIA H200 datasheet, SXM"),
    "L4": _tera(121, 30.3, 24, "NVIDIA L4 datasheet"),
    "L40S": _tera(362, 91.6, 48, "NVIDIA L40S datasheet"),
    "MI250X": _tera(191.5, 23.95, 64, "AMD Instinct MI250X data sheet, one of its two dies"),
    "MI300X": _tera(1307.4, 163.4, 192, "AMD Instinct MI300X data sheet"),
    "RTX-3090": _tera(71, 35.6, 24, "NVIDIA GA102 whitepaper, appendix A"),
    "RTX-4090": _tera(165.2, 82.6, 24, "NVIDIA Ada GPU architecture whitepaper, appendix A"),
    "T4": _tera("none", 8.1, 16, "NVIDIA T4 datasheet"),
    "V100": _tera("none", 15.7, 32, "NVIDIA V100 datasheet, SXM2"),
}


def device_name(text: str) -> str:
    """The name in `DEVICES` that a user means; small letters and spaces do.

    Raises:
        UsageError: if there is none.

    >>> device_name("rtx 4090")
    'RTX-4090'
    """
    names = {name.lower(): name for name in DEVICES}
    name = names.get(text.strip().lower().replace(" ", "-"))
    if name is None:
        raise UsageError(
            f"--device: {unknown('device', text, DEVICES)}; of another say --tokens-per-s"
        )
    return name


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumption:
    """How fast one device is taken to be, as a range.

    Attributes:
        device: a name in `DEVICES`; empty where tokens a second say all.
        low: of the peak, 0 to 1; without a device, training tokens of the whole model a second.
        high: the fast end.
        is_spread: whether one number was given, and the range made around it.
    """

    device: str
    low: float
    high: float
    is_spread: bool

    def flops_per_s(self, precision: str, flops_per_token: int) -> tuple[float, float]:
        """The slow and the fast end, of one device.

        Args:
            precision: of the recipe.
            flops_per_token: of training the whole model of the plan's scale.

        Raises:
            UsageError: if the device has no units for this precision.
        """
        unit = peak_of(self.device, precision) if self.device else flops_per_token
        return self.low * unit, self.high * unit

    def sentence(self, precision: str) -> str:
        """What the times rest on, and what makes their range."""
        spread = f", a factor of {SPREAD:g} either way" if self.is_spread else ""
        if not self.device:
            return (
                f"Times by {self.low:,.0f} to {self.high:,.0f} training tokens/s of the whole "
                f"model on each device{spread}; other models and teachers by their FLOPs."
            )
        peak = peak_of(self.device, precision) / 1e12
        return (
            f"Times by the exact FLOPs at {100 * self.low:.3g} to {100 * self.high:.3g} % of an "
            f"{self.device}'s {peak:,.4g} TFLOP/s in {precision} (dense; "
            f"{DEVICES[self.device].sheet}){spread}. One H200 reached 28 % with the paper's 300M "
            "model; small models, small batches and several nodes reach less."
        )


def assumed_speed(device: str, low: float, high: float) -> Assumption:
    """That a device has from `low` to `high`, or around the one number that both are.

    Args:
        device: a name in `DEVICES`, of whose peak these are shares; or empty: tokens a second.
        low: the slow end.
        high: the fast end.
    """
    if low < high:
        return Assumption(device=device, low=low, high=high, is_spread=False)
    most = min(SPREAD * high, 1.0) if device else SPREAD * high
    return Assumption(device=device, low=low / SPREAD, high=most, is_spread=True)


def peak_of(device: str, precision: str) -> float:
    """The dense peak in FLOPs per second.

    Raises:
        UsageError: if the device has no units for this precision.
    """
    peak = DEVICES[device].bfloat16 if precision == "bfloat16" else DEVICES[device].float32
    if peak == "none":
        raise UsageError(
            f"--device {device} has no bfloat16 units: add --set precision=float32, "
            "or name another device"
        )
    return peak


def devices_text(counts: Iterable[int]) -> str:
    """On how many devices at once trials train; nothing where that is one.

    >>> devices_text((1, 1)), devices_text((8, 4, 4))
    ('', '; each trial on 4 or 8 devices at once (--devices-per-trial)')
    """
    several = sorted(set(counts))
    if several == [1]:
        return ""
    return f"; each trial on {' or '.join(map(str, several))} devices at once (--devices-per-trial)"
