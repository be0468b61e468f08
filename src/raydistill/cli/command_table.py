"""The commands of `raydistill`: their flags, and the function of each by name.

A command's module is imported when the command runs, so `--help` stays quick.
"""

import argparse
import pkgutil
from dataclasses import KW_ONLY, dataclass

from raydistill.cli.arguments import law_flags
from raydistill.cli.arguments.own_parts import PARTS
from raydistill.cli.arguments.parser import AddFlags, flag
from raydistill.cli.arguments.storage import TRACKING
from raydistill.cli.arguments.text_flags import add_text_flags
from raydistill.cli.arguments.values import assignment, layer_count, layer_counts, number, whole
from raydistill.models.huggingface.checkpoint import DEFAULT_REVISION
from raydistill.specs.scale import scale_names
from raydistill.storage.store import Store


@dataclass(frozen=True, slots=True)
class Command:
    """One command, also one of a group, such as `track sync`."""

    name: str
    help: str
    _: KW_ONLY
    flags: tuple[AddFlags, ...] = ()
    main: str  # module:name of a function of store and flags that returns the exit code
    weights: bool = False  # whether it reads weights of the storage
    storage: bool = True  # whether it has `--storage`

    def run(self, store: Store, flags: argparse.Namespace) -> int:
        """Run the command; returns the exit code.

        Raises:
            RaydistillError: if it cannot be done.
        """
        code: int = pkgutil.resolve_name(self.main)(store, flags)
        return code


SWEEPS = flag("sweep", nargs="*", help="by name (all there are)")
OVERWRITE = flag("--overwrite", action="store_true", help="although it is not empty")
NO_CHECK = flag("--no-check", action="store_true", help="what was written is not loaded again")
FOLDER = flag("--to", required=True, help="a folder for the model")
REVISION = flag(
    "--revision", default=DEFAULT_REVISION, help=f"of a checkpoint ({DEFAULT_REVISION})"
)
SAMPLE = (
    flag("--text", help="to measure on: a file, a folder or embedded"),
    flag("--seq-len", type=whole("--seq-len"), help="tokens in a window (2048, on a CPU 128)"),
    flag(
        "--windows",
        type=whole("--windows"),
        help="in a sample (64; on a CPU fewer for a large model)",
    ),
)
TOLERANCE = number(
    "--tolerance", "nats per token, a number from 0 on, such as 0.01", positive=False
)

