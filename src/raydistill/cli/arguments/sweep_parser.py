"""The flags that every sweep has."""

import argparse

from raydistill.cli.arguments.model_flags import several_models
from raydistill.cli.arguments.own_parts import PARTS
from raydistill.cli.arguments.parser import EXITS, Parser
from raydistill.cli.arguments.storage import SCALE_VARIABLE, STORAGE, TRACKING
from raydistill.cli.arguments.text_flags import add_text_flags
from raydistill.cli.arguments.values import (
    assignment,
    assignments,
    device_range,
    number,
    number_range,
    whole,
)
from raydistill.core.errors import UsageError
from raydistill.distillation.teacher_placement import AUTO, PLACEMENTS
from raydistill.planning.axes.change import CHANGE
from raydistill.planning.custom_model import RECIPES
from raydistill.planning.preview.devices import DEVICES, UTILISATION, device_name
from raydistill.planning.search_settings import OBJECTIVES, SEARCHES
from raydistill.planning.sweep import FIELDS, TRAINING_FIELDS, Sweep
from raydistill.specs.drop_plan import ORDERS
from raydistill.specs.scale import scale_names
from raydistill.training.jobs import AUTO as SHARDING
from raydistill.training.jobs import CACHE_GB, CHECKPOINT_EVERY_S, SHARDINGS

FIELD_HELP = {
    "location": "input,middle or 1,2,5-8 or random-0-63 or all",
    "count": "how many layers leave",
    "gap": "the paper's tokens between two removals, 1B",
    "age": "tokens the base has seen, the paper's: 80B; or revisions",
    "loss": "a file in distillation/losses/, with settings: kd+temperature=2",
    "seed": "of the data order, from 1 on; 1,2,3",
    "budget": "tokens after the first removal, the paper's or a --model's; 0: no training",
    "order": f"of removal: {', '.join(ORDERS)}",
    "teacher": "of a loss with one: own (the trial's base), an age, SCALE@AGE, or any model of the "
    "same tokenizer: FOLDER[@REVISION] or a hub id",
}


def sweep_parser(sweep: Sweep, program: str | None = None) -> Parser:
    """The parser of a sweep's flags, behind the words that start it."""
    epilog = f"axes: {', '.join(sweep.axes)}; {EXITS}"
    parser = Parser(prog=program, description=sweep.question, epilog=epilog, allow_abbrev=False)
    cell_flags = _cell_flags(parser, sweep)
    _training_flags(parser)
    _measuring_flags(parser)
    _running_flags(parser)
    for axis in [axis for axis in sweep.axes if axis not in FIELD_HELP]:
        names = [name for name in (f"--{axis}", f"--{axis}s") if not parser.has(name)]
        if f"--{axis}" not in names:
            raise UsageError(
                f"sweep {sweep.name!r}: axis {axis!r} is the name of a flag that every sweep has: "
                "choose another"
            )
        cell_flags.add_argument(*names, action="append", help="an axis of this sweep, or all")
    return parser


def _cell_flags(parser: Parser, sweep: Sweep) -> argparse._ArgumentGroup:
    group = parser.add_argument_group(
        "which cells (values with commas: an axis; of the sweep's axes: instead of its own)"
    )
    for field in (*FIELDS, *TRAINING_FIELDS):
        group.add_argument(f"--{field}", action="append", help=FIELD_HELP[field])
    group.add_argument(
        "--set",
        action="append",
        type=assignment("--set", "lr=1e-4,3e-4"),
        default=[],
        metavar="lr=1e-4,3e-4",
        help="of the recipe; a random search or tpe draws from a range: lr=1e-5..1e-3:log",
    )
    if CHANGE in sweep.axes:
        group.add_argument(
            "--around",
            action="append",
            type=assignments("--around", "lr=3e-4,loss=kd"),
            default=[],
            metavar="lr=3e-4,loss=kd",
            help="the point that is changed (the scale's recipe); --set and --change: the changes",
        )
    group.add_argument(
        "--reference",
        action="append",
        help="models beside them, evaluated only: SCALE[@AGE], a folder, an id of the hub",
    )
    group.add_argument(
        "--search", help=f"{', '.join(SEARCHES)} over the cells ({sweep.searching.name})"
    )
    group.add_argument(
        "--trials",
        type=whole("--trials"),
        help="how many cells a search takes, or a funnel to the end",
    )
    group.add_argument("--objective", help=f"of tpe, one or several: {', '.join(OBJECTIVES)}")
    return group


