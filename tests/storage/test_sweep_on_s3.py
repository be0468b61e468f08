"""Sweeps whose storage is in an object store, against an S3 API."""

import signal
import time

import pytest

from raydistill.storage.object_store import ObjectStore, is_any
from raydistill.storage.urls import copy_of
from support import sweeping, trained_here

SWEEP = ("--age", "320B", "--location", "none,input", "--checkpoint-every", "0")


@pytest.mark.parametrize(
    "address",
    [
        "s3://no-such-bucket/x?endpoint_override={endpoint}",
        "s3://sweeps/x?endpoint_override=http://127.0.0.1:1",
    ],
)
def test_row_31_a_store_that_does_not_take_it_is_named_before_anything_starts(
    url, tmp_path, address, monkeypatch
):
    endpoint = url.partition("endpoint_override=")[2].partition("&")[0]
    monkeypatch.setenv("RAYDISTILL_LOCAL_COPIES", str(tmp_path))
    given = address.format(endpoint=endpoint)
    done = sweeping.here("where_to_drop", given, *SWEEP, RAYDISTILL_LOCAL_COPIES=str(tmp_path))
    assert done.returncode == 4
    assert done.stderr.startswith(f"error: the storage {given.partition('?')[0]}")
    assert done.stderr.count("\n") == 1


@pytest.mark.soak
def test_a_sweep_on_s3_killed_and_repeated_on_an_empty_machine(
    url, prepared, tmp_path, ray_address
):
    """As on a new cluster: the second command has nothing but the address."""
    calm = prepared(tmp_path / "calm")
    trained_here.train(calm, *SWEEP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYDISTILL_LOCAL_COPIES", str(tmp_path / "first"))
        first = prepared(copy_of(url))
        process = sweeping.start(
            url, *SWEEP, "--concurrent", "1", RAY_ADDRESS=ray_address,
            RAYDISTILL_LOCAL_COPIES=str(tmp_path / "first"),
            RAYDISTILL_FAULTS="note@step=9; hang@evaluation=5",
        )  # fmt: skip
        begun_s = time.monotonic()
        while not list(first.glob("trials/*/trained.json")) and time.monotonic() < begun_s + 120:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        time.sleep(6)  # it is uploaded every five seconds
        process.send_signal(signal.SIGKILL)
        process.communicate()
        patch.setenv("RAYDISTILL_LOCAL_COPIES", str(tmp_path / "second"))
        second = copy_of(url)
        done = sweeping.here(
            "where_to_drop",
            url,
            *SWEEP,
            "--concurrent",
            "1",
            RAY_ADDRESS=ray_address,
            RAYDISTILL_LOCAL_COPIES=str(tmp_path / "second"),
        )
    assert done.returncode == 0, done.stderr
    assert "making" not in done.stdout
    assert sweeping.results(second) == sweeping.results(calm)
    sweeping.assert_tracked_once(second, [("320B", "none"), ("320B", "input")])
    elsewhere = ObjectStore(url, tmp_path / "third")
    elsewhere.pull(is_any)
    assert sweeping.results(elsewhere.root) == sweeping.results(calm)
    assert (elsewhere.root / "sweeps/where_to_drop/smoke/report.html").is_file()
