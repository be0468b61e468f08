"""Dockerfiles of nodes: pinned, non-root, in the repository's folder, without secrets."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from raydistill.core.errors import unknown
from raydistill.core.text.redaction import looks_secret
from raydistill.runners.cluster_files.rules import image_problem, text_problem
from raydistill.runners.cluster_files.yaml_documents import Problem

INSTRUCTIONS = (
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip

# The line and arguments of the last of each instruction, those of the stage it builds on included.
_Stage = dict[str, tuple[int, str]]


def check_dockerfile(path: Path) -> Iterator[Problem]:
    """Everything that is wrong in a Dockerfile."""
    last: _Stage = {}
    stages: dict[str, _Stage] = {}
    for line, word, rest in _instructions(path.read_text(encoding="utf-8")):
        if word not in INSTRUCTIONS:
            yield Problem(path=path, line=line, what=unknown("instruction", word, INSTRUCTIONS))
        if word == "FROM":
            image, *alias = _words(rest)
            last = dict(stages.get(image, {}))
            stages |= dict.fromkeys(alias[-1:], last)  # FROM image AS name
        last[word] = line, rest
        for problem in _problems(word, rest, stages):
            yield Problem(path=path, line=line, what=problem)
    for word in ("FROM", "WORKDIR", "USER"):
        if word not in last:
            yield Problem(path=path, line=1, what=f"{word} is missing")
    line, user = last.get("USER", (1, "1000"))
    if user.partition(":")[0] in ("root", "0"):
        yield Problem(path=path, line=line, what="the last USER is root: end with another")


def _words(rest: str) -> list[str]:
    """The words of a FROM without its flags; at least one."""
    return [word for word in rest.split() if not word.startswith("--")] or [""]


def _problems(word: str, rest: str, stages: Collection[str]) -> Iterator[str]:
    image = _words(rest)[0]
    if word == "FROM" and image not in stages and (problem := image_problem(image)):
        yield problem
    if problem := text_problem(rest):
        yield problem
    if word in ("ENV", "ARG"):
        for name, value in re.findall(r"([\w.-]+)=(\S+)", rest):
            if looks_secret(name) and value.strip("\"'"):
                yield f"{name} is written out: give it when the container runs"
    if word == "RUN" and re.search(r"pip install (?!.*(?:==|>=|--constraint|-c |-r ))", rest):
        yield "pip install without a version: name one, or --constraint constraints.txt"


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, word and rest of every instruction, continued lines joined."""
    begun, joined = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        begun = begun or number
        joined += line.removesuffix("\\") + " "
        if not line.endswith("\\"):
            word, _, rest = joined.strip().partition(" ")
            yield begun, word.upper(), rest.strip()
            begun, joined = 0, ""
