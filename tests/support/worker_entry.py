"""What a raylet of the tests starts as a worker: it has one forked, and ends with it.

The raylet's words are Ray's: the context of a runtime environment, the language, and the program
that Ray's own `setup_worker.py` would start Python with once more.
"""

import json
import os
import socket
import sys
from pathlib import Path

CONTEXT, LANGUAGE = "--serialized-runtime-env-context=", "--language="


def main():
    request = {"context": {}, "words": [], "variables": dict(os.environ), "folder": str(Path.cwd())}
    for word in sys.argv[1:]:
        if word.startswith(CONTEXT):
            request["context"] = json.loads(word.removeprefix(CONTEXT))
        elif not word.startswith(LANGUAGE):
            request["words"].append(word)
    text = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ["RAYDISTILL_TEST_FORKING"])
        socket.send_fds(connection, [len(text).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(text)
        connection.recv(1)  # nothing comes; it ends when the worker has


main()
