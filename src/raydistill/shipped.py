"""Bases that the package carries, so that a sweep can start from a checkpoint at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from raydistill.codec import from_json
from raydistill.scales import Scale
from raydistill.units import format_tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class ShippedAge:
    """One shipped base."""

    age_tokens: int
    weights_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShippedBases:
    """`bases/<scale>/base.json`: the shipped bases by age (`80B`), and the corpus they saw."""

    corpus_sha256: str
    tokenizer_sha256: str
    ages: Mapping[str, ShippedAge]

    def weights_sha256(self, age: int) -> str:
        """The base of that age; empty if it is not shipped."""
        shipped = self.ages.get(format_tokens(age))
        return shipped.weights_sha256 if shipped else ""


def shipped_bases(scale: Scale) -> list[ShippedBases]:
    """What the package says of the bases it ships for a scale; empty if it ships none."""
    path = Path(str(resources.files("raydistill"))) / "bases" / scale.name / "base.json"
    if not scale.ships_base or not path.is_file():
        return []
    return [from_json(ShippedBases, path.read_text("utf-8"))]
