"""`raydistill law` on a folder with a storage `kept` in it: its output, and its refusals."""

import json

from support.sweeping import command


def law(folder, *words):
    """The output of `raydistill law …`; with `--json` as its values."""
    done = command(folder / "kept", "law", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in words else done.stdout


def refusal(folder, *words):
    """The one line of a refusal, which ends with exit code 2."""
    done = command(folder / "kept", "law", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr
