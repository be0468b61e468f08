"""A sweep whose driver is killed, and the same command again."""

import random
import re
import signal
import time

import pytest

import sweeping


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The storage of a sweep that ran in peace, and the seconds that it took."""
    storage, begun_s = tmp_path_factory.mktemp("undisturbed"), time.monotonic()
    done = sweeping.run(storage)
    assert done.returncode == 0, done.stderr
    return storage, time.monotonic() - begun_s


def test_killed_at_three_moments_it_ends_as_if_nothing_had_happened(undisturbed, tmp_path):
    calm, whole_s = undisturbed
    moments, storage, sessions = random.Random(20), tmp_path, []
    for _ in range(3):
        process = sweeping.start(storage)
        time.sleep(moments.uniform(0.1, 0.9) * whole_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        sessions.append(process.pid)
    final = sweeping.run(storage)
    assert final.returncode == 0, final.stderr
    sweeping.assert_all_gone(sessions, within_s=20)
    assert sweeping.results(storage) == sweeping.results(calm)
    sweeping.assert_tracked_once(storage, sweeping.CELLS)


def test_a_search_that_was_killed_ends_with_as_many_distinct_cells(undisturbed, tmp_path):
    sweeping.prepared(tmp_path, undisturbed[0])
    flags = ("--age", "320B", "--location", "all", "--search", "tpe", "--trials", "4")
    process = sweeping.start(tmp_path, *flags)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("trials/*/trained.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("trials/*/weights/*")}
    final = sweeping.run(tmp_path, *flags)
    assert final.returncode == 0, final.stderr
    after = {p: p.stat().st_mtime_ns for p in tmp_path.glob("trials/*/weights/*")}
    assert before.items() <= after.items()
    asked = [run.data.params["location"] for run in sweeping.cells(tmp_path)]
    assert len(asked) == len(set(asked)) == 4
    assert re.search(r"search +tpe", final.stdout)
    assert "half of the held-out documents that the search did not see" in final.stdout
