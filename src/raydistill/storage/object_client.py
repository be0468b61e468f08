"""pyarrow's client of an object store; an address where nobody answers is noticed in seconds."""

import os
import re
import threading
from typing import Any
from urllib.parse import parse_qsl, urlsplit

CONNECT_S = 10
ANSWER_S = 60  # of any request
FIRST_ANSWER_S = 5  # of the first one, which a wrong address lets down
PROBE_S = 30.0  # of the first one in all, whatever the client makes of its limits

_answered: set[str] = set()


def open_object_store(url: str) -> Any:
    """The objects at `url` as files below its root; the first time, it has answered a request.

    Raises:
        OSError: pyarrow's; or if nothing answers within `PROBE_S`.
        ValueError: pyarrow's, for an address or a key that it cannot read.
    """
    if url not in _answered:
        _probe(_client(url, FIRST_ANSWER_S))
        _answered.add(url)
    return _client(url, ANSWER_S)


def _probe(files: Any) -> None:
    """One request in a thread: the client's C++ hears no signal, and may try for minutes."""
    errors: list[OSError | ValueError] = []
    ended = threading.Event()

    def request() -> None:
        try:
            files.get_file_info("")
        except (OSError, ValueError) as error:
            errors.append(error)
        ended.set()

    threading.Thread(target=request, name="probe", daemon=True).start()
    if not ended.wait(PROBE_S):
        raise OSError(f"no answer within {PROBE_S:g} s")
    if errors:
        raise errors[0]


def _client(url: str, answer_s: int) -> Any:
    from pyarrow import fs  # noqa: PLC0415  (numpy, which a folder does not need)

    parts = urlsplit(url)
    root = re.sub("/+", "/", f"{parts.netloc}{parts.path}").rstrip("/")
    options = dict(parse_qsl(parts.query))
    if parts.scheme != "s3":
        if "retry_limit_seconds" not in options:  # else a quarter of an hour
            url += f"{'&' if parts.query else '?'}retry_limit_seconds={answer_s}"
        return fs.SubTreeFileSystem(root, fs.FileSystem.from_uri(url)[0])
    endpoint = options.get("endpoint_override", "")
    s3 = fs.S3FileSystem(
        endpoint_override=endpoint.partition("://")[2] or endpoint or None,
        scheme=endpoint.partition("://")[0] if "://" in endpoint else "https",
        region=options.get("region") or os.environ.get("AWS_REGION") or None,
        connect_timeout=min(CONNECT_S, answer_s),
        request_timeout=answer_s,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
    )
    return fs.SubTreeFileSystem(root, s3)
