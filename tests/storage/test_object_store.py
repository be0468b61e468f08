"""Copies of a storage in an object store are kept in sync, against an S3 API."""

import os
import runpy
import shutil
import time

import pytest

from raydistill.core.errors import SetupError
from raydistill.planning.resolve import distinct
from raydistill.runners.cluster.local_copy import local_storage
from raydistill.specs.scale import load_scale
from raydistill.storage import object_store
from raydistill.storage.manifest import is_whole, verify, write_bytes, write_manifest
from raydistill.storage.object_store import ObjectStore, is_any, is_small, trials_named_in
from raydistill.storage.urls import copy_of
from raydistill.training.jobs import TrialJob
from support import sweeping
from support.planned import all_known


@pytest.fixture
def two(url, tmp_path):
    """Two nodes' copies of one storage, that no other test sees."""
    own = url.replace("/mine", f"/{tmp_path.name}")
    return ObjectStore(own, tmp_path / "one"), ObjectStore(own, tmp_path / "two")


def write(remote, name, text):
    path = remote.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_what_one_node_made_another_gets(two):
    one, other = two
    write(one, "trials/ab/trained.json", "{}")
    one.push()
    other.pull()
    assert (other.root / "trials/ab/trained.json").read_text() == "{}"


def test_the_folder_of_a_scale_with_settings_arrives_under_its_name(two):
    one, other = two
    name = "sweeps/some/smoke+layers=4+width=16/asked.json"
    write(one, name, "{}")
    one.push()
    other.pull(lambda name: True)
    assert (other.root / name).read_text() == "{}"


def test_a_change_on_either_side_arrives(two):
    one, other = two
    write(one, "sweeps/s/asked.json", "1")
    one.push()
    other.pull()
    time.sleep(1.1)  # the times of objects are whole seconds
    write(other, "sweeps/s/asked.json", "22")
    other.push()
    one.pull()
    assert (one.root / "sweeps/s/asked.json").read_text() == "22"


def test_what_left_one_copy_leaves_the_store_and_nothing_else_does(two):
    one, other = two
    for step in (1, 2):
        write(one, f"trials/ab/checkpoints/step-{step}/notes.json", "{}")
    one.push()
    other.pull(is_any)
    shutil.rmtree(one.root / "trials/ab/checkpoints/step-1")
    one.push()
    other.push()  # a node that was behind takes nothing away, and brings nothing back
    third = ObjectStore(one.url, one.root.parent / "three")
    third.pull(is_any)
    assert [p.name for p in third.root.glob("trials/ab/checkpoints/*")] == ["step-2"]


def test_a_node_gets_the_checkpoints_of_its_own_trial_and_of_no_other(two, tmp_path, monkeypatch):
    scale, sweep = (
        load_scale("smoke"),
        runpy.run_path(str(sweeping.ROOT / sweeping.SCRIPT))["sweep"],
    )
    own, other = [cell.trial for cell in distinct(sweep.cells(scale, {}), all_known(scale))][:2]
    one, _ = two
    for trial in (own, other):
        write(one, f"trials/{trial.trial_id}/checkpoints/step-1/model.safetensors", "weights")
    one.push()
    job = TrialJob(
        spec=own, base_sha256="0" * 64, evaluation=scale.evaluation, storage="anywhere", sweep="s"
    )
    monkeypatch.setenv("RAYDISTILL_LOCAL_COPIES", str(tmp_path / "node"))
    monkeypatch.setenv("RAYDISTILL_REMOTE", one.url)
    with local_storage(job):
        copy = copy_of(one.url)
        assert [p.parts[-4] for p in copy.glob("trials/*/*/*/model.safetensors")] == [own.trial_id]


def test_what_a_killed_process_left_does_not_go_over_what_came_after_it(two):
    one, other = two
    write(one, "trials/ab/weights/model.safetensors", "stale")  # killed before its push
    time.sleep(1.1)  # the times of objects are whole seconds
    write(other, "trials/ab/weights/model.safetensors", "final")
    other.push()
    again = ObjectStore(one.url, one.root)
    write(again, "trials/cd/weights/model.safetensors", "new")
    again.push()
    third = ObjectStore(one.url, one.root.parent / "three")
    third.pull(is_any)
    texts = [p.read_text() for p in sorted(third.root.glob("trials/*/weights/model.safetensors"))]
    assert texts == ["final", "new"]


@pytest.mark.parametrize("hours", [2, -2])
def test_a_machine_whose_clock_goes_wrong_takes_nothing_old_for_newer(two, monkeypatch, hours):
    one, other = two
    now_ns, skew_ns = time.time_ns, hours * 3600 * 10**9
    stale = write(one, "trials/ab/weights/model.safetensors", "stale")  # killed before its push
    os.utime(stale, ns=(now_ns() + skew_ns,) * 2)
    time.sleep(1.1)  # the times of objects are whole seconds
    for name in ("model", "optimizer"):
        write(other, f"trials/ab/weights/{name}.safetensors", "final")
    other.push()
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + skew_ns)
    again = ObjectStore(one.url, one.root)
    again.push()
    ObjectStore(one.url, one.root).pull(is_any)
    assert stale.read_text() == "final"
    third = ObjectStore(one.url, one.root.parent / "three")
    third.pull(is_any)
    texts = [p.read_text() for p in third.root.glob("trials/ab/weights/*")]
    assert texts == ["final", "final"]