def _training_flags(parser: Parser) -> None:
    group = parser.add_argument_group("how each is trained")
    group.add_argument("--scale", help=f"{', '.join(scale_names())} (${SCALE_VARIABLE} or laptop)")
    group.add_argument("--model", help="your own: a folder of the Hugging Face kind, or a hub id")
    group.add_argument(
        "--models",
        type=several_models,
        help="several, of a sweep over sizes: 70m=FOLDER_OR_ID[@REVISION+REVISION],160m=…",
    )
    group.add_argument(
        "--seq-len",
        type=whole("--seq-len"),
        help="tokens in a window (a --model's own, at most 4096)",
    )
    add_text_flags(group)
    group.add_argument("--allow-ends", action="store_true", help="first and last layer may leave")
    group.add_argument(
        "--lr-probe",
        action=argparse.BooleanOptionalAction,
        help="each arm at the best of three peaks, tried first (of a --model: yes)",
    )
    group.add_argument("--recipe", help=f"of a --model: {', '.join(RECIPES)}")


def _measuring_flags(parser: Parser) -> None:
    group = parser.add_argument_group("what is measured")
    group.add_argument("--tasks", help="instead of the scale's: piqa,copa or paper13 or of lm-eval")
    group.add_argument("--task-data", help="a folder with a <task>.jsonl each (the hub)")
    group.add_argument(
        "--probes", help="what bases are fine-tuned on, instead of the scale's: paraphrase or none"
    )
    group.add_argument(
        "--num-fewshot",
        type=whole("--num-fewshot", lowest=0),
        help="examples before every item (as the task says)",
    )
    group.add_argument(
        "--limit",
        type=whole("--limit"),
        help="items of each task, its first ones: a first look (all)",
    )
    group.add_argument(
        "--max-length",
        type=whole("--max-length"),
        help="tokens of a task that a --model reads at once (its own, at most 16384)",
    )


def _running_flags(parser: Parser) -> None:
    group = parser.add_argument_group("where and whether it runs")
    STORAGE(group)
    PARTS(group)
    TRACKING(group)
    group.add_argument(
        "--teacher-placement", default=AUTO, help=f"{', '.join(PLACEMENTS)}[:FORM=SIZE]"
    )
    group.add_argument(
        "--cache-gb",
        type=number("--cache-gb", "a number above 0, of gigabytes in the storage", positive=True),
        default=CACHE_GB,
        help="that cached teachers may take in the storage",
    )
    group.add_argument(
        "--checkpoint-every",
        type=number("--checkpoint-every", "seconds, from 0 (after every step) on", positive=False),
        default=CHECKPOINT_EVERY_S,
        help="seconds",
    )
    group.add_argument(
        "--devices-per-trial", type=device_range, help="that train one trial: 2; elastic: 1-2"
    )
    group.add_argument(
        "--sharding",
        default=SHARDING,
        help=f"{', '.join(SHARDINGS)}: whether its devices share out the student (what fits)",
    )
    group.add_argument(
        "--concurrent",
        type=whole("--concurrent"),
        help="trials at once (what the cluster can hold)",
    )
    group.add_argument("--dry-run", action="store_true", help="show every trial, run none")
    group.add_argument(
        "--probe", action="store_true", help="first measure for a few seconds what it will take"
    )
    group.add_argument(
        "--price-per-hour",
        type=number(
            "--price-per-hour", "what one device costs, a number such as 2.50", positive=False
        ),
        help="of one device, in any currency: 2.50",
    )
    group.add_argument(
        "--device", type=device_name, help=f"a plan for it, with --dry-run: {', '.join(DEVICES)}"
    )
    group.add_argument(
        "--utilisation",
        type=number_range("--utilisation", "of the peak, 0.4 or 0.3-0.5, up to 1", most=1.0),
        help=f"of the peak of --device: 0.4, or 0.3-0.5 ({UTILISATION:g})",
    )
    group.add_argument(
        "--tokens-per-s",
        type=number_range("--tokens-per-s", "a number, 20000, or 18000-25000", most=1e12),
        help="or that one device trains of the whole model: 20000, or 18000-25000",
    )
    group.add_argument("--yes", action="store_true", help="run although it is long or unknown")
    group.add_argument("--debug", action="store_true", help="show a traceback with an error")
