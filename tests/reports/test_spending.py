"""Time and memory of a sweep beside its estimates: in the terminal, in files, in MLflow."""

import dataclasses
import io

from rich.console import Console

from raydistill.core.serialization import from_json, to_json
from raydistill.core.units import B
from raydistill.planning.cell import cell_name
from raydistill.reports.formats.markdown import to_markdown
from raydistill.reports.formats.terminal import print_table
from raydistill.reports.results.cells import SweepReport
from raydistill.reports.results.spending import Spending, Spent, spending_of
from raydistill.reports.tables.table import Table, build_table
from raydistill.specs.results import CostEstimate, Unfinished
from raydistill.specs.scale import load_scale
from raydistill.specs.trial import TrialRequest
from raydistill.tracking.run_content import cell_content
from raydistill.training.throughput import Figures
from support import tracked_samples as samples
from support.planned import cell_of

INPUT = Spent(
    name="input, age 320B", trial_id="a" * 16, device="cpu", device_s=90.0, tokens_per_s=8_600.0,
    peak_bytes=512_000_000, utilisation_pct=31.25,
    estimate=CostEstimate(device_s=80.0, peak_bytes=500_000_000, source="a probe"),
)  # fmt: skip
OUTPUT = dataclasses.replace(
    INPUT, name="output, age 320B", trial_id="b" * 16, device_s=60.0, utilisation_pct="unknown",
    estimate="none",
)  # fmt: skip
SPENDING = Spending(trials=(INPUT, OUTPUT))


def table(spending):
    report = SweepReport(
        sweep="some", question="What?", scale="laptop", small_scale=True, bases=(), cells=(),
        spending=spending,
    )  # fmt: skip
    return build_table(report)


def test_each_trial_stands_beside_its_estimate():
    first, second = SPENDING.rows
    assert first == ("input, age 320B", "90s", "80s", "8,600", "512 MB", "500 MB", "31.2")
    assert second == ("output, age 320B", "60s", "–", "8,600", "512 MB", "–", "?")


def test_the_sum_stands_with_how_far_the_estimate_was_off():
    together, *_ = SPENDING.words
    assert together == (
        "2 trial(s) took 150 device-seconds (0.0417 device-hours). Estimated by a probe for 1 of "
        "them: 80, -11 % off their 90."
    )
    priced = dataclasses.replace(SPENDING, price_per_hour=2.5)
    assert "0.0417 device-hours, 0.1 at 2.5 an hour" in priced.words[0]


def test_without_an_estimate_that_is_said_and_without_trials_nothing_is():
    assert "nothing was measured before them" in Spending(trials=(OUTPUT,)).words[0]
    assert Spending().words == ()


def test_a_trial_that_cells_share_is_billed_once():
    outcome = samples.measured(320 * B, "input")
    request = TrialRequest(age=320 * B, location="a", count=2)
    requests = [request, dataclasses.replace(request, location="b")]
    cells = [cell_of(load_scale("smoke"), request) for request in requests]
    entries = [(cell, outcome, Figures()) for cell in cells]
    spending = spending_of(
        [*entries, (cells[0], Unfinished(), Figures())], probing_s=0.0, price_per_hour=1.0
    )
    (spent,) = spending.trials
    assert (spent.name, spent.device_s, spent.estimate) == ("a", 48.0, "none")


def test_a_trial_is_named_by_its_arm_and_the_other_axes():
    request = TrialRequest(age=320 * B, location="input", count=2)
    values = {"age": 320 * B, "location": "input", "arm": "kd", "seed": 2}
    cell = dataclasses.replace(cell_of(load_scale("smoke"), request), values=values)
    assert cell_name("input", cell.values) == "kd, age 320B, seed 2"


def test_what_the_choice_of_rates_took_stands_besides():
    assert not any("peak rates" in sentence for sentence in SPENDING.words)
    probed = dataclasses.replace(SPENDING, probing_s=1234.0)
    assert "Choosing peak rates took 1,234 device-seconds besides." in probed.words


def test_what_the_memory_of_a_cpu_means_is_explained_on_a_cpu_only():
    assert any("resident size" in sentence for sentence in SPENDING.words)
    gpu = dataclasses.replace(INPUT, device="NVIDIA H100")
    assert not any("resident" in sentence for sentence in Spending(trials=(gpu,)).words)


def test_terminal_and_files_say_the_same():
    printed, console = table(SPENDING), Console(file=io.StringIO(), width=120)
    print_table(printed, console)
    for text in (" ".join(console.file.getvalue().split()), to_markdown(printed)):
        for value in ("input, age 320B", "90s", "80s", "31.2", "0.0417 device-hours"):
            assert value in text
    assert from_json(Table, to_json(printed)) == printed


def test_mlflow_gets_the_utilisation():
    cell = samples.cell(320 * B, "input", samples.measured(320 * B, "input"))
    known = dataclasses.replace(cell, figures={"utilisation_pct": 31.25})
    sweep = samples.sweep_of(known)
    assert cell_content(sweep, known, "store").finals["utilisation_pct"] == 31.25
    assert "utilisation_pct" not in cell_content(sweep, cell, "store").finals


def test_a_trial_whose_memory_was_planned_far_off_is_told():
    planned = dataclasses.replace(
        INPUT, peak_bytes=2_300_000_000, held_bytes=300_000_000, expected_bytes=1_700_000_000
    )
    (sentence,) = [s for s in Spending(trials=(planned, INPUT)).words if "arithmetic" in s]
    assert "over 15 % off for 1 trial(s): input, age 320B took 2 GB beside" in sentence
    assert sentence.endswith("held before, not 1.7 GB.")
    on_gpu = dataclasses.replace(planned, peak_bytes=2_000_000_000, held_bytes=0)
    assert any("took 2 GB beside" in s for s in Spending(trials=(on_gpu,)).words)
    near = dataclasses.replace(planned, expected_bytes=1_900_000_000)
    small = dataclasses.replace(planned, peak_bytes=400_000_000, expected_bytes=20_000_000)
    assert not any("arithmetic" in s for s in Spending(trials=(near, small)).words)
