"""Tracking URIs: which are refused, and with which one that works instead."""

import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from alembic import command
from mlflow.store.db.utils import _get_alembic_config, _upgrade_db
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import create_engine

from raydistill.core.errors import SetupError, UsageError
from raydistill.storage.store import Store
from raydistill.tracking.client import open_client
from raydistill.tracking.destination import check_destination, default_uri
from support import sweeping
from support.mlflow_server import free_port, server
from support.tracked_runs import deliver
from support.tracked_samples import sweep_of


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


@pytest.fixture
def dead_proxy(monkeypatch):
    """As in many a company's shell: a proxy for everything, which no local server is behind."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "intranet")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")


@pytest.mark.usefixtures("dead_proxy")
def test_a_server_on_this_machine_is_reached_past_a_proxy(store, tmp_path):
    deliver(store, sweep_of())
    shutil.copy(store.path("mlflow.db"), tmp_path / "served.db")
    with server(tmp_path, free_port()) as uri:
        assert check_destination(uri, Store(tmp_path)) == f"MLflow: {uri} answers"
        assert open_client(uri).search_experiments(max_results=1)
        done = sweeping.command(tmp_path, "ui", "--tracking-uri", uri)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"raydistill/where_to_drop: {uri}/#/experiments/1/runs?")
    assert os.environ["no_proxy"] == "intranet,127.0.0.1"


@pytest.mark.usefixtures("dead_proxy")
def test_a_proxy_that_a_server_is_not_behind_is_named(store):
    with pytest.raises(SetupError) as error:
        check_destination("http://tracking.invalid:5000", store)
    assert ", through the proxy of $http_proxy; no_proxy=tracking.invalid" in str(error.value)


def test_importing_tracking_imports_no_mlflow():
    modules = ", ".join(
        f"raydistill.tracking.{name}"
        for name in ("client", "destination", "links", "reader", "tracker", "writer")
    )
    heavy = "{'mlflow', 'torch', 'numpy'} & set(sys.modules)"
    code = f"import sys, {modules}; assert not {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)


def refusal(uri, store):
    with pytest.raises(SetupError) as caught:
        check_destination(uri, store)
    return str(caught.value)


def test_a_database_of_an_older_mlflow_comes_with_the_command_that_brings_it_up(tmp_path):
    uri, store = f"sqlite:///{tmp_path}/old.db", Store(tmp_path)
    engine = create_engine(uri)
    Base.metadata.create_all(engine)
    command.upgrade(_get_alembic_config(uri), "451aebb31d03")  # of MLflow 1.0
    assert "is of an older MLflow (schema 451aebb31d03, the installed one's is " in refusal(
        uri, store
    )
    assert refusal(uri, store).endswith(f"): back it up, then mlflow db upgrade {uri}")
    _upgrade_db(engine)  # what that command does
    assert check_destination(uri, store) == f"MLflow: {uri}"


def test_a_database_of_a_newer_mlflow_wants_another_mlflow(store, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert check_destination(uri, store) == f"MLflow: {uri}"
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'f00f00f00f00'")
    message = refusal(uri, store)
    assert "is of a newer MLflow (schema f00f00f00f00, which the installed 3." in message
    assert "--tracking-uri" in message
