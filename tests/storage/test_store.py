"""A folder of the store is made whole, by whoever comes first, and is never away again."""

import threading

import pytest

from raydistill.storage.manifest import verify, write_manifest
from raydistill.storage.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def make(store, text):
    with store.making("bases", "ab") as draft:
        (draft / "model").write_text(text)


def test_a_folder_that_another_process_made_meanwhile_stays(store):
    with store.making("bases", "ab") as draft:
        (draft / "model").write_text("second")
        make(store, "first")
    assert store.path("bases", "ab", "model").read_text() == "first"
    assert [path.name for path in store.path("bases").iterdir()] == ["ab"]


def test_one_that_is_not_complete_makes_room(store):
    rest = store.path("bases", "ab")
    rest.mkdir(parents=True)
    (rest / "model").write_text("half")
    (rest / "more").touch()
    make(store, "whole")
    verify(rest)
    assert (rest / "model").read_text() == "whole"
    assert sorted(path.name for path in rest.iterdir()) == ["manifest.json", "model"]
    assert [path.name for path in store.path("bases").iterdir()] == ["ab"]


def test_one_that_becomes_complete_while_it_makes_room_comes_back(store, monkeypatch):
    final = store.path("bases", "ab")
    final.mkdir(parents=True)
    (final / "model").write_text("first")
    rename = type(final).rename

    def late(path, to):
        if path == final and not (final / "manifest.json").exists():
            write_manifest(final)  # another process is faster
        return rename(path, to)

    monkeypatch.setattr(type(final), "rename", late)
    make(store, "second")
    assert (final / "model").read_text() == "first"
    assert [path.name for path in store.path("bases").iterdir()] == ["ab"]


def test_of_many_that_make_a_folder_at_once_all_see_it_whole_from_then_on(store):
    both, missing = threading.Barrier(8), []

    def run(number):
        both.wait()
        make(store, str(number))
        for _ in range(20):
            if not store.path("bases", "ab", "model").is_file():
                missing.append(number)

    threads = [threading.Thread(target=run, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missing == []
    verify(store.path("bases", "ab"))
    assert [path.name for path in store.path("bases").iterdir()] == ["ab"]
