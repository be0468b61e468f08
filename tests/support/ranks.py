"""A program on several gloo ranks of this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[1]
PATH = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
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
    started = [
        subprocess.Popen(
            [sys.executable, "-c", JOIN + program, *map(str, (meeting, rank, ranks, *arguments))],
            stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(ranks)
    ]  # fmt: skip
    printed = [process.communicate(timeout=timeout_s)[0] for process in started]
    assert [process.returncode for process in started] == [0] * ranks
    return [json.loads(text.splitlines()[-1]) for text in printed]
