"""A report of a sweep over sizes and ages becomes runs, and its plain table gives way to theirs."""

import dataclasses
import math

import pytest

from raydistill.reports.formats.all_formats import figures, texts
from raydistill.reports.formats.latex import to_latex
from raydistill.reports.reduced_scale.from_report import reduced_scale_findings
from raydistill.reports.reduced_scale.runs import CAUSAL, MASKED, Text
from raydistill.reports.sweep_report import report_content
from raydistill.specs.evaluation import PRETRAINED, STARTS, probe_score
from raydistill.specs.pretraining_flops import pretraining_flops
from raydistill.specs.scale import load_scale
from support.reported import FAILURE, cell, sweep
from support.shape_sweep import AGES, SCALES, shape_bases, shape_cell, shape_report
from support.shaped import scores


@pytest.fixture(scope="module")
def content():
    return report_content(shape_report(shape_bases()))


def test_every_base_is_a_point_of_its_run(content):
    findings = content.reduced_scale
    assert {run.name for run in findings.runs} == set(SCALES)
    assert all(len(run.points) == len(AGES) for run in findings.runs)
    runs = {run.name: run for run in findings.runs}
    own, masked = runs["smoke_reduced"], runs["smoke_reduced+mask=0.15"]
    assert (own.objective, masked.objective) == (CAUSAL, MASKED)
    assert own.shape.width == 16
    assert own.shape.feed_forward == 32
    assert own.shape.embedding == 16
    model = load_scale(own.name).model
    flops = pretraining_flops(model, own.oldest.tokens)
    assert own.oldest.flops == dataclasses.asdict(flops)
    share = pretraining_flops(load_scale(masked.name).model, masked.oldest.tokens, 0.15)
    assert masked.oldest.flops == dataclasses.asdict(share)
    assert own.oldest.loss == pytest.approx(4.6)
    assert own.non_embedding < own.parameters


def test_the_text_is_what_was_counted_of_it(content):
    (text,) = {run.text for run in content.reduced_scale.runs if run.objective == CAUSAL}
    assert (text.name, text.words, text.unigram_nats) == ("smoke", 900, 5.2)
    assert text.bits_per_nat == pytest.approx(1 / math.log(2) / 4)
    assert content.reduced_scale.runs[0].left_at.loss == pytest.approx(5.0)
    unknown = shape_bases(names=SCALES[:1], text=None)
    (run,) = reduced_scale_findings(shape_report(unknown)).runs
    assert run.text == Text(name="cccccccc/dddddddd")


def test_a_masked_run_has_the_line_of_its_own_targets():
    bases = [
        dataclasses.replace(base, masked_unigram_nats=4.7 if base.mask_share else None)
        for base in shape_bases()
    ]
    content = report_content(shape_report(bases))
    runs = {run.name: run for run in content.reduced_scale.runs}
    masked = runs.pop("smoke_reduced+mask=0.15")
    assert {run.text.unigram_nats for run in runs.values()} == {5.2}
    assert masked.text.unigram_nats == 4.7
    assert masked.left_at is None  # it ends at 4.6, where causal ones have left at 5.0
    shapes = content.findings[0]
    assert not any("of all held-out tokens" in sentence for sentence in shapes.words)
    assert any("unigram line (4.700)" in sentence for sentence in shapes.words)


def test_where_that_line_was_not_counted_the_page_says_which_one_it_has(content):
    runs = {run.name: run for run in content.reduced_scale.runs}
    assert runs["smoke_reduced+mask=0.15"].text.unigram_nats == 5.2
    about = [
        sentence for sentence in content.findings[0].words if "all held-out tokens" in sentence
    ]
    assert about == [
        "masked on smoke: the unigram line is that of all held-out tokens; that of the hidden ones "
        "alone is counted when the sweep next trains something in this storage."
    ]


def test_texts_of_one_name_are_told_apart_by_their_digits():
    bases = shape_bases(names=SCALES[:2])
    cells = [shape_cell(base) for base in bases]
    other = dataclasses.replace(cells[0].train, corpus_sha256="e" * 64)
    cells[:3] = [dataclasses.replace(of, train=other) for of in cells[:3]]
    runs = reduced_scale_findings(shape_report(bases, cells)).runs
    assert {run.text.name for run in runs} == {
        "smoke cccccccc/dddddddd", "smoke eeeeeeee/dddddddd",
    }  # fmt: skip


def test_probes_are_those_of_the_oldest_age():
    bases = shape_bases(names=SCALES[:1])
    probes = {
        probe_score("paraphrase", start, seed): scores(0.8 if start == PRETRAINED else 0.5)
        for start in STARTS
        for seed in (1, 2)
    }
    bases[2] = dataclasses.replace(
        bases[2], documents=dataclasses.replace(bases[2].documents, probes=probes)
    )
    (gain,) = reduced_scale_findings(shape_report(bases)).gains
    assert (gain.probe, gain.seeds, gain.helps) == ("paraphrase", 2, True)
    assert gain.gain.value == pytest.approx(0.3)


def test_the_table_of_bases_as_they_are_gives_way_to_that_of_shapes(content):
    assert content.table.blocks == ()
    assert content.table.spending.trials == ()
    assert content.findings[0].title.startswith("Shapes")
    assert content.table.warnings[0].endswith("do not choose shapes for a large model from this.")
    assert [picture.name for picture in content.pictures] == ["reduced-scale"]
    assert len(content.points) == len(SCALES) * len(AGES)  # for tables of one's own choice


@pytest.mark.parametrize("form", ["report.md", "report.html", "report.tex"])
def test_every_format_has_the_tables_and_sentences(content, form):
    text = texts([content])[form]
    assert "Shapes, with the FLOPs of their pretraining by three rules" in text
    assert "Layers that leave" not in text
    assert to_latex(content.findings[0], "a caption")


def test_files_and_figures_are_those_of_shapes(content, tmp_path):
    files = texts([content])
    assert files["reduced-scale.csv"].startswith("run,objective,text")
    (tmp_path / "healing.png").write_text("of an earlier report")
    assert {path.name for path in figures(content, tmp_path)} == {
        "reduced-scale.png", "reduced-scale.svg",
    }  # fmt: skip
    assert not (tmp_path / "healing.png").exists()


def test_a_base_that_failed_is_named_and_younger_ones_stay():
    bases = shape_bases(names=SCALES[:2])
    cells = [shape_cell(base) for base in bases]
    cells[2] = dataclasses.replace(cells[2], outcome=FAILURE)
    findings = reduced_scale_findings(shape_report(bases[:2] + bases[3:], cells))
    assert len(findings.runs[-1].points) + len(findings.runs[0].points) == 5
    assert findings.failed == {
        "smoke_reduced@320B": "failed in training after 3 tries: the loss is not a number at "
        "40,960 tokens"
    }


def test_other_sweeps_have_no_runs():
    assert reduced_scale_findings(sweep([cell("input")])).runs == ()
    content = report_content(sweep([cell("input")]))
    assert content.findings == ()
    assert "reduced-scale.csv" not in texts([content])
    bases = shape_bases(names=SCALES[:1])
    values = {"size": SCALES[0], "age": AGES[0], "location": "none"}
    cells = [shape_cell(base, values=values) for base in bases]
    assert reduced_scale_findings(shape_report(bases, cells)).runs == ()
