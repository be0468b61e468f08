"""`raydistill rank`: its scores are those of `importance/`, its losses those of plain removal."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from raydistill.core.errors import UsageError
from raydistill.core.progress import listening
from raydistill.models.decoder import build
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.student import Student
from raydistill.pruning.calibration import Sample
from raydistill.pruning.importance import (
    angular_distance,
    angular_distance_last,
    block_influence,
    greedy,
    loss_increase,
)
from raydistill.pruning.ranking import rank
from raydistill.pruning.ranking_result import locations_to_rank
from raydistill.reports.ranking import findings, next_locations, sections
from raydistill.specs.locations import pick
from raydistill.specs.scale import load_scale
from support import sweeping
from support.hub_models import save_model
from support.printed import commands_in, run_printed

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from tiny_decoders import tiny_decoder

FAMILIES = ("llama", "gpt2", "qwen2", "gemma3_text")


@pytest.fixture(scope="module", params=["palm", *FAMILIES])
def ranked(request, tmp_path_factory):
    """A tiny model of 6 layers, its windows, its ranking, and the progress reported."""
    if request.param == "palm":
        model = build(load_scale("smoke").model, seed=0)
    else:
        folder = save_model(tmp_path_factory.mktemp("model"), request.param)
        model = load_pretrained(read_checkpoint(str(folder), "main"))
    ids = torch.randint(1, 2048, (2, 3, 33), generator=torch.Generator().manual_seed(0))
    sample = Sample(
        scored=tuple(ids[0].split(2)), measured=tuple(ids[1].split(2)), windows=3, corpus=Path()
    )
    reports = []
    with listening(reports.append):
        ranking = rank(model.eval(), sample, (2, 3), name="m", text="t")
    return model, sample, ranking, reports


def test_a_model_that_sees_what_follows_is_not_ranked_by_it():
    model = build(load_scale("smoke_reduced+mask=0.3").model, seed=0)
    ids = torch.ones(2, 33, dtype=torch.long)
    sample = Sample(scored=(ids,), measured=(ids,), windows=2, corpus=Path())
    with pytest.raises(UsageError, match="by what follows a text, which a model of family enc"):
        rank(model, sample, (1,), name="m", text="t")


def assert_close(values, expected):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(torch.tensor(values).double(), expected, atol=1e-5, rtol=1e-4)


def test_its_scores_are_those_of_the_parts(ranked):
    model, sample, ranking, _ = ranked
    inputs = [ids[:, :-1] for ids in sample.scored]
    assert_close(ranking.block_influence, block_influence.score(model, inputs))
    assert_close(ranking.loss_increase, loss_increase.score(model, sample.scored))
    everywhere = angular_distance.span_distances(model, inputs, 3, angular_distance.EVERY)
    assert_close(ranking.spans[3], everywhere)
    at = {cut.location: cut.layers for cut in ranking.of_count(3)}
    assert at["angular-distance"] == angular_distance.choose(model, inputs, 3, range(1, 5))
    assert at["angular-distance-last"] == angular_distance_last.choose(
        model, inputs, 3, range(1, 5)
    )


@torch.inference_mode()
def test_greedy_is_measured_on_request_alone(ranked):
    model, sample, ranking, _ = ranked
    assert not any(cut.location == "greedy" for cut in ranking.cuts)
    more = rank(model, sample, (2, 3), name="m", text="t", dear=True)
    for count in (2, 3):
        (cut,) = [cut for cut in more.of_count(count) if cut.location == "greedy"]
        chosen = greedy.choose(model, sample.scored, count, range(1, 5))
        assert cut.layers == tuple(sorted(chosen))
    assert {c for c in more.cuts if c.location != "greedy"} == set(ranking.cuts)


@torch.inference_mode()
def test_a_cut_costs_what_the_model_without_those_layers_costs(ranked):
    model, sample, ranking, _ = ranked
    whole = list(model.blocks)
    assert [(cut.location, cut.count) for cut in ranking.cuts] == [
        (name, count) for count in (2, 3) for name in locations_to_rank()
    ]
    for cut in ranking.cuts:
        if cut.location in ("input", "alt-output", "max-gap", "random-0"):
            assert cut.layers == tuple(sorted(pick(cut.location, 6, cut.count)))
            Student(model).remove(cut.layers)
            assert_close([cut.nll], [loss_increase.loss_without((), model, sample.measured)])
            model.use_blocks(whole)
    assert_close([ranking.base_nll], [loss_increase.loss_without((), model, sample.measured)])


def test_it_leaves_the_model_as_it_was_and_reports_every_pass(ranked):
    model, _, ranking, reports = ranked
    assert len(model.blocks) == 6
    assert not any(block._forward_hooks for block in model.blocks)
    assert reports[0].done == 1
    assert reports[-1].done == reports[-1].total == len(reports)
    assert ranking.least_missed()[0] in range(1, 5)


def test_the_passes_of_greedy_are_reported_too(ranked):
    model, sample, _, without = ranked
    reports = []
    with listening(reports.append):
        rank(model, sample, (2, 3), name="m", text="t", dear=True)
    assert len(reports) > len(without)
    assert reports[-1].done == reports[-1].total == len(reports)


@pytest.fixture(scope="module")
def done(with_embedded_text, tmp_path_factory):
    """A base of a scale, ranked as a user would."""
    to = tmp_path_factory.mktemp("to")
    with_embedded_text(to / "storage")
    words = ("rank", "laptop@80B", "--windows", "2", "--count", "3,4", "--to", str(to / "r"))
    return sweeping.command(to / "storage", *words), to / "r"


def test_a_base_is_ranked_by_the_command(done):
    (ran, to) = done
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "laptop@80B, 12 layers. Scores on 2 windows of 128 tokens of embedded" in ran.stdout
    assert "healing changes the order" in ran.stdout
    assert "where_to_drop.py --scale laptop --age 80B --location none," in ran.stdout
    names = ["manifest.json", "rank.csv", "rank.md", "rank.png", "rank.svg"]
    assert sorted(p.name for p in to.iterdir()) == names
    with (to / "rank.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(row["what"] == "loss_increase_nats" for row in rows) == 12
    assert sum(row["what"] == "nll_nats" for row in rows) == 1 + 2 * len(locations_to_rank())
    assert "![scores and one-shot perplexity](rank.svg)" in (to / "rank.md").read_text()


def test_the_next_command_can_be_planned(done):
    ran, _ = done
    planned = run_printed(commands_in(ran.stdout)[-1], "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "Cells 5" in planned.stdout


def test_a_folder_is_ranked_on_ones_own_text(tmp_path):
    folder = save_model(tmp_path / "mine", "gpt_neox")
    (tmp_path / "a.txt").write_text(
        "\n".join(f"line {i} of a text of one's own" for i in range(999))
    )
    words = ("rank", folder, "--text", tmp_path / "a.txt", "--seq-len", "16", "--windows", "2")
    ran = sweeping.command(tmp_path / "storage", *words, "--to", tmp_path / "r")
    assert ran.returncode == 0, ran.stderr
    assert "2 windows of 16 tokens of a.txt" in " ".join(ran.stdout.split())
    command = commands_in(ran.stdout)[-1]
    assert f"--model {folder} --location none," in command
    assert f"--corpus {tmp_path / 'a.txt'} --seq-len 16 --budget " in command
    planned = run_printed(command, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    plan = " ".join(planned.stdout.split())
    words = r"(\S+) training tokens, which the longest trial reads ([\d.]+) times"
    tokens, times = re.search(words, plan).groups()
    assert 1 < float(times) <= 4
    assert f"the text's {tokens} {float(times):.2g} times" in ran.stdout
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 6


def test_an_error_in_a_score_of_ones_own_is_one_line_with_its_place(own_parts, tmp_path):
    parts = own_parts({"scores/fails.py": "\ndef score(model, batches_BT):\n    return 1 / 0"})
    folder = save_model(tmp_path / "mine", "gpt_neox")
    (tmp_path / "a.txt").write_text("\n".join(f"line {i} of a text" for i in range(999)))
    words = ("rank", folder, "--text", tmp_path / "a.txt", "--seq-len", "16", "--windows", "1")
    ran = sweeping.command(tmp_path / "storage", *words, "--to", tmp_path / "r", "--parts", parts)
    assert ran.returncode == 2
    assert ran.stderr.endswith("error: scores/fails.py:3: ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    "model_type",
    ["qwen3_next", "jamba", "mamba", pytest.param("gemma4_text", marks=pytest.mark.soak)],
)
@torch.inference_mode()
def test_cuts_of_blocks_that_differ_are_measured_as_what_removal_leaves(model_type, tmp_path):
    """Those that cannot leave as if they passed on their input, and no sweep is told to try."""
    tiny_decoder(model_type).save_pretrained(tmp_path)
    model = load_pretrained(read_checkpoint(str(tmp_path), "main")).eval()
    ids = torch.randint(1, 64, (2, 2, 17), generator=torch.Generator().manual_seed(0))
    sample = Sample(scored=(ids[0],), measured=(ids[1],), windows=2, corpus=Path())
    ranking = rank(model, sample, (1,), name="m", text="t")
    cuts = {cut.layers: cut for cut in ranking.cuts}
    refused = {layers for layers, cut in cuts.items() if cut.refusal}
    assert bool(refused) == (model_type in ("gemma4_text", "jamba"))
    student = Student(model)
    for layers in set(cuts) - refused:
        student.remove(layers)
        expected = loss_increase.loss_without((), student.model, sample.measured)
        assert cuts[layers].nll == pytest.approx(expected, abs=1e-5)
        student = Student(load_pretrained(read_checkpoint(str(tmp_path), "main")).eval())
    assert ("cannot leave" in " ".join(findings(ranking))) == bool(refused)
    by_layer, by_location = sections(ranking)
    assert ("parameters" in by_layer.headers) == (model_type != "mamba")
    marked = {name for name, *cells in by_location.rows if "†" in cells[0]}
    assert marked == {cut.location for cut in ranking.cuts if cut.refusal}
    assert not marked.intersection(next_locations(ranking)[0])
