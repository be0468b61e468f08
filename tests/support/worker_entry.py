"""What a raylet of the tests starts as a worker: it has one forked, and ends with it.

And what execnet starts as a process of a run of tests: `python -u -c text`.

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
    of_tests = "-c" in request["words"]
    variable = "RAYDISTILL_TEST_RUN_FORKING" if of_tests else "RAYDISTILL_TEST_FORKING"
    text = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ[variable])
        socket.send_fds(connection, [len(text).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(text)
        os.close(0)  # who reads it, and who writes to it, is the forked one alone
        connection.recv(1)  # nothing comes; it ends when the worker has


main()
