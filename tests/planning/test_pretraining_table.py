"""What a plan says of bases that it pretrains, by shape."""

from raydistill.api import NONE
from raydistill.cli.arguments.sweep_flags import plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.dry_run import describe
from raydistill.planning.sweep import Sweep
from raydistill.storage.store import Store

LARGEST = "honey+embedding=256+feed_forward=1024+heads=8+layers=8+width=256"
WIDTHS = [f"honey+width={width}" for width in (8, 16, 64, 128, 256, 512)]


def trial(scale, size, age):
    del size
    return scale.trial(age=scale.ages[age], location=NONE, count=0, share=0)


def lines_of(tmp_path, sizes, *flags, width=120, scale="honey"):
    axes = {"size": sizes, "age": (0, -1)}
    sweep = Sweep(name="shapes", question="What do shapes do?", axes=axes, trial=trial)
    argv = ["--storage", str(tmp_path), "--scale", scale, "--dry-run", *flags]
    plan = plan_of(sweep, sweep_parser(sweep).read(argv), "python shapes.py")
    return describe(prepare(plan, Store(tmp_path)), width=width).splitlines()


def rows_of(lines):
    """The cells of the table of pretrainings, by shape."""
    first = next(i for i, line in enumerate(lines) if line.startswith("pretraining"))
    table = [line.split() for line in lines[first + 1 : lines.index("", first)]]
    return {row[0]: row[1:] for row in table}


def test_every_shape_has_its_parameters_and_flops_by_three_rules(tmp_path):
    rows = rows_of(lines_of(tmp_path, ("honey", LARGEST), width=200))
    assert rows["honey"][:6] == ["1,254,882", "15,008", "1.162B", "8.75e15", "8.60e15", "7.81e14"]
    assert rows[LARGEST][:6] == [
        "16,237,122",
        "6,451,200",
        "1.162B",
        "1.13e17",
        "1.10e17",
        "5.31e16",
    ]
    assert rows["honey"][6:] == rows[LARGEST][6:] == ["?"]


def test_on_a_device_it_has_hours_and_money(tmp_path):
    flags = ("--device", "A100", "--price-per-hour", "2")
    lines = lines_of(tmp_path, ("honey", LARGEST), *flags, width=200)
    slow_s = 7.81e14 / (0.2 * 19.5e12)
    *_, fast, _to, slow, least, _to, most = rows_of(lines)["honey"]
    assert float(slow) == float(f"{slow_s / 3600:.2g}")
    assert float(fast) < float(slow)
    assert [float(least), float(most)] == [0.049, 0.11]  # at 2 an hour, by the unrounded ends
    bases = next(line.split() for line in lines if line.startswith("bases"))
    assert bases[1:3] == ["2", "5.4e16"]


def test_bases_as_they_are_have_no_table_of_trials_and_are_measured_once(tmp_path):
    lines = lines_of(tmp_path, ("honey", LARGEST), "--device", "A100")
    text = " ".join(" ".join(lines).split())
    assert "stays" not in text
    assert "training of bases, by masked-lm and adamw: 35,475 steps of 32.768K tokens" in text
    assert "Cells 4 · distinct trials 4 · done 0." in text
    evaluation = next(line.split() for line in lines if line.startswith("evaluation"))
    assert evaluation[1] == "4"


def test_how_often_a_pretraining_reads_its_text_is_said(tmp_path):
    """Of shipped bases it is not: they are there."""
    sizes = {"smoke_reduced": ("smoke_reduced",), "laptop": ("laptop",)}
    text = {scale: lines_of(tmp_path, size, scale=scale) for scale, size in sizes.items()}
    said = next(line for line in text["smoke_reduced"] if line.startswith("text"))
    assert "of which the longest pretraining reads 49.5 %" in said
    assert not any("pretraining reads" in line for line in text["laptop"])


def test_many_shapes_are_told_once_and_no_line_is_wider_than_a_name(tmp_path):
    lines = lines_of(tmp_path, ("honey", *WIDTHS), width=80)
    text = " ".join(" ".join(lines).split())
    assert "1.255M parameters; 7 shapes, see below" in text
    assert "ages of 7 shapes 32.768M → 32.768M (to be pretrained), 1162444800 → 1.162B" in text
    assert "No finished trial of honey, honey+width=8, honey+width=16 and 4 more tells" in text
    assert max(map(len, lines)) <= max(80, 12 + len(str(tmp_path)))
    names = [line for line in lines if line.startswith("honey")]
    assert names == ["honey", *WIDTHS]
