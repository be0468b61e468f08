"""Where results are delivered to: which tracking URIs work, and why others do not.

Checked before anything starts, and without importing mlflow.
"""

import functools
import importlib.metadata
import importlib.util
import ipaddress
import os
import re
import sqlite3
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from raydistill.core.errors import SetupError, UsageError
from raydistill.core.paths import check_writable
from raydistill.core.serialization import digest
from raydistill.core.text.redaction import printed_command, redact
from raydistill.storage.store import Store

_VERSION_QUERY = "SELECT version_num FROM alembic_version"
_PROBE_TIMEOUT_S = 5
_DATABASES = ("postgresql", "mysql", "mssql")
_PACKAGES = {  # to install, by the module that is missing
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}
_FORMS = "http://host:5000, sqlite:////absolute/path/mlflow.db or postgresql://user@host/db"


def default_uri(store: Store) -> str:
    """A sqlite database inside the storage."""
    return f"sqlite:///{store.path('mlflow.db')}"


def check_destination(uri: str, store: Store) -> str:
    """One line that says what `uri` is.

    If a server does not answer, but this storage has delivered there before, that line is a
    warning: the results wait in the storage.

    Raises:
        UsageError: if MLflow knows no such URI; the message has a form that works.
        SetupError: if a server or database does not answer within 5 s, its driver is not
            installed, or a file is not MLflow's.
    """
    scheme = scheme_of(uri)
    if scheme in ("http", "https"):
        return _answer_line(uri, _probe(uri), store)
    if scheme == "sqlite":
        return _check_sqlite(uri)
    if scheme in _DATABASES:
        return _answer_line(uri, _connect(uri), store)
    raise UsageError(_refusal(uri, scheme, store))


def scheme_of(uri: str) -> str:
    """The scheme of `uri` without a driver."""
    try:
        parts = urlsplit(uri)
        _ = parts.port  # raises, if it is no number
    except ValueError as error:
        raise UsageError(f"{redact(uri)!r} is no address ({error}); write {_FORMS}") from None
    return parts.scheme.partition("+")[0]


def _refusal(uri: str, scheme: str, store: Store) -> str:
    if scheme in ("file", ""):
        why = "MLflow no longer keeps runs in folders"
        return f"the tracking URI {uri!r} is a folder, and {why}; write {default_uri(store)}"
    return f"no tracking URI has the scheme {scheme!r} ({redact(uri)}); write {_FORMS}"


def sqlite_path(uri: str) -> Path:
    """The database file of a sqlite URI.

    Raises:
        UsageError: if the path is relative or missing.
    """
    path = Path(uri.partition(":///")[2].partition("?")[0])
    if not path.is_absolute():
        absolute = f"sqlite:///{path.absolute()}" if path.name else "sqlite:////path/mlflow.db"
        raise UsageError(f"the tracking URI {uri!r} has no absolute path; write {absolute}")
    return path


def _check_sqlite(uri: str) -> str:
    path = sqlite_path(uri)
    if not path.exists():
        check_writable(path.parent, f"{path.parent} cannot hold {path.name}")
        return f"MLflow: {uri} is new and will be created"
    if path.is_dir():
        raise SetupError(f"{path} is a folder; write sqlite:///{path / 'mlflow.db'}")
    if not path.is_file():
        raise SetupError(f"{path} is no file: it cannot be read as a sqlite database")
    try:
        tables = _first_column(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    except sqlite3.DatabaseError as error:
        raise SetupError(f"{path} cannot be read as a sqlite database: {error}") from None
    if tables and "experiments" not in tables:
        raise SetupError(f"{path} is a sqlite database, but not MLflow's: name a new file")
    if "alembic_version" in tables:
        for revision in _first_column(path, _VERSION_QUERY):
            _check_schema(uri, revision)
    return f"MLflow: {uri}"


def _first_column(path: Path, query: str) -> set[str]:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_PROBE_TIMEOUT_S)
    try:
        return {row[0] for row in connection.execute(query)}
    finally:
        connection.close()


def _answer_line(uri: str, trouble: str, store: Store) -> str:
    if not trouble:
        return f"MLflow: {redact(uri)} answers"
    if has_delivered(store, uri):
        later = "results wait in the storage and are delivered when it answers"
        return f"warning: MLflow at {redact(uri)} does not answer ({trouble}); {later}"
    hint = f"start it, or leave the URI out for {default_uri(store)}"
    raise SetupError(f"MLflow at {redact(uri)} does not answer ({trouble}): {hint}")


