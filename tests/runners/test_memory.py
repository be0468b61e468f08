"""What is kept of Ray's message about a node whose memory ran out, and what may run afterwards."""

import ctypes
import platform

import pytest
from ray.exceptions import OutOfMemoryError, RayTaskError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from raydistill.core.text.redaction import redact
from raydistill.runners.cluster.failures import readable_error
from raydistill.runners.cluster.memory import (
    MemoryShortage,
    give_back,
    parse,
    resident_bytes,
    shortage_in,
)
from raydistill.runners.tune.admission import Admission, Process
from support.short_of_memory import MESSAGE

GIB = 2**30


def test_numbers_and_address_are_kept_and_no_command_line():
    shortage = parse(MESSAGE)
    assert shortage.node_ip == "10.0.0.7"
    assert (shortage.used_bytes, shortage.limit_bytes) == (7725232128, 7681531392)
    sizes = [(w.job_id, w.pid, w.resident_bytes) for w in shortage.workers]
    expected = [("01000000", 25607, 2 * GIB), ("01000000", 25608, 3 * GIB // 2)]
    assert sizes == [*expected, ("02000000", 9, GIB // 2)]
    assert str(shortage) == (
        "its process was killed: node 10.0.0.7 ran out of memory, 7.73 GB in use of 7.68 that Ray "
        "allows"
    )


def test_another_message_is_a_shortage_without_numbers():
    shortage = parse("Task was killed due to the node running low on memory.")
    assert shortage == MemoryShortage()
    assert str(shortage) == "its process was killed: the memory of its node ran out"


def test_a_shortage_is_seen_behind_a_rank_a_teacher_and_a_raise():
    killed = OutOfMemoryError(MESSAGE)
    group = WorkerGroupError("", {1: WorkerHealthCheckFailedError("rank 1 failed", killed)})
    task = RayTaskError("train", f"Traceback: {MESSAGE}", group)
    try:
        raise ValueError("no teacher") from killed
    except ValueError as error:
        raised = error
    for error in (killed, group, task, raised):
        assert shortage_in(error) == parse(MESSAGE)
    assert shortage_in(ValueError("memory")) is None
    for error in (killed, task):
        text = str(readable_error(error, "measuring"))
        assert text.startswith("measuring failed, its process was killed: node 10.0.0.7 ran out")
        assert "payroll" not in text


@pytest.mark.parametrize("quote", [str, repr])
def test_no_text_that_leaves_has_the_list_of_processes(quote):
    hidden = redact(f"{quote(MESSAGE)} {quote(MESSAGE)}")
    assert "payroll" not in hidden
    assert "another" not in hidden
    assert hidden.count("COMMAND ***") == 2
    assert hidden.count("Refer to the documentation") == 2
    assert "payroll" not in redact(quote(MESSAGE.partition("Refer")[0]))


@pytest.mark.parametrize(
    ("own_gb", "used", "limit", "largest", "fit"),
    [
        ((4, 4), 9, 8, 4, 1),  # 1 GB of others
        ((4, 4, 4), 13, 12, 4, 2),
        ((2, 2), 7, 6.5, 4, 1),  # they will be as large as the largest was
        ((1, 1), 9, 8, 1, 2),  # others filled it
        ((3, 3), 9, 8, 3, 1),
        ((8,), 9, 8, 8, 1),  # one may always run
        ((4, 4), 0, 0, 4, 1),  # Ray gives no numbers
    ],
)
def test_as_many_fit_as_the_largest_leaves_room_for(own_gb, used, limit, largest, fit):
    shortage = MemoryShortage(
        node_ip="10.0.0.7", used_bytes=int(used * 1e9), limit_bytes=int(limit * 1e9)
    )
    own = [int(gb * 1e9) for gb in own_gb]
    assert shortage.fitting(own, int(largest * 1e9)) == fit


def test_this_process_has_a_size():
    held = bytearray(b"\1") * (32 << 20)
    assert resident_bytes() > len(held)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep no freed memory")
def test_freed_memory_goes_back_to_the_system():
    libc = ctypes.CDLL("libc.so.6")
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    size = 10_000  # of each; more than some hundred thousand bytes would have pages of their own
    blocks = [libc.malloc(size) for _ in range(10_000)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks[:-1]:  # the last holds what lies below it
        libc.free(block)
    kept = resident_bytes()
    give_back()
    assert resident_bytes() < kept - 0.8 * size * len(blocks)
    libc.free(blocks[-1])


class Clock:
    s = 0.0

    def __call__(self):
        return self.s


def admission(*keys, node="10.0.0.7"):
    """An account of trials that run, and its clock."""
    clock = Clock()
    account = Admission(clock)
    for pid, key in enumerate(keys, start=25607):
        assert not account.begin(key, Process(node_ip=node, pid=pid))
    return account, clock


def test_a_trial_that_was_killed_begins_held_until_its_pause_is_over():
    account, clock = admission("a", "b")
    others_filled_it = MemoryShortage(node_ip="10.0.0.7", used_bytes=100, limit_bytes=99)
    account.report("a", 1)
    account.report("b", 1)
    assert account.lose("a", others_filled_it, failed_attempts=1) == "in 10 s"
    account.end("a")
    account.end("b")
    assert account.begin("a", Process(node_ip="10.0.0.7", pid=3))
    clock.s = 9.9
    assert account.due() == []
    clock.s = 10.0
    assert account.due() == ["a"]
    assert account.lose("a", others_filled_it, failed_attempts=2) == "in 60 s"


def test_no_more_run_on_the_node_than_fit_and_elsewhere_as_many_as_before():
    account, clock = admission("a", "b", "c")
    shortage = MemoryShortage(node_ip="10.0.0.7", used_bytes=130, limit_bytes=125)
    for key in ("a", "b", "c"):
        account.report(key, 40)
    assert account.lose("c", shortage, 1) == "in 10 s, with 2 on 10.0.0.7 instead of 3"
    account.end("c")
    clock.s = 60.0
    assert account.begin("c", Process(node_ip="10.0.0.7"))
    assert account.begin("d", Process(node_ip="10.0.0.7"))
    assert not account.begin("e", Process(node_ip="10.0.0.8"))
    assert account.due() == []
    account.end("a")
    assert account.due() == ["c"]
    account.end("c")
    assert account.due() == ["d"]


def test_the_sizes_at_the_kill_count_and_the_largest_ever_seen():
    account, _ = admission("a", "b", "c")
    account.report("c", 2 * GIB)  # 5.9 of 7.7 GB are ours, by Ray's numbers and this one
    assert account.lose("b", parse(MESSAGE), 1) == "in 10 s, with 2 on 10.0.0.7 instead of 3"
    account, _ = admission("a", "b", "c")
    account.report("a", 3 * GIB)
    account.report("c", 2 * GIB)
    assert account.lose("b", parse(MESSAGE), 1) == "in 10 s, with 1 on 10.0.0.7 instead of 3"


def test_trials_on_several_devices_are_one_fewer_each_time():
    account, _ = admission("a", "b", "c", node="")
    assert account.lose("b", parse(MESSAGE), 1) == "in 10 s, with 2 at once instead of 3"
    account.end("b")
    assert account.lose("a", parse(MESSAGE), 1) == "in 10 s, with 1 at once instead of 2"
    account.end("a")
    assert account.lose("c", parse(MESSAGE), 1) == "in 10 s"
