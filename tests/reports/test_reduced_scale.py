"""The page of a sweep over shapes: table, front, forms, slopes and texts, as planted."""

import csv
import dataclasses
import io
import math

import pytest
from rich.console import Console

from raydistill.laws.stored import save_fit, stored_fits
from raydistill.reports.figures.panels import draw_together
from raydistill.reports.figures.reduced_scale import reduced_scale_figure
from raydistill.reports.formats.csv import section_csv
from raydistill.reports.formats.terminal import print_section
from raydistill.reports.reduced_scale.findings import NO_LINE, NOT_LOWEST, ON_PLATEAU, fits
from raydistill.reports.reduced_scale.numbers import numbers
from raydistill.reports.reduced_scale.runs import MASKED, Text
from raydistill.reports.reduced_scale.tables import reduced_scale_tables
from raydistill.storage.store import Store
from support.shaped import BBE, FEWER, GRID, TOKENS, found, grid, power, run, section


def flat(flops, shape, tokens):
    """A loss at the plateau."""
    del flops, shape, tokens
    return 5.95


def broken(flops, shape, tokens):
    """A jump at 4e11 FLOPs."""
    return power(flops, shape, tokens) * (1.1 if flops < 4e11 else 1.0)


LONG = tuple(2**n for n in range(17, 25))


@pytest.fixture(scope="module")
def planted():
    """A causal grid that jumps, a masked run on the plateau, and other texts."""
    runs = [*grid(broken, tokens=LONG)]
    runs.append(run(flat, name="reduced+mask=0.15", objective=MASKED, tokens=LONG))
    runs += [
        run(power, name=f"reduced+text=bbe-1000+width={w}", text=FEWER, width=w)
        for w in (16, 64)
    ]  # fmt: skip
    return found(runs, {"reduced+width=128@1M": "failed in base after 3 tries: no memory"})


@pytest.fixture(scope="module")
def sections(planted):
    return reduced_scale_tables(planted)


def row(of, name):
    (cells,) = (cells for cells in of.rows if cells[0] == name)
    return dict(zip(of.headers, cells, strict=True))


def test_without_runs_there_is_nothing():
    nothing = found([])
    assert reduced_scale_tables(nothing) == []
    assert reduced_scale_figure(nothing).panels == ()
    assert list(fits(nothing)) == []


def test_a_shape_has_its_sizes_and_where_it_left_the_plateau(sections, planted):
    of = section(sections, "Shapes")
    assert len(of.rows) == len(planted.runs)
    own = row(of, "reduced")
    assert (own["parameters"], own["non-embedding"]) == ("104K", "49.2K")
    assert own["unigram line"] == "6.022"
    assert own["tokens to leave the plateau"] == "262K"
    assert row(of, "mask=0.15")["tokens to leave the plateau"] == "–"
    assert "masked on bbe: 1 run measured the plateau" in of.words[0]
    assert of.words[0].endswith("Drawn hollow, in no fit: mask=0.15.")
    assert of.words[1] == (
        "Not here: reduced+width=128@1M: failed in base after 3 tries: no memory."
    )


def test_only_causal_points_off_the_plateau_are_on_the_front(planted):
    assert {of.name for of in planted.leading} == {of.name for of in grid()}
    for front in planted.fronts:
        assert max(point.loss for point in front.points) <= BBE.unigram_nats - 0.2
        assert list(front.fitted.inputs["x"]) == sorted(front.fitted.inputs["x"])
        reasons = {one.reason for one in front.fitted.excluded}
        assert reasons == {ON_PLATEAU, NOT_LOWEST}
        assert len(front.fitted) + len(front.fitted.excluded) == len(GRID) * len(LONG)


def test_a_planted_jump_is_told_and_the_papers_is_out_of_reach(planted, sections):
    for front in planted.fronts:
        place = 4e11 * (1.5 if front.rule == "honey" else 1)
        assert front.forms.place.form == "jump"
        assert front.forms.place.low < place < front.forms.place.high
        assert front.law.form == "jump"
    words = " ".join(section(sections, "Forms of the front, FLOPs by the rule Honey's").words)
    assert "A break (jump) between " in words
    assert "Neither for nor against the paper (below 2.2e15 FLOPs" in words
    assert "The break here is another one." in words
    assert "Losses do not compare: padding counts in the paper's" in words


@pytest.mark.parametrize(
    ("jump", "says", "begins"),
    [
        (1.1, "A break (jump) between 1.96e15 and 3.14e15 ", "As in"),
        (1.0, "No break is seen", "Neither for nor against"),
    ],
)
def test_where_the_covered_range_holds_the_papers_break_it_agrees_or_cannot_tell(
    jump, says, begins
):
    def loss(flops, shape, tokens):
        return power(flops, shape, tokens) * (jump if 1.5 * flops < 2.2e15 else 1.0)

    tokens = [round(5e8 * 1.6**n) for n in range(9)]
    findings = found([run(loss, tokens=tokens, noise=0.0005)])
    words = section(
        reduced_scale_tables(findings), "Forms of the front, FLOPs by the rule Hon"
    ).words
    assert any(sentence.startswith(says) for sentence in words)
    assert any(sentence.startswith(f"{begins} the paper (below 2.2e15") for sentence in words)


def test_too_few_points_say_what_is_needed():
    findings = found([run(tokens=(2**21, 2**22, 2**23))])
    sections = reduced_scale_tables(findings)
    assert not any(of.title.startswith("Forms") for of in sections)
    assert section(sections, "The front").words[1:] == (
        "Causal LMs on bbe, 1.26e12 to 5.03e12 FLOPs: 3 points are too few for any form. A power "
        "law takes 5, all forms take 9: add more ages or shapes whose FLOPs lie in other bins.",
    )
    assert list(fits(findings)) == []


