"""How far work is: parts inside parts, tasks side by side, and the time left by a pace."""

import time

import pytest

from raydistill.core.progress import (
    UNKNOWN,
    Pace,
    StageProgress,
    growing,
    in_parts,
    joined,
    listening,
    report,
    streamed,
    tracked,
)
from raydistill.storage.manifest import sha256_of


def at(stage, done, total, unit="tokens", part=""):
    return StageProgress(stage=stage, part=part, done=done, total=total, unit=unit)


def shares(reports):
    return [progress.done / progress.total for progress in reports]


def test_parts_are_told_when_they_begin_and_at_the_end():
    reports = []
    with listening(reports.append):
        for _ in tracked([30, 10], "measuring", "tokens", size=int, name="of {}".format):
            pass
    assert reports == [
        at("measuring", 0, 40, part="of 30"),
        at("measuring", 30, 40, part="of 10"),
        at("measuring", 40, 40),
    ]
    assert reports[-1].is_done
    assert not reports[1].is_done


def test_a_part_with_parts_of_its_own_moves_the_whole_on():
    reports = []
    with listening(reports.append):
        for _ in tracked([60, 40], "measuring", "tokens", size=int, name="task {}".format):
            for _ in tracked(range(2), "", "batches"):
                report(at("pass", 1, 2))
    assert [progress.done for progress in reports[:7]] == [0, 0, 15, 30, 45, 60, 60]
    assert reports[2] == at("measuring", 15, 100, part="task 60: pass")
    assert {progress.total for progress in reports} == {100}
    assert reports[-1].is_done


def test_a_part_that_begins_anew_takes_nothing_back():
    reports = []
    with listening(reports.append), in_parts("measuring", "tokens", 10) as part, part(10):
        for _ in range(2):
            tuple(tracked(range(5), "", "batches"))
    assert shares(reports) == sorted(shares(reports))


def test_a_stream_is_told_every_half_percent():
    reports = []
    with listening(reports.append):
        assert sum(streamed(range(10_000), "reading", "bytes", 10_000)) == 49_995_000
    assert 200 <= len(reports) <= 202
    assert reports[100] == at("reading", 5_000, 10_000, unit="bytes")
    assert reports[-1].is_done


def test_without_a_listener_nothing_happens():
    report(at("measuring", 1, 2))
    assert list(tracked([1, 2], "measuring", "tokens")) == [1, 2]
    assert list(streamed(iter([1, 2]), "reading", "bytes", UNKNOWN)) == [1, 2]


def test_an_error_ends_the_stage_that_it_is_in():
    reports = []
    with listening(reports.append):
        with pytest.raises(ZeroDivisionError):
            [1 // n for n in tracked([1, 0], "dividing", "numbers")]
        tuple(tracked([1], "adding", "numbers"))
    assert {progress.stage for progress in reports[-2:]} == {"adding"}
    assert reports[-1] == at("adding", 1, 1, unit="numbers")


def test_a_listener_hears_its_own_block_alone():
    outer, inner = [], []
    with listening(outer.append):
        with listening(inner.append):
            report(at("a", 1, 2))
        report(at("b", 1, 2))
    report(at("c", 1, 2))
    assert [progress.stage for progress in outer] == ["b"]
    assert [progress.stage for progress in inner] == ["a"]


def test_a_folder_that_fills_is_told_by_what_is_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("raydistill.core.progress.GROWTH_EVERY_S", 0.01)
    reports = []
    with listening(reports.append), growing(tmp_path, "writing", 1 << 20):
        (tmp_path / "weights").write_bytes(bytes(1 << 19))
        while not any(progress.done for progress in reports):
            time.sleep(0.01)
    assert 0 < reports[-1].done <= 1 << 20
    assert (reports[-1].stage, reports[-1].total) == ("writing", 1 << 20)


def test_what_is_done_aside_is_named_only_where_it_is_no_part_of_a_stage(tmp_path):
    (tmp_path / "weights").write_bytes(b"0" * 100)
    alone, inside = [], []
    with listening(alone.append):
        sha256_of(tmp_path / "weights")
    with listening(inside.append):
        for _ in tracked([1], "measuring", "bases", name=str):
            sha256_of(tmp_path / "weights")
    assert {(progress.stage, progress.part) for progress in alone} == {("hashing", "")}
    assert {(progress.stage, progress.part) for progress in inside} == {
        ("measuring", "1"), ("measuring", ""),
    }  # fmt: skip


def test_tasks_side_by_side_are_one_stage():
    running = at("measuring", 20, 100, part="boolq")
    assert joined([at("measuring", 60, 60), running], 4) == at("measuring", 80, 320, part="boolq")


def test_a_task_that_is_still_elsewhere_counts_as_one_that_has_not_reported():
    reports = [at("hashing", 9e9, 1e10, "bytes"), *2 * [at("measuring", 20, 100)]]
    assert joined(reports, 3) == at("measuring", 40, 300)


def left_after(trace, share):
    """What is left at a share of a trace's time, and what a pace makes of it.

    A trace is pairs of seconds and of the work done in them; it is noted once a second.
    """
    total_s, total = (sum(column) for column in zip(*trace, strict=True))
    pace, now_s, done = Pace(), 0.0, 0.0
    for seconds, work in trace:
        for _ in range(seconds):
            pace.add(now_s, done)
            if now_s >= share * total_s:
                return total_s - now_s, pace.seconds_left(total)
            now_s, done = now_s + 1, done + work / seconds
    raise AssertionError("a share of 1 or more")


TRACES = {
    "even": [(200, 1_000)],
    "slow start": [(12, 0), (188, 1_000)],  # weights are read, or a kernel compiled
    "cold caches": [(20, 30), (20, 70), (260, 1_300)],
    "two speeds": [(150, 1_000), (150, 650)],  # another program begins, or a longer task
    "slower first": [(100, 500), (100, 800)],
    "by turns": 10 * [(15, 50), (15, 90)],  # short and long items
    "short": [(16, 100)],
}


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
@pytest.mark.parametrize("share", [0.1, 0.2, 0.35, 0.5, 0.75, 0.9])
def test_the_time_left_is_within_a_factor_of_two_after_a_tenth(trace, share):
    truly_s, estimate_s = left_after(trace, share)
    assert truly_s / 2 <= estimate_s <= 2 * truly_s


def test_no_time_is_promised_before_there_is_a_pace_or_a_total():
    pace = Pace()
    assert pace.seconds_left(10) is None
    for now_s in range(3):
        pace.add(now_s, 0)
    assert pace.seconds_left(10) is None
    pace.add(3, 5)
    assert pace.seconds_left(UNKNOWN) is None
    assert pace.seconds_left(10) == 2.0  # 5 in 2 s, the latter half


def test_a_part_that_takes_long_makes_the_time_left_grow():
    pace = Pace()
    for now_s, done in ((0, 0), (10, 50), (100, 50)):
        pace.add(now_s, done)
    assert pace.seconds_left(100) == 100.0


def test_a_long_stage_keeps_few_notes():
    pace = Pace()
    for now_s in range(100_000):
        pace.add(now_s, now_s)
    assert len(pace._samples) < 2_000
    assert pace.seconds_left(200_000) == pytest.approx(100_001, rel=0.01)
