"""A program on several gloo ranks of this machine.

They are forked from a process that imports once what each of them would, for seconds: one that the
first program of a run of tests starts, and that ends with it.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
import types
from pathlib import Path

HERE = Path(__file__).parents[1]
PATH = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
MODULES = (
    "torch._dynamo", "torch.distributed.checkpoint.hf_storage", "torch.distributed.fsdp",
    "support.tiny", "raydistill.evaluation.likelihood.perplexity", "raydistill.training.resume",
)  # fmt: skip
JOIN = """
import json, sys
if int(sys.argv[3]) > 1:
    import torch.distributed as dist
    dist.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=int(sys.argv[2]),
                            world_size=int(sys.argv[3]))
"""


def outcomes(program, meeting, ranks, *arguments, timeout_s=240):
    """What each of `ranks` processes prints as JSON in its last line.

    Args:
        program: Python; its arguments are in `sys.argv[4:]`.
        meeting: a path where no file is yet.
        ranks: how many; one joins no group.
    """
    prints = [f"{meeting}-{ranks}-{rank}.txt" for rank in range(ranks)]
    request = {
        "text": JOIN + program, "prints": prints, "timeout_s": timeout_s,
        "variables": {**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"},
        "words": [[*map(str, (meeting, rank, ranks, *arguments))] for rank in range(ranks)],
    }  # fmt: skip
    forking = forking_process()
    forking.stdin.write(json.dumps(request) + "\n")
    forking.stdin.flush()
    assert json.loads(forking.stdout.readline()) == [0] * ranks
    return [json.loads(Path(path).read_text().splitlines()[-1]) for path in prints]


@functools.cache
def forking_process():
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    atexit.register(process.communicate)  # which closes its stdin
    return process


def serve():
    """Fork ranks for every line of stdin and say how each has ended."""
    gc.disable()  # imports make nothing that could go
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()
    while line := sys.stdin.readline():
        request, ranks = json.loads(line), []
        for words, prints in zip(request["words"], request["prints"], strict=True):
            if (pid := os.fork()) == 0:
                sys.exit(become_rank(request, words, prints))
            ranks.append(pid)
        print(json.dumps(codes(ranks)), flush=True)


def codes(ranks):
    """The exit codes of these processes; where one fails, all are ended."""
    ended = {}
    while len(ended) < len(ranks):
        pid, status = os.wait()
        ended[pid] = os.waitstatus_to_exitcode(status)
        if ended[pid]:
            for other in set(ranks) - set(ended):
                os.kill(other, signal.SIGKILL)
    return [ended[pid] for pid in ranks]


def become_rank(request, words, prints):
    """Go on as `python -c text words` would, with its output in a file; returns its exit code."""
    signal.alarm(request["timeout_s"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(prints, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.environ.clear()
    os.environ.update(request["variables"])
    sys.argv = ["-c", *words]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    gc.enable()
    try:
        exec(request["text"], vars(main))  # noqa: S102  (as Python would)
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.path.pop(0)
    with contextlib.suppress(KeyboardInterrupt):
        serve()
