"""A real PostgreSQL server of a test's own, as its own user: it refuses to run as root."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from support.mlflow_server import free_port

USER, PASSWORD = "sweeps", "planted-password"


def programs():
    """Where Debian keeps PostgreSQL's programs, or the path does."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path).parent if on_path else None


@contextlib.contextmanager
def postgres():
    """Yields the URI of an empty database on loopback."""
    if (bin_ := programs()) is None:
        pytest.skip("PostgreSQL is not here: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own folders are root's alone
    as_user = {}
    if os.getuid() == 0:
        other = pwd.getpwnam("postgres")
        os.chown(folder, other.pw_uid, other.pw_gid)
        as_user = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    port, data = free_port(), folder / "data"
    try:
        subprocess.run(
            [bin_ / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", "-E", "UTF8",
             "--locale=C", f"--pwfile={folder / 'password'}"],
            check=True, capture_output=True, cwd=folder, **as_user,
        )  # fmt: skip
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [bin_ / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder],
                stdout=log, stderr=log, cwd=folder, **as_user,
            )  # fmt: skip
        try:
            while "ready to accept" not in (folder / "log").read_text():
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield f"postgresql+psycopg2://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # its fast shutdown
            process.wait()
    finally:
        shutil.rmtree(folder)
