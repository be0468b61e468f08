"""Tracking URIs: which are refused, and with which one that works instead."""

import sqlite3

import pytest

from raydistill.core.errors import SetupError, UsageError
from raydistill.storage.store import Store
from raydistill.tracking.destination import check_destination, default_uri


@pytest.mark.parametrize(
    ("uri", "kind", "says"),
    [
        ("file:///tmp/mlruns", UsageError, "write sqlite:////"),
        ("/tmp/mlruns", UsageError, "write sqlite:////"),
        ("mlruns", UsageError, "write sqlite:////"),
        (
            "ftp://ann:pw@host/x",
            UsageError,
            r"'ftp' \(ftp://\*\*\*@host/x\); write http://host:5000",
        ),
        ("sqlite:///mlflow.db", UsageError, "no absolute path; write sqlite:////"),
        ("sqlite://", UsageError, "no absolute path"),
        ("http://ann:pw@127.0.0.1:1", SetupError, r"http://\*\*\*@127.0.0.1:1 does not answer"),
        ("https://no.such.host.invalid", SetupError, "does not answer"),
    ],
)
def test_a_uri_that_cannot_work_is_refused_with_one_that_does(store, uri, kind, says):
    with pytest.raises(kind, match=says) as error:
        check_destination(uri, store)
    assert "pw" not in str(error.value)


@pytest.mark.parametrize("content", [b"garbage" * 1000, "folder", "foreign"])
def test_a_file_that_is_not_mlflows_is_refused(tmp_path, content):
    path = tmp_path / "other.db"
    if content == "folder":
        path.mkdir()
    elif content == "foreign":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE mine (x)")
    else:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=r"other\.db"):
        check_destination(f"sqlite:///{path}", Store(tmp_path))


def test_a_new_database_is_announced_and_an_old_one_is_not(store, tmp_path):
    assert check_destination(default_uri(store), store).endswith("mlflow.db")
    assert check_destination(f"sqlite:///{tmp_path}/new.db", store).endswith(
        "is new and will be created"
    )
