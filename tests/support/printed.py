"""Commands that were printed, taken out of a text, and run as they are from another directory."""

import os
import re
import runpy
import shlex

from raydistill.cli.console import raydistill
from support.sweeping import in_this_process

PROGRAMS = r"python|raydistill|ray|mlflow|pip|MLFLOW_TRACKING_URI=\S+ mlflow"


def commands_in(text):
    """Every line, or end of a line behind a colon or an arrow, that is a command."""
    return re.findall(rf"(?:^|: |→ )\s*((?:{PROGRAMS}) [^\n]*)", text, re.MULTILINE)


def run_printed(command, *more, **variables):
    """A sweep or a command of ours, in this process, at `/`, with no variable of ours but these."""
    words = [*shlex.split(command, comments=True), *more]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY", "MLFLOW"))}
    variables = kept | variables
    if words[:4] == ["ray", "job", "submit", "--"]:
        words = words[4:]
    if words[0] == "python":
        script = words[1]
        return in_this_process(
            lambda: runpy.run_path(script, run_name="__main__"), words[1:], variables, "/"
        )
    return in_this_process(raydistill, words, variables, "/")
