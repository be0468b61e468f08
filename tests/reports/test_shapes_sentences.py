"""Every sentence on shapes is true of the tables beside it, whatever their numbers are."""

import math
import random
import re

import pytest

from raydistill.reports.reduced_scale.runs import MASKED
from raydistill.reports.reduced_scale.tables import reduced_scale_tables
from support.shaped import FEWER, GRID, found, power, probed, run

RANGE = re.compile(r"(-?\d+\.\d+) \[(-?\d+\.\d+) (-?\d+\.\d+)\]")
FEW = (131_072, 1_048_576)


def drawn(seed):
    """Runs with slopes, depth, texts and probes of random sizes; some measured the plateau."""
    rng = random.Random(seed)
    by_width, by_layers, by_feed_forward = (rng.choice((-0.2, -0.05, 0, 0.05)) for _ in range(3))
    helps = {of: rng.choice((-0.01, 0, 0.002, 0.03)) for of in (8, 16, 32, 64)}

    def loss(flops, shape, tokens):
        return (
            power(flops, shape, tokens)
            + by_width * math.log2(shape.width / 32)
            + by_layers * math.log2(shape.layers / 4)
            + by_feed_forward * math.log2(shape.feed_forward / 128)
        )

    shapes = [*GRID, {"layers": 2, "feed_forward": 320}, {"layers": 8, "width": 24}]
    runs = [run(loss, tokens=FEW, noise=0.01, **of) for of in shapes]
    runs = [probed(of, helps.get(of.shape.width, 0), noise=0.05) for of in runs]
    if rng.random() < 0.5:
        height = rng.choice((5.7, 5.9))
        runs.append(run(lambda *_: height, name="reduced+mask=0.15", objective=MASKED, tokens=FEW))
    runs += [
        run(loss, name=f"reduced+text=bbe-1000+width={w}", text=FEWER, width=w, tokens=FEW)
        for w in (16, 64)
    ]  # fmt: skip
    return found(runs)


@pytest.fixture(scope="module", params=range(4))
def page(request):
    """The sections of a drawn sweep by the beginning of their titles."""
    sections = reduced_scale_tables(drawn(request.param))
    return {of.title.split()[0] + " " + of.title.split()[1].strip(","): of for of in sections}


def rows(section):
    return [dict(zip(section.headers, cells, strict=True)) for cells in section.rows]


def values(text):
    return [float(n) for n in RANGE.search(text).groups()]


def test_runs_that_measured_the_plateau_are_those_without_tokens_to_leave_it(page):
    (shapes,) = (of for of in page.values() if of.title.startswith("Shapes"))
    stayed = [r for r in rows(shapes) if r["tokens to leave the plateau"] == "–"]
    words = [w for w in shapes.words if "measured the plateau" in w]
    assert len(words) == len({(r["objective"], r["text"]) for r in stayed})
    for sentence in words:
        objective, text = re.match(r"(\w+) on ([\w-]+): ", sentence).groups()
        of = [r for r in stayed if (r["objective"], r["text"]) == (objective, text)]
        every = [r for r in rows(shapes) if (r["objective"], r["text"]) == (objective, text)]
        count = re.search(r": (?:all )?(\d+) runs? measured", sentence)[1]
        assert int(count) == len(of)
        assert (": all " in sentence) == (len(of) == len(every) > 1)
        assert of[0]["shape"] in sentence
        assert f"unigram line ({of[0]['unigram line']})" in sentence


def test_the_best_axis_and_its_ties_are_those_of_the_table(page):
    table = page["One axis"]
    slopes = {r["axis"]: r for r in rows(table) if r["nats per doubling"] != "–"}
    first = re.match(r"Per FLOP ([\w-]+) |No axis lowers the loss here; ([\w-]+) ", table.words[0])
    name = first[1] or first[2]
    lowest = min(slopes, key=lambda axis: values(slopes[axis]["nats per doubling"])[0])
    assert name == lowest
    assert (values(slopes[name]["nats per doubling"])[0] < 0) == bool(first[1])
    assert RANGE.search(slopes[name]["nats per doubling"])[0] in table.words[0]
    told = re.search(r"told apart: ([^(;]*) \(", table.words[0])
    for axis, cells in slopes.items():
        is_told = told is not None and re.search(rf"\b{axis}\b", told[1]) is not None
        assert is_told == (not cells["nats per doubling"].endswith("*"))
    for cells in rows(table):
        if cells["nats per doubling"] == "–":
            (sentence,) = (w for w in table.words if w.startswith(cells["axis"].capitalize()))
            ends = cells["nats, last minus first"]
            assert RANGE.search(ends)[0] in sentence
            assert (", told from 0" in sentence) == ends.endswith("!")


def test_depth_is_counted_as_the_table_marks_it(page):
    table = page["Depth at"]
    for sentence in table.words[:-1]:
        kind = re.match(r"At equal (\w+)", sentence)[1]
        pairs = [r["nats"] for r in rows(table) if r["equal"].startswith(kind)]
        marked = [values(text)[0] for text in pairs if text.endswith("!")]
        counts = {
            "the deeper shape is better in ": sum(v < 0 for v in marked),
            "the shallower shape is better in ": sum(v > 0 for v in marked),
        }
        assert re.search(r"of (\d+) pairs? ", sentence)[1] == str(len(pairs))
        for words, count in counts.items():
            assert (f"{words}{count}" in sentence) if count else (words not in sentence)
        untold = len(pairs) - len(marked)
        assert (f"{untold} not told apart" in sentence) == bool(untold)


def test_differences_of_texts_are_those_of_their_cells(page):
    table = page["Bits per"]
    bbe, fewer = rows(table)
    for text, width in re.findall(r"(-?\d\.\d+ \[[^]]*\]) at (width \d+)", table.words[0]):
        difference = values(fewer[width])[0] - values(bbe[width])[0]
        assert values(text)[0] == pytest.approx(difference, abs=0.0011)
    goal = values(bbe["width 64"])[0]
    reached = [w for w in ("width 16", "width 64") if values(fewer[w])[0] <= goal]
    said = re.match(r"On bbe-1000 (width \d+ |no shape)", table.words[1])[1].strip()
    assert said == (reached[0] if reached else "no shape")


def test_the_smallest_helped_is_the_first_mark_of_its_column(page):
    table = next(of for of in page.values() if of.title.startswith("Probes"))
    marks = [(cells[0], cells[4].endswith("!"), cells[1]) for cells in table.rows]
    helped = [(name, size) for name, mark, size in marks if mark]
    if not helped:
        assert table.words[0] == (
            f"paraphrase: pretraining helps at none of the {len(marks)} sizes tried."
        )
        return
    assert table.words[0].startswith(f"paraphrase: {helped[0][0]}, ")
    larger = [mark for name, mark, size in marks if float(size[:-1]) > float(helped[0][1][:-1])]
    assert ("and not at all larger ones" in table.words[0]) == (not all(larger))