def _probe(uri: str) -> str:
    """Why the server's health page does not answer; empty if it does."""
    pass_by_proxies(uri)
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    health = urlunsplit((parts.scheme, host, f"{parts.path.rstrip('/')}/health", "", ""))
    try:
        with urllib.request.urlopen(health, timeout=_PROBE_TIMEOUT_S):  # noqa: S310  (checked: http or https)
            return ""
    except urllib.error.HTTPError as error:
        # A server that wants credentials is a server; MLflow gives them.
        return "" if error.code == 401 else f"/health answers {error.code} {error.reason}"
    except (OSError, ValueError, HTTPException) as error:
        reason = str(getattr(error, "reason", error)).strip() or type(error).__name__
        return reason + _through_proxy(parts.scheme, parts.hostname or "")


def pass_by_proxies(uri: str) -> None:
    """Keep requests to a server on this machine from a proxy that the environment names.

    They are MLflow's too, which reads the same variables.
    """
    host = urlsplit(uri).hostname or ""
    if (host == "localhost" or _is_loopback(host)) and _proxy_of(urlsplit(uri).scheme, host):
        others = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        os.environ["no_proxy"] = ",".join(filter(None, (others, host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _proxy_of(scheme: str, host: str) -> str:
    """The variable that names the proxy of requests to `host`; empty if none is used."""
    if urllib.request.proxy_bypass(host):
        return ""
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name)), "")


def _through_proxy(scheme: str, host: str) -> str:
    variable = _proxy_of(scheme, host)
    return f", through the proxy of ${variable}; no_proxy={host} passes it by" if variable else ""


def _connect(uri: str) -> str:
    """Why the database does not answer; empty if it does."""
    from sqlalchemy import create_engine, exc, inspect, text  # noqa: PLC0415  (databases alone need it)

    timeout = {"timeout" if uri.startswith("mssql") else "connect_timeout": _PROBE_TIMEOUT_S}
    try:
        with create_engine(uri, connect_args=timeout).connect() as connection:
            if inspect(connection).has_table("alembic_version"):
                for revision in connection.scalars(text(_VERSION_QUERY)):
                    _check_schema(uri, revision)
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(str(error.name), error.name)
        raise SetupError(f"{redact(uri)} needs a driver: pip install {package}") from None
    except (exc.SQLAlchemyError, ValueError) as error:
        return redact(" ".join(str(getattr(error, "orig", None) or error).split()))
    return ""


def _check_schema(uri: str, revision: str) -> None:
    """Refuse a database of another MLflow's schema.

    Args:
        uri: of the database.
        revision: the answer to `_VERSION_QUERY`.

    Raises:
        SetupError: with the way, which is another for an older and for a newer one.
    """
    before = _revisions()
    (latest,) = before.keys() - before.values()
    if revision == latest:
        return
    if revision in before:
        upgrade = printed_command(["mlflow", "db", "upgrade", uri])
        raise SetupError(
            f"the database {redact(uri)} is of an older MLflow (schema {revision}, the installed "
            f"one's is {latest}): back it up, then {upgrade}"
        )
    version = importlib.metadata.version("mlflow")
    raise SetupError(
        f"the database {redact(uri)} is of a newer MLflow (schema {revision}, which the installed "
        f"{version} does not know): upgrade mlflow here, or name another by --tracking-uri"
    )


@functools.cache
def _revisions() -> dict[str, str]:
    """The revisions that the installed MLflow knows, and the one before each, by its files.

    MLflow itself is not imported, which takes seconds.
    """
    package = importlib.util.find_spec("mlflow")
    assert package is not None, "a dependency"
    assert package.origin is not None, package
    folder = Path(package.origin).parent / "store/db_migrations/versions"
    texts = [file.read_text("utf-8") for file in folder.glob("*.py")]
    named = [re.findall(r'^(?:down_)?revision = "?(\w+)"?', text, re.MULTILINE) for text in texts]
    return {pair[0]: pair[1] for pair in named if len(pair) == 2}


def _marker(store: Store, uri: str) -> Path:
    return store.path("tracking", "delivered", digest(redact(uri)))


def has_delivered(store: Store, uri: str) -> bool:
    """Whether results of this storage have reached `uri` before."""
    return _marker(store, uri).is_file()


def remember_delivery(store: Store, uri: str) -> None:
    """Note that `uri` works."""
    marker = _marker(store, uri)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(redact(uri) + "\n", encoding="utf-8")
