"""`raydistill cluster check`: all that is wrong in the files of a cluster, before it costs."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

import yaml

from raydistill.core.errors import UsageError, unknown
from raydistill.core.signals import interrupts_held
from raydistill.reports.console.console import open_console
from raydistill.runners.cluster_files.dockerfile import check_dockerfile
from raydistill.runners.cluster_files.kuberay import KINDS, check_kuberay
from raydistill.runners.cluster_files.rules import check_rules
from raydistill.runners.cluster_files.yaml_documents import Problem, YamlDocument, at, read_yaml
from raydistill.storage.store import Store

# Kinds that only the project's rules check: Kubernetes' own schemas do not come with the package.
KUBERNETES = (
    "ConfigMap", "Deployment", "Job", "Namespace", "NetworkPolicy", "PersistentVolumeClaim",
    "Secret", "Service", "ServiceAccount", "StatefulSet",
)  # fmt: skip


def check(_: Store, flags: argparse.Namespace) -> int:
    """Check the files named, or all below `cluster/`; 2 if anything is wrong.

    Raises:
        UsageError: if a file does not exist, or there is none.
    """
    paths = [Path(name) for name in flags.file] or _files(Path("cluster"))
    schemas = Path(flags.schemas) if flags.schemas else None
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path}: there is no such file")
    wrong, console = 0, open_console()
    for path in paths:
        kind, findings = check_file(path, schemas)
        for finding in findings:
            print(finding, file=sys.stderr)
        wrong += len(findings)
        if not findings:
            console.print(f"{path}: {kind}, ok", soft_wrap=True)
    return UsageError.exit_code if wrong else 0


def _files(folder: Path) -> list[Path]:
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and (path.suffix in (".yaml", ".yml") or path.name.startswith("Dockerfile"))
    ]
    if not files:
        raise UsageError(f"no files of a cluster in {folder.absolute()}: name one")
    return files


def check_file(path: Path, schemas: Path | None = None) -> tuple[str, Sequence[Problem]]:
    """The kind of a file, and what is wrong in it, by line."""
    if path.name.startswith("Dockerfile"):
        return "Dockerfile", sorted(check_dockerfile(path), key=attrgetter("line"))
    try:
        documents = read_yaml(path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        what = f"not YAML: {getattr(error, 'problem', None) or error}"
        return "", [Problem(path=path, line=line, what=what)]
    if not documents or all(document.value is None for document in documents):
        return "", [Problem(path=path, line=1, what="it is empty")]
    kinds, findings = [], []
    for document in documents:
        kind, problems = _check_document(document, schemas)
        kinds.append(kind)
        findings += [*problems, *check_rules(document)]
    return ", ".join(dict.fromkeys(kinds)), sorted(dict.fromkeys(findings), key=attrgetter("line"))


def _check_document(document: YamlDocument, schemas: Path | None) -> tuple[str, list[Problem]]:
    value = document.value
    if not isinstance(value, Mapping):
        return "", [document.finding((), "it is no mapping of keys to values")]
    if "kind" in value or "apiVersion" in value:
        kind = str(at(value, "kind"))
        if kind in KINDS:
            return kind, list(check_kuberay(document, schemas))
        known = unknown("kind", kind, (*KINDS, *KUBERNETES))
        return kind, [] if kind in KUBERNETES else [document.finding(("kind",), known)]
    if "cluster_name" in value:
        return "cluster launcher", list(_check_launcher(document, value))
    return "runtime environment", list(_check_runtime_env(document, value))


def _check_launcher(document: YamlDocument, value: Mapping[str, object]) -> Iterator[Problem]:
    with interrupts_held():
        from raydistill.runners.diagnostics.launcher import launcher_problem  # noqa: PLC0415  (Ray)

    keys, problem = launcher_problem(value)
    if problem:
        yield document.finding(keys, problem)
    kinds = at(value, "available_node_types")
    for name in kinds if isinstance(kinds, Mapping) else ():
        fewest, most = (at(kinds, name, key) for key in ("min_workers", "max_workers"))
        if isinstance(fewest, int) and isinstance(most, int) and fewest > most:
            what = f"min_workers {fewest} is more than max_workers {most}"
            yield document.finding(("available_node_types", name, "min_workers"), what)
    if at(kinds, str(value.get("head_node_type")), "resources", "CPU") != 0:
        what = "the head must have resources CPU: 0, or trials run on it"
        yield document.finding(("available_node_types",), what)


def _check_runtime_env(document: YamlDocument, value: Mapping[str, object]) -> Iterator[Problem]:
    with interrupts_held():
        from raydistill.runners.diagnostics.launcher import runtime_env_fields  # noqa: PLC0415  (Ray)

    fields = sorted(runtime_env_fields())
    for key in map(str, value):
        if key not in fields:
            yield document.finding((key,), unknown("field", key, fields))