def test_a_text_without_a_unigram_line_enters_no_fit():
    findings = found([run(text=Text(name="ours"))])
    assert {one.reason for one in findings.fronts[0].fitted.excluded} == {NO_LINE}
    shapes, *others = reduced_scale_tables(findings)
    assert "none enters a fit" in shapes.words[0]
    assert "no point off the plateau: 0 points are too few for any form" in shapes.words[-1]
    assert not any(of.title.startswith("The front") for of in others)
    assert findings.ladder is None


def test_each_axis_has_the_slope_that_was_planted(planted, sections):
    of = {slope.axis: slope for slope in planted.slopes}
    assert of["width"].values == (8, 16, 32, 64)
    assert of["feed_forward"].values == (32, 128, 512)
    slope = of["layers"]
    ends = [power(point.flops["exact"], None, 0) for point in slope.points]
    doublings = math.log2(slope.flops_ratio)
    assert slope.per_doubling.value == pytest.approx((ends[-1] - ends[0]) / doublings, rel=0.1)
    assert slope.is_apart
    table = section(sections, "One axis at a time")
    assert row(table, "heads")["nats per doubling"] == "–"
    assert any(sentence.startswith("Heads: from 1 to 4 at FLOPs within 10 %")
               for sentence in table.words)  # fmt: skip
    assert table.words[-1].startswith("One run a shape: intervals are over documents")


def test_texts_compare_in_bits_per_byte_where_shapes_are_shared(planted, sections):
    ladder = planted.ladder
    assert [text.name for text in ladder.texts] == ["bbe", "bbe-1000"]
    assert [shape.width for shape in ladder.shapes] == [16, 64]
    assert ladder.tokens == TOKENS[-1]
    score = ladder.scores["bbe", ladder.shapes[0]]
    assert score.bits.value == pytest.approx(score.point.loss / math.log(2) / 4.0)
    own = ladder.scores["bbe-1000", ladder.shapes[0]].bits.value - score.bits.value
    assert ladder.differences[0].bits.value == pytest.approx(own)
    of = section(sections, "Bits per byte by text")
    assert of.headers == ("text", "words", "width 16", "width 64")
    assert of.rows[1][:2] == ("bbe-1000", "1,000")
    assert "unpaired" in of.words[-1]


def test_the_csv_has_a_line_a_point(planted):
    lines = list(csv.DictReader(io.StringIO(section_csv(numbers([planted])))))
    assert len(lines) == sum(len(of.points) for of in planted.runs)
    own = next(line for line in lines if line["run"] == "reduced" and line["tokens"] == "131072")
    assert (own["width"], own["heads"], own["off_plateau"]) == ("32", "4", "False")
    assert float(own["bits_per_byte"]) == pytest.approx(float(own["nll_nats"]) / math.log(2) / 4)
    on_front = sum(line["on_front_honey"] == "True" for line in lines)
    assert on_front == len(planted.fronts[0].points)
    masked = next(line for line in lines if line["objective"] == "masked")
    assert (masked["bits_per_byte"], masked["downstream"]) == ("", "")


def test_the_figure_has_a_panel_a_rule_with_hollow_points_line_and_band(planted):
    figure = reduced_scale_figure(planted)
    assert "a break at" in figure.panels[0].alt
    drawn = draw_together(figure)
    assert [axes.get_xlabel().rpartition(" ")[2] for axes in drawn.axes] == ["Honey's", "exact"]
    axes = drawn.axes[0]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    points = [p for of in planted.runs for p in of.points if not of.is_off_plateau(p)]
    assert sum(len(line.get_xdata()) for line in hollow) == len(points)
    assert 6.022 in {line.get_ydata()[0] for line in axes.lines}
    assert len(axes.patches) == 1  # the band of the break
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == [
        "causal, bbe", "causal, bbe, plateau", "causal, bbe-1000", "causal, bbe-1000, plateau",
        "masked, bbe, plateau", "front", "jump",
    ]  # fmt: skip


def test_the_fits_of_both_fronts_are_kept(planted, tmp_path):
    store = Store(tmp_path)
    for law in fits(planted):
        save_fit(store, law)
    kept = list(stored_fits(store).values())
    assert [law.form for law in kept] == ["jump", "jump"]
    honey = kept[-1]
    assert honey.table.names == tuple(point.name for point in planted.fronts[0].points)
    assert honey.factor_beyond({"x": 2 * honey.box["x"][1]}) == pytest.approx(2)
    assert {one.reason for one in honey.excluded} == {ON_PLATEAU, NOT_LOWEST}


def test_the_terminal_prints_every_section(sections, capsys):
    for of in sections:
        print_section(of, Console(width=100))
    assert "measured the plateau" in capsys.readouterr().out


def test_of_texts_with_as_many_runs_the_one_with_the_most_words_leads():
    assert (FEWER.words, BBE.words) == (1_000, 6_198)
    runs = [run(text=text, name=f"reduced+text={text.name}") for text in (FEWER, BBE)]
    assert [of.text.name for of in found(runs).leading] == ["bbe"]
    later = dataclasses.replace(BBE, name="a-long-one", words=900)
    runs += [run(text=later, name="reduced+text=a")]
    assert [of.text.name for of in found(runs).leading] == ["bbe"]
    uncounted = dataclasses.replace(BBE, name="zzz", words=0)
    runs += [run(text=uncounted, name="reduced+text=z")]
    assert [of.text.name for of in found(runs).leading] == ["zzz"]
    runs += [run(text=FEWER, name="reduced+text=bbe-1000+width=8", width=8)]
    assert {of.text.name for of in found(runs).leading} == {"bbe-1000"}