COMMANDS = (
    Command(
        "sweep",
        "a sweep of the package by its name, or your own by its file (what there is)",
        flags=(
            flag("sweep", nargs="?", metavar="NAME|FILE", help="where_to_drop, or mine.py"),
            PARTS,
            flag("words", nargs=argparse.REMAINDER, metavar="...", help="its flags: --help"),
        ),
        main="raydistill.cli.commands.sweep:sweep",
        storage=False,
    ),
    Command(
        "base",
        "train the bases of a scale anew",
        flags=(
            flag("--scale", default="laptop", help=", ".join(scale_names())),
            add_text_flags,
            flag("--to", help="a folder to put them in, as the package ships them"),
            OVERWRITE,
        ),
        main="raydistill.cli.commands.bases:base",
    ),
    Command(
        "ui",
        "MLflow's pages on what the sweeps left",
        flags=(flag("--port", type=whole("--port"), default=5000, help="on 127.0.0.1"), TRACKING),
        main="raydistill.cli.commands.mlflow_ui:ui",
    ),
    Command(
        "rungs",
        "how early did the order of layer sets settle?",
        flags=(
            flag("sweep", nargs="?", help="whose finished trials (all sweeps')"),
            flag("--replay", action="store_true", help="what would a funnel have chosen?"),
            flag(
                "--tolerance",
                type=TOLERANCE,
                default=0.01,
                help="nats per token a decision may cost",
            ),
        ),
        main="raydistill.cli.commands.rank_stability:rank_stability",
    ),
    Command(
        "report",
        "tables, figures and a page of any set of sweeps",
        flags=(
            SWEEPS,
            flag("--scale", help="of the sweeps (all)"),
            flag("--from", dest="source", metavar="URI", help="an MLflow server (this storage)"),
            flag("--experiment", action="append", help="in MLflow, by name (every sweep's)"),
            flag("--filter", help="cells, in MLflow's words: params.location = 'input'"),
            flag("--rows", help="a table of your own: location, count, age, arm, ..."),
            flag("--cols", help="the same for its columns"),
            flag("--metric", help="in its cells (delta_nll); any with _vs_control"),
            flag("--seeds", help="mean±ci (the usual), interval, mean or each"),
            flag(
                "--where",
                action="append",
                type=assignment("--where", "age=320B"),
                default=[],
                metavar="age=320B",
            ),
            flag("--format", default="terminal", help="to print: terminal, markdown, csv or latex"),
            flag("--to", help="a folder for all formats (report/ in the storage)"),
        ),
        main="raydistill.cli.commands.report:report",
    ),
    Command(
        "show",
        "one trial: asked, run, scored",
        flags=(flag("trial", help="its id, or how it begins"),),
        main="raydistill.cli.commands.report:show",
    ),
    Command(
        "diff",
        "where two trials differ, and by how much",
        flags=(
            flag("one", help="a trial's id, or how it begins"),
            flag("other", help="the same of another"),
        ),
        main="raydistill.cli.commands.report:diff",
    ),
    Command(
        "best",
        "what cannot be told apart from the best",
        flags=(SWEEPS,),
        main="raydistill.cli.commands.report:best",
    ),
    Command(
        "export",
        "a trial as a folder that every tool loads",
        flags=(
            flag("trial", help="its id, or how it begins; or a base: laptop@320B"),
            flag("--to", required=True, help="the folder, with weights, tokenizer and card"),
            OVERWRITE,
            flag("--dtype", default="base", help="base (that of its base) or float32"),
            flag("--no-measure", action="store_true", help="leave the speeds out"),
            NO_CHECK,
        ),
        main="raydistill.export.student:export_student",
        weights=True,
    ),
    Command(
        "add",
        "a student trained elsewhere, in a sweep's tables",
        flags=(
            flag("folder", help="of the same family, or one that export wrote"),
            flag("--like", required=True, metavar="TRIAL", help="whose base, text and tasks"),
            flag("--name", help="what its row is called (the folder's name)"),
            flag(
                "--reference",
                action="store_true",
                help="another model, its tokenizer may be its own",
            ),
        ),
        main="raydistill.export.external_student:add_student",
        weights=True,
    ),
    Command(
        "rank",
        "which layers matter, in minutes, without training",
        flags=(
            flag("model", help="a folder, a hub id, or a scale's base such as laptop@80B"),
            flag(
                "--count",
                type=layer_counts,
                default=[],
                help="how many layers leave, 4,8 (a few shares of them)",
            ),
            flag("--greedy", action="store_true", help="that location too: many more passes"),
            *SAMPLE,
            flag("--to", help="a folder for table and picture (rank-MODEL)"),
            REVISION,
        ),
        main="raydistill.cli.commands.rank:rank",
        weights=True,
    ),
    Command(
        "prune",
        "take layers out, and train nothing",
        flags=(
            flag("--model", help="a folder or a hub id (a layer map's own)"),
            flag("--location", help="where layers come out; a score reads --text"),
            flag("--count", type=layer_count, help="how many layers leave"),
            flag("--target-params", help="or as many as it takes to have so few: 0.8B"),
            flag("--layers", help="instead: these, 1,2,5-8"),
            flag("--mergekit", metavar="FILE", help="instead: all that a map leaves out"),
            flag("--allow-ends", action="store_true", help="first and last layer may leave"),
            NO_CHECK,
            *SAMPLE,
            FOLDER,
            OVERWRITE,
            REVISION,
        ),
        main="raydistill.cli.commands.prune:prune",
        weights=True,
    ),
    Command(
        "import",
        "pickled or quantised weights, once, as safetensors",
        flags=(
            flag("source", help="a folder or a hub id; a GGUF file"),
            NO_CHECK,
            FOLDER,
            OVERWRITE,
            REVISION,
        ),
        main="raydistill.cli.commands.import_checkpoint:import_model",
        weights=True,
    ),
    Command(
        "track sync",
        "sync: bring MLflow to what the storage holds",
        flags=(SWEEPS, TRACKING),
        main="raydistill.cli.commands.sync_tracking:sync",
    ),
    Command(
        "store merge",
        "merge: take over what another storage holds",
        flags=(flag("other", help="a storage's folder; it is read only"),),
        main="raydistill.cli.commands.merge_stores:merge",
        weights=True,
    ),
    Command(
        "cluster check",
        "check: the files of a cluster, before it costs",
        flags=(
            flag("file", nargs="*", help="YAML or Dockerfile (all below cluster/)"),
            flag("--schemas", help="a folder with another version of KubeRay's"),
        ),
        main="raydistill.cli.commands.check_cluster:check",
        storage=False,
    ),
    Command(
        "law",
        "laws that were fitted; fit: one of a table; front: a loss; capacity-gap: a teacher",
        flags=(law_flags.JSON,),
        main="raydistill.cli.commands.laws.listing:law",
    ),
    Command(
        "law fit",
        "fit a law to a table of runs",
        flags=law_flags.FIT,
        main="raydistill.cli.commands.laws.table_fit:fit_table",
    ),
    Command(
        "law front",
        "the loss at some FLOPs of pretraining, by the front that a sweep over shapes left",
        flags=law_flags.FRONT,
        main="raydistill.cli.commands.laws.front:front",
    ),
    Command(
        "law capacity-gap",
        "which teacher for a student, by its size or under a budget",
        flags=law_flags.CAPACITY_GAP,
        main="raydistill.cli.commands.laws.capacity_gap:capacity_gap",
    ),
    Command(
        "doctor",
        "what a sweep would stumble over here, and what helps",
        flags=(TRACKING,),
        main="raydistill.cli.commands.doctor:doctor",
    ),
)
