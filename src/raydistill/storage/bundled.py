"""Checkpoints that the package ships, so that a sweep can start at once.

    bases/<scale>/base.json, 80B/, 320B/   the bases of a scale, by age
    bases/<scale>/trials/<trial_id>/       a from-scratch trial, which trains as long as a base

Scores are never shipped.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from raydistill.core.serialization import from_json
from raydistill.core.units import format_age
from raydistill.specs.scale import Scale
from raydistill.specs.trial import Age
from raydistill.storage.manifest import verify, write_text
from raydistill.storage.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class ShippedAge:
    """One shipped base."""

    age_tokens: int
    weights_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ShippedBases:
    """`bases/<scale>/base.json`: the shipped bases by age (`80B`), and their training corpus."""

    corpus_sha256: str
    tokenizer_sha256: str
    ages: Mapping[str, ShippedAge]

    def weights_sha256(self, age: Age) -> str:
        """The weights of the base of that age; empty if it is not shipped."""
        base = self.ages.get(format_age(age))
        return base.weights_sha256 if base else ""


def shipped_bases(scale: Scale) -> list[ShippedBases]:
    """The description of the bases that are shipped for a scale; empty if there are none."""
    path = _folder() / scale.name / "base.json"
    if not scale.ships_base or not path.is_file():
        return []
    return [from_json(ShippedBases, path.read_text("utf-8"))]


def copy_bundled_trials(trial_ids: Iterable[str], store: Store) -> list[str]:
    """Copy those trials that the package ships and the store lacks into the store.

    Returns:
        the ids of the copied trials, which are trained but not evaluated.

    Raises:
        DataError: if a shipped file is not what its manifest says.
    """
    copied_ids = []
    for trial_id in trial_ids:
        for folder in _folder().glob(f"*/trials/{trial_id}"):
            if store.trained(trial_id) is None:
                verify(folder)
                with store.making("trials", trial_id, "weights") as weights:
                    shutil.copy(folder / "model.safetensors", weights)
                text = (folder / "trained.json").read_text(encoding="utf-8")
                write_text(store.path("trials", trial_id, "trained.json"), text)
                copied_ids.append(trial_id)
    return copied_ids


def _folder() -> Path:
    return Path(str(resources.files("raydistill"))) / "bases"
