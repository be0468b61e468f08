"""Locations: a name and a count give the layers that leave (METHOD, section 3).

A location is one of nine presets, `none`, `random-0`, `random-1`, …, a list such as
`1,2,5-8`, or a data-driven score (a file in `pruning/importance/`) of the base.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import SCORE, part_names

NONE = "none"
RANDOM_LOCATIONS = tuple(f"random-{i}" for i in range(5))  # the null that a winner must beat

Layers = tuple[int, ...]


def max_gap(num_layers: int, count: int) -> Layers:
    """As far apart as can be: evenly from the second layer to the last but one."""
    last = num_layers - 1
    if count == 1:
        return (last // 2,)
    steps = 2 * (count - 1)  # half gaps; rounded to the nearest layer, exact halves down
    lower = [1 + -(((count - 1) - 2 * i * (last - 2)) // steps) for i in range(count // 2)]
    middle = [last // 2] if count % 2 else []
    return tuple(lower + middle + [last - layer for layer in reversed(lower)])


def input_side(num_layers: int, count: int) -> Layers:
    """The layers nearest the input."""
    del num_layers
    return tuple(range(1, count + 1))


def both(num_layers: int, count: int) -> Layers:
    """Half from each side, the odd one from the input's."""
    near_input = input_side(num_layers, -(-count // 2))
    return near_input + _mirrored(num_layers, input_side(num_layers, count // 2))


def middle(num_layers: int, count: int) -> Layers:
    """A run in the middle, one layer nearer the input where it cannot be centred."""
    first = 1 + (num_layers - 2 - count) // 2
    return tuple(range(first, first + count))


def alt_input(num_layers: int, count: int) -> Layers:
    """Every other layer from the input on: 1, 3, 5, …, then 2, 4, …."""
    return (*range(1, num_layers - 1, 2), *range(2, num_layers - 1, 2))[:count]


def alt_both(num_layers: int, count: int) -> Layers:
    """Every other layer, half from each side."""
    near_input = alt_input(num_layers, -(-count // 2))
    from_output = _mirrored(num_layers, alt_input(num_layers, num_layers - 2))
    near_output = [layer for layer in from_output if layer not in near_input]
    return near_input + tuple(near_output[: count // 2])


def alt_middle(num_layers: int, count: int) -> Layers:
    """Every other layer around the centre, then the skipped ones nearest to it."""
    interior = num_layers - 2
    alternating = min(count, -(-interior // 2))
    first = 1 + (interior - 2 * alternating + 1) // 2
    alternate = tuple(range(first, first + 2 * alternating, 2))
    skipped = [layer for layer in range(1, num_layers - 1) if layer not in alternate]
    nearest = sorted(skipped, key=lambda layer: (abs(2 * layer - (num_layers - 1)), layer))
    return alternate + tuple(nearest[: count - alternating])


def _mirrored(num_layers: int, layers: Layers) -> Layers:
    return tuple(num_layers - 1 - layer for layer in layers)


PRESETS: Mapping[str, Callable[[int, int], Layers]] = {
    "max-gap": max_gap,
    "input": input_side,
    "output": lambda n, k: _mirrored(n, input_side(n, k)),
    "both": both,
    "middle": middle,
    "alt-input": alt_input,
    "alt-output": lambda n, k: _mirrored(n, alt_input(n, k)),
    "alt-both": alt_both,
    "alt-middle": alt_middle,
}

LOCATIONS = tuple(PRESETS)  # in the order of the paper's Table 5


def pick(location: str, num_layers: int, count: int, *, allow_ends: bool = False) -> Layers:
    """The layers that leave, in the order in which the rule takes them.

    With `allow_ends` the first and last layer may leave too: the rule is applied to a model
    with one more layer at each end.

    Raises:
        UsageError: if there is no such location, or the count or a listed layer is not allowed.

    >>> pick("middle", 24, 8)
    (8, 9, 10, 11, 12, 13, 14, 15)
    """
    check_location(location)
    if location == NONE:
        return ()
    if is_list(location):
        return listed(location, num_layers, allow_ends=allow_ends)
    check_count(count, num_layers, location=location, allow_ends=allow_ends)
    if is_data_driven(location):
        raise UsageError(f"the layers of {location!r} are known after scoring")
    inner = num_layers + 2 if allow_ends else num_layers
    if location in PRESETS:
        layers = PRESETS[location](inner, count)
    else:
        seed = f"{location.removeprefix('random-')}/{inner}/{count}"
        layers = tuple(sorted(random.Random(seed).sample(range(1, inner - 1), count)))
    return tuple(layer - 1 for layer in layers) if allow_ends else layers


def lowest(scores: Sequence[float], count: int, *, allow_ends: bool = False) -> Layers:
    """The `count` layers with the lowest scores, lowest first; the first and last stay."""
    candidates = may_leave(len(scores), allow_ends=allow_ends)
    return tuple(sorted(candidates, key=lambda layer: (scores[layer], layer))[:count])


def may_leave(num_layers: int, *, allow_ends: bool = False) -> range:
    """The candidates of every location: all layers, without `allow_ends` but the first and last."""
    return range(num_layers) if allow_ends else range(1, num_layers - 1)


def label(location: str, num_layers: int, count: int, *, allow_ends: bool = False) -> str:
    """The location, and how many of its layers alternate where a rule had to fill skipped ones.

    >>> label("alt-input", 14, 8)
    'alt-input, 6 of 8 alternate'
    """
    if not location.startswith("alt-"):
        return location
    layers = pick(location, num_layers, count, allow_ends=allow_ends)
    alternate = sum(not {layer - 1, layer + 1} & set(layers[:i]) for i, layer in enumerate(layers))
    return location if alternate == count else f"{location}, {alternate} of {count} alternate"


def every_location() -> tuple[str, ...]:
    """The locations that `--location all` stands for."""
    return (NONE, *LOCATIONS, *part_names(SCORE), *RANDOM_LOCATIONS)


def is_list(location: str) -> bool:
    """Whether a location lists its layers, as `1,2,5-8` does."""
    return re.fullmatch(r"[-\d][-\d,\s]*", location) is not None


def is_data_driven(location: str) -> bool:
    """Whether a location's layers follow from scores of the base's layers."""
    return location in part_names(SCORE)


def check_location(location: str) -> None:
    """Refuse an unknown location.

    Raises:
        UsageError: with the nearest name, and all there are.
    """
    is_random = re.fullmatch(r"random-\d+", location) is not None
    if not is_random and not is_list(location) and location not in every_location():
        raise UsageError(unknown("location", location, every_location()) + ", 1,2,5-8")


def check_count(count: int, num_layers: int, *, location: str, allow_ends: bool) -> None:
    """Refuse a count that is not possible in the model.

    Raises:
        UsageError: with the allowed range.
    """
    most = num_layers - 1 if allow_ends else num_layers - 2
    if 1 <= count <= most:
        return
    stay = "one layer stays" if allow_ends else "the first and last stay"
    hint = f" (only location {NONE!r} removes nothing)" if count == 0 else ""
    raise UsageError(
        f"count {count} at location {location!r}: this model has {num_layers} layers; "
        f"{stay}: 1 to {most}{hint}"
    )


def listed(text: str, num_layers: int, *, allow_ends: bool = False) -> Layers:
    """The layers of a list, as listed; `5-8` stands for 5, 6, 7 and 8.

    Raises:
        UsageError: naming every layer that is listed twice, or may not leave.

    >>> listed("9,1-3", 24)
    (9, 1, 2, 3)
    """
    layers = [layer for item in text.split(",") for layer in _listed_item(item.strip(), text)]
    end = 0 if allow_ends else 1
    wrong = {
        "the first and last stay": [x for x in layers if x in (0, num_layers - 1) and end],
        "out of range": [x for x in layers if not 0 <= x < num_layers],
        "listed twice": sorted({x for x in layers if layers.count(x) > 1}),
    }
    reasons = [f"{', '.join(map(str, xs))} ({reason})" for reason, xs in wrong.items() if xs]
    if reasons:
        raise UsageError(
            f"layers {'; '.join(reasons)} in {text!r}: this model has {num_layers} layers, "
            f"{end} to {num_layers - 1 - end} may leave"
        )
    if len(layers) == num_layers:
        raise UsageError(f"{text!r} lists all {num_layers} layers; one stays")
    return tuple(layers)


def _listed_item(item: str, text: str) -> list[int]:
    if re.fullmatch(r"-?\d+", item):
        return [int(item)]
    match = re.fullmatch(r"(\d+)-(\d+)", item)
    if match is None or int(match[1]) > int(match[2]) or int(match[2]) > 100_000:
        raise UsageError(f"{item!r} in {text!r} is neither a layer nor a range: write 1,2,5-8")
    return list(range(int(match[1]), int(match[2]) + 1))
