"""Which of transformers' decoders lose blocks rightly: makes docs/families.md (`make families`).

Of each causal-LM type a tiny random model is saved, `raydistill prune` takes blocks 1 and 3 of 6
out of it, and its end check compares what it wrote with the whole model whose two blocks pass on
their input: logits without a cache, and of generated tokens with one.
"""

import argparse
import contextlib
import io
import json
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import transformers
from tiny_decoders import TYPES, tiny_config, tiny_decoder

from raydistill.cli.commands.prune import prune
from raydistill.cli.console import read_command
from raydistill.core.errors import RaydistillError
from raydistill.models.huggingface.surgery.anatomy import language_fields, read_anatomy
from raydistill.models.huggingface.surgery.weight_changes import what_changes
from raydistill.storage.store import Store

LAYERS_LEAVING = "1,3"
_LONGEST = 300  # characters of a reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What `prune` made of a type."""

    model_type: str
    verdict: str  # equal, refused, error (a traceback), or no model: none could be made here
    why: str  # the config's fields that changed beside the depth, or the reason


def outcome_of(model_type: str, folder: Path, layers: str = LAYERS_LEAVING) -> Outcome:
    """What `prune` makes of a tiny model of that type; `folder` is an empty one to work in."""

    def outcome(verdict: str, why: object) -> Outcome:
        text = " ".join(str(why).replace(str(whole), "MODEL").split())
        return Outcome(model_type=model_type, verdict=verdict, why=text)

    whole, short = folder / "whole", folder / "short"
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            tiny_decoder(model_type).save_pretrained(whole)
        if json.loads((whole / "config.json").read_text("utf-8"))["model_type"] not in TYPES:
            tiny_config(model_type).save_pretrained(whole)  # which AutoModelForCausalLM reads
    except Exception as error:  # noqa: BLE001  (this is what is looked for)
        return outcome("no model", f"{type(error).__name__}: {error}")
    words = ["prune", "--model", str(whole), "--layers", layers, "--to", str(short)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            prune(Store(folder / "storage"), read_command(words))
    except RaydistillError as refusal:
        return outcome("refused", f"{refusal}{_tried(model_type, folder, str(refusal))}")
    except Exception as error:  # noqa: BLE001  (this is what is looked for)
        return outcome("error", f"{type(error).__name__}: {error}")
    what = what_changes(language_fields(read_anatomy(whole)))
    weights = f"; weights: {what}" if what else ""
    return outcome("equal", ", ".join(f"`{n}`" for n in changed_fields(whole, short)) + weights)


def _tried(model_type: str, folder: Path, refusal: str) -> str:
    """How the first layers fare that a refusal names instead."""
    if (named := re.search(r"; ([\d,]+) (?:or [\d, or]+)?can leave$", refusal)) is None:
        return ""
    (again := folder / "again").mkdir()
    tried = outcome_of(model_type, again, named[1])
    if tried.verdict != "equal":
        return f", but {named[1]} tried: {tried.verdict}, {tried.why}"
    return f" (tried: {named[1]}, equal)"


def changed_fields(whole: Path, short: Path) -> list[str]:
    """The names of config.json's fields that differ, those of its parts with theirs."""
    before, after = (
        _flat(json.loads((at / "config.json").read_text("utf-8"))) for at in (whole, short)
    )
    return sorted(name for name, value in after.items() if before.get(name) != value)


def _flat(fields: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in fields.items():
        nested = isinstance(value, dict) and name.endswith("config")
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def page(outcomes: list[Outcome]) -> str:
    """The text of docs/families.md."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    count = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    rows = "\n".join(
        f"| {o.model_type} | {o.verdict} | {_cell(o.why)} |"
        for o in sorted(outcomes, key=lambda o: o.model_type)
    )
    return f"""# Which decoders lose layers rightly

transformers {transformers.__version__}: of {len(outcomes)} causal-LM types, {count}.

`make families` makes this page. {" ".join(_how().split())}

*equal*: no logit differs by more than 1e-4 of the largest; beside it the fields of config.json
that changed, and the weights that did, if any; all others keep every bit. *refused*: nothing is
written, and beside it is what `prune` says; of layers that it names as those that can leave, the
first were tried too. *no model*: the page's settings make none of that type; `prune` may well do
it, and its end check says so.

| type | blocks 1 and 3 of 6 | fields, or why not |
|---|---|---|
{rows}
"""


def _how() -> str:
    return (__doc__ or "").split("\n\n")[1]


def _cell(text: str) -> str:
    short = text if len(text) <= _LONGEST or text.startswith("`") else text[:_LONGEST] + "…"
    return short.replace("|", "\\|")


def main() -> None:
    """Print how each type fares, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the page")
    parser.add_argument("types", nargs="*", default=TYPES)
    flags = parser.parse_args()
    began = time.monotonic()
    outcomes = []
    for model_type in flags.types:
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(outcome_of(model_type, Path(folder)))
        print(*(getattr(outcomes[-1], n) for n in ("model_type", "verdict", "why")), flush=True)
    text = page(outcomes)
    if flags.write:
        flags.write.write_text(text, encoding="utf-8")
    minutes = (time.monotonic() - began) / 60
    print(f"{len(outcomes)} types in {minutes:.1f} min: {Counter(o.verdict for o in outcomes)}")
    sys.exit(any(outcome.verdict == "error" for outcome in outcomes))


if __name__ == "__main__":
    main()
