"""Places and commands that cannot be, row by row: one line, the exit code, nothing left behind.

What is wrong in a sweep's own flags is in `test_bad_input.py`.
"""

import socket
import threading
import time

import pytest

from raydistill.core.errors import SetupError
from raydistill.core.text.redaction import redact
from raydistill.storage.store import Store
from raydistill.tracking.destination import check_destination as check_destination
from support import sweeping
from support.mlflow_server import free_port

PATHS = [
    # the storage, what is said
    ("file", "file is a file: name a folder"),
    ("file/below", "Not a directory"),
    ("a" * 300, "File name too long"),
    ("rel/../x", "is relative; write /"),
]


@pytest.mark.parametrize(("path", "message"), PATHS, ids=[p[:9] for p, _ in PATHS])
def test_row_31_a_storage_that_cannot_be(path, message, tmp_path):
    (tmp_path / "file").write_text("")
    storage = path if path.startswith("rel") else tmp_path / path
    one_line(sweeping.here("where_to_drop", storage), 4, message)
    one_line(sweeping.command(storage, "report"), 4, message)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["ünï", "a b", "~"])
def test_row_31_a_storage_may_have_any_other_name(name, tmp_path):
    done = sweeping.here("where_to_drop", tmp_path / name, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "address",
    [
        "gs://bucket/x",  # asks for keys where none are
        "gs://bucket/x?endpoint_override=127.0.0.1:{port}&scheme=http",
        "s3://bucket/x?endpoint_override=http://127.0.0.1:{port}",
    ],
)
def test_an_object_store_that_does_not_answer_is_noticed_in_seconds(address, tmp_path):
    """The server takes connections and says nothing; Google's client would try for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = address.format(port=silent.getsockname()[1])
        keys = {"AWS_ACCESS_KEY_ID": "planted", "AWS_SECRET_ACCESS_KEY": "planted"}
        copies = {"RAYDISTILL_LOCAL_COPIES": str(tmp_path)}
        before_s = time.monotonic()
        done = sweeping.here("where_to_drop", address, "--dry-run", **keys, **copies)
        assert time.monotonic() - before_s < 40
    one_line(done, 4, f"the storage {address}: ")


DESTINATIONS = [
    # the tracking URI, exit code, what is said
    ("file:///runs", 2, "MLflow no longer keeps runs in folders; write sqlite:///"),
    ("mlruns", 2, "is a folder"),
    ("ftp://h", 2, "no tracking URI has the scheme 'ftp'"),
    ("sqlite:///rel.db", 2, f"write sqlite:///{sweeping.ROOT}/rel.db"),
    ("sqlite:///{folder}/garbage.db", 4, "cannot be read as a sqlite database"),
    ("http://[::1", 2, "is no address"),
    ("http://127.0.0.1:abc", 2, "is no address"),
    ("postgresql://ann:geheim@127.0.0.1:abc/db", 2, "is no address"),
    ("sqlite:////proc/none/m.db", 4, "/proc/none cannot hold m.db: No such file or directory"),
    ("sqlite:////dev/null", 4, "/dev/null is no file"),
    ("http://ann:geheim@127.0.0.1:{port}", 4, "http://***@127.0.0.1:{port} does not answer"),
]


@pytest.mark.parametrize(
    ("uri", "code", "message"), DESTINATIONS, ids=[uri for uri, _, _ in DESTINATIONS]
)
def test_row_28_a_tracking_server_that_cannot_be(uri, code, message, tmp_path):
    (tmp_path / "garbage.db").write_text("hi")
    known = {"folder": tmp_path, "port": free_port()}
    flags = ("--tracking-uri", uri.format(**known))
    done = sweeping.here("where_to_drop", tmp_path / "storage", *flags)
    one_line(done, code, message.format(**known))
    assert "geheim" not in done.stdout


def test_row_28_a_server_that_speaks_another_language(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=greet, args=[other], daemon=True).start()
        uri = f"http://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(SetupError, match="does not answer"):
            check_destination(uri, Store(tmp_path))


def greet(server):
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def test_row_28_a_server_that_is_silent_is_waited_for_5_s(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        uri, began_s = f"http://127.0.0.1:{other.getsockname()[1]}", time.monotonic()
        with pytest.raises(SetupError, match="timed out"):
            check_destination(uri, Store(tmp_path))
        assert 4 < time.monotonic() - began_s < 60  # MLflow itself would wait 120 s, seven times


COMMANDS = [
    # row, the words, exit code, what is said
    (33, "reprot", 2, "no command 'reprot'. Did you mean 'report'?"),
    (33, "show", 2, "the following arguments are required: trial"),
    (33, "report --fromat csv", 2, "did you mean --format?"),
    (33, "report --format pdf", 2, "There are: csv, latex, markdown, terminal"),
    (36, "report --rows age", 2, "nothing to report on"),
    (31, "base --scale smoke --to /dev/null", 2, "--to /dev/null is a file: name a folder"),
    (31, "base --scale smoke --to /dev/null/x", 4, "/dev/null is no folder"),
    (31, "base --scale smoke --to /proc/x", 4, "/proc/x cannot be filled"),
    (31, "base --scale smoke --to ~nobody-of-this-name/x", 2, "nobody here has that home"),
    (28, "report --from http://127.0.0.1:abc", 2, "is no address"),
    (28, "track sync --tracking-uri http://[::1", 2, "nothing to deliver"),
    (33, "ui --port none", 2, "--port 'none': a whole number from 1 on"),
    (33, "rungs --tolerance much", 2, "--tolerance 'much': nats per token, a number from 0 on"),
    (33, "rank m --windows 0", 2, "--windows '0': a whole number from 1 on"),
    (33, "rank m --count 2,x", 2, "--count 'x' is not a whole number of layers"),
    (36, "report", 2, "nothing to report on"),
    (36, "best", 2, "nothing to report on"),
    (36, "show abcd", 2, "nothing to report on"),
    (36, "rungs", 3, "has no 3 finished layer sets"),
    (36, "ui", 4, "has no mlflow.db yet: run a sweep first"),
    (36, "track sync", 2, "nothing to deliver"),
    (36, "store merge {folder}/none", 2, "holds no storage"),
    (36, "report --to /dev/null", 2, "--to /dev/null is a file: name a folder"),
    (31, "rank laptop --to .", 2, "--to . is the folder that you are in: name another"),
    (36, "export abcd --to {folder}/out", 2, "there is no trial to export"),
    (28, "report --from http://127.0.0.1:{port}", 4, "does not answer"),
    (44, "cluster check {folder}/none.yaml", 2, "none.yaml: there is no such file"),
]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [c[1:] for c in COMMANDS],
    ids=[f"{c[0]} {c[1]}" for c in COMMANDS],
)
def test_a_command_that_has_nothing_to_work_on(words, code, message, tmp_path):
    words = words.format(folder=tmp_path, port=free_port()).split()
    done = sweeping.command(tmp_path / "storage", *words)
    one_line(done, code, message)
    assert not list(tmp_path.iterdir())


def test_row_39_a_port_that_is_taken_is_named(tmp_path):
    (tmp_path / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = sweeping.command(tmp_path, "ui", "--port", port)
    one_line(done, 4, f"--port {port} of 127.0.0.1 cannot be used")


def test_row_39_a_home_that_cannot_be_written_is_named(tmp_path):
    """Ray wants to keep its token there, before it starts anything."""
    done = sweeping.run(tmp_path, HOME="/proc/none")
    one_line(done, 4, "(HOME=/proc/none, where Ray keeps its token)")


def test_row_43_where_one_works_is_no_secret(monkeypatch):
    monkeypatch.setenv("PWD", "/srv/ada/models")
    monkeypatch.setenv("DB_PWD", "geheimnis")
    assert redact("/srv/ada/models/a: geheimnis") == "/srv/ada/models/a: ***"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"HF_TOKEN": "hf_abc", "num_tokens": 4}', '{"HF_TOKEN": ***, "num_tokens": 4}'),
        ("HF_TOKEN: hf_abc", "HF_TOKEN: ***"),
        ("HF_TOKEN='a b c' --x", "HF_TOKEN=*** --x"),
        ("Authorization: Bearer abcdefghijk", "Authorization: Bearer ***"),
        ("ann:pw@host:5000/x", "***@host:5000/x"),
        ("num_tokens: 4, word-token: 5, laptop@80B", "num_tokens: 4, word-token: 5, laptop@80B"),
    ],
)
def test_row_43_a_secret_is_hidden_in_any_form(text, left):
    assert redact(text) == left


def one_line(done, code, message):
    """A mistake is told in one line on stderr, with its exit code."""
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