def test_what_was_uploaded_is_not_downloaded_again_however_long_it_took(two, monkeypatch):
    one, _ = two
    path = write(one, "trials/ab/weights/model.safetensors", "weights")
    os.utime(path, (1, 1))  # long before the object's time
    one.push()
    monkeypatch.setattr(ObjectStore, "_download", lambda *_: pytest.fail("downloaded"))
    one.pull(is_any)


def test_a_file_that_changed_amid_its_upload_goes_once_more_and_is_not_lost(two, monkeypatch):
    one, other = two
    path = write(one, "sweeps/s/asked.json", "1")
    copied = shutil.copyfileobj

    def slowly(source, *rest):
        copied(source, *rest)
        monkeypatch.setattr(shutil, "copyfileobj", copied)
        write_bytes(path, b"2")

    monkeypatch.setattr(shutil, "copyfileobj", slowly)
    one.push()
    time.sleep(1.1)  # the times of objects are whole seconds
    one.sync()
    assert path.read_text() == "2"
    other.pull()
    assert (other.root / "sweeps/s/asked.json").read_text() == "2"


class WithoutDeletes:
    """A file system whose network is gone whenever something is to be deleted."""

    def __init__(self, files):
        self.files = files

    def __getattr__(self, name):
        return getattr(self.files, name)

    def delete_file(self, name):
        raise OSError("the network is gone")


def test_an_object_that_could_not_be_deleted_is_deleted_later(two, monkeypatch):
    one, other = two
    path = write(one, "trials/ab/trained.json", "{}")
    write(one, "trials/ab/failure.json", "{}")
    one.push()
    path.with_name("failure.json").unlink()
    opened = object_store.open_object_store
    with monkeypatch.context() as patch:
        patch.setattr(object_store, "open_object_store", lambda url: WithoutDeletes(opened(url)))
        with pytest.raises(SetupError, match="the network is gone"):
            one.push()
    one.push()
    other.pull()
    assert [path.name for path in (other.root / "trials/ab").iterdir()] == ["trained.json"]


def test_two_slashes_in_an_address_are_one(two):
    one, other = two
    write(one, "trials/ab/trained.json", "{}")
    one.push()
    doubled = other.url.replace(other.root.parent.name, f"/{other.root.parent.name}/")
    again = ObjectStore(doubled, other.root)
    again.pull()
    assert (other.root / "trials/ab/trained.json").is_file()


def test_a_copy_that_is_gone_takes_nothing_out_of_the_store(two):
    one, _ = two
    write(one, "trials/ab/trained.json", "{}")
    one.push()
    shutil.rmtree(one.root)
    with pytest.raises(SetupError, match="is gone"):
        one.push()
    third = ObjectStore(one.url, one.root.parent / "three")
    third.pull(is_any)
    assert (third.root / "trials/ab/trained.json").is_file()


def test_of_a_folder_the_manifest_comes_last(two, monkeypatch):
    one, other = two
    for name in ("a.json", "z.json"):
        write(one, f"corpora/ab/{name}", "{}")
    write_manifest(one.root / "corpora/ab")
    one.push()
    names = []
    download = ObjectStore._download

    def broken_off(self, files, name, mtime_ns):
        if len(names) == 2:
            raise OSError("the network is gone")
        names.append(name)
        download(self, files, name, mtime_ns)

    monkeypatch.setattr(ObjectStore, "_download", broken_off)
    with pytest.raises(SetupError, match="the network is gone"):
        other.pull()
    assert not is_whole(other.root / "corpora/ab")
    monkeypatch.setattr(ObjectStore, "_download", download)
    other.pull()
    verify(other.root / "corpora/ab")


def test_what_only_one_machine_can_use_stays_there(two):
    one, other = two
    stays = [
        "mlflow.db", "mlartifacts/1/x.json", "sweeps/s/smoke/lock.json", "sweeps/s/smoke/ray.log",
        "sweeps/s/smoke/ray/x.json", "optuna.db", "trials/.ab.draft/x.json", "trials/ab/.x.json.1",
    ]  # fmt: skip
    for name in (*stays, "trials/ab/estimate.json"):
        write(one, name, "{}")
    one.push()
    other.pull(is_any)
    names = [str(p.relative_to(other.root)) for p in other.root.rglob("*") if p.is_file()]
    assert names == ["trials/ab/estimate.json"]


def test_objects_that_others_planted_neither_leave_the_copy_nor_lead_it_elsewhere(two, monkeypatch):
    one, other = two
    write(one, "trials/ab/trained.json", "{}")
    one.push()
    planted = dict.fromkeys(("../out.json", "trials/../../out.json", ".url", "x/.url"), (1, 1))
    objects = object_store.objects_in
    monkeypatch.setattr(object_store, "objects_in", lambda files: objects(files) | planted)
    other.pull(is_any)
    names = [str(p.relative_to(other.root)) for p in other.root.rglob("*") if p.is_file()]
    assert names == ["trials/ab/trained.json"]


def test_a_job_gets_the_weights_it_names_and_of_others_what_is_said_of_them():
    is_read = trials_named_in("TrialJob(spec=... base_sha256='b1' trial 'd2')")
    assert is_read("bases/b1/model.safetensors")
    assert is_read("trials/d2/checkpoints/step-1/model.safetensors")
    assert is_read("trials/e3/trained.json")
    assert not is_read("bases/c4/model.safetensors")
    assert not is_read("trials/e3/weights/model.safetensors")
    assert is_small("bases/c4/manifest.json")
    assert not is_small("corpora/aa/train.bin")
