"""RayCluster and RayJob against KubeRay's schema, closed: a misspelt field is an error."""

import json
import lzma
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from raydistill.core.errors import unknown
from raydistill.runners.cluster_files.yaml_documents import KeyPath, Problem, YamlDocument, at

KINDS = ("RayCluster", "RayJob")
Schema = dict[str, Any]


def check_kuberay(document: YamlDocument, schemas: Path | None) -> Iterator[Problem]:
    """What KubeRay would refuse or, which is worse, ignore; and what a sweep needs there.

    Args:
        document: of kind RayCluster or RayJob.
        schemas: a folder with other versions of KubeRay's schemas; None takes the package's own.
    """
    kind = str(at(document.value, "kind"))
    validator = Draft202012Validator(_closed(_schema(kind, schemas)))
    for error in validator.iter_errors(document.value):
        key_path: KeyPath = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            known = error.schema.get("properties", {})
            for key in sorted(set(error.instance) - set(known)):
                yield document.finding((*key_path, key), unknown("field", key, known))
        else:
            yield document.finding(key_path, _shortened(error.message))
    spec: KeyPath = ("spec",) if kind == "RayCluster" else ("spec", "rayClusterSpec")
    yield from _check_cluster(document, spec)
    if kind == "RayJob" and at(document.value, "spec", "shutdownAfterJobFinishes") is not True:
        yield document.finding(
            ("spec",), "shutdownAfterJobFinishes must be true: the cluster would stay, and cost"
        )


def _check_cluster(document: YamlDocument, spec: KeyPath) -> Iterator[Problem]:
    needed: dict[KeyPath, object] = {
        ("enableInTreeAutoscaling",): True,
        ("autoscalerOptions", "version"): "v2",
        ("authOptions", "mode"): "token",
        ("headGroupSpec", "rayStartParams", "num-cpus"): "0",
    }
    for key_path, value in needed.items():
        if at(document.value, *spec, *key_path) != value:
            what = f"{'.'.join(map(str, key_path))} must be {json.dumps(value)}"
            yield document.finding((*spec, *key_path), what)
    if at(document.value, *spec, "gcsFaultToleranceOptions") is None:
        yield document.finding(spec, "gcsFaultToleranceOptions: without it a lost head ends all")
    groups = at(document.value, *spec, "workerGroupSpecs")
    for number, group in enumerate(groups if isinstance(groups, list) else []):
        fewest, now, most = (at(group, f"{name}eplicas") for name in ("minR", "r", "maxR"))
        counts = [n for n in (fewest, now, most) if isinstance(n, int)]
        if counts != sorted(counts):
            what = f"minReplicas {fewest}, replicas {now}, maxReplicas {most}: must not fall"
            yield document.finding((*spec, "workerGroupSpecs", number, "minReplicas"), what)


def _schema(kind: str, schemas: Path | None) -> Schema:
    if schemas is not None:
        text = (schemas / f"{kind.lower()}.v1.schema.json").read_bytes()
    else:
        bundled = resources.files("raydistill.runners.cluster_files") / "schemas"
        text = lzma.decompress((bundled / f"{kind.lower()}.v1.json.xz").read_bytes())
    schema: Schema = json.loads(text)
    return schema


def _closed(schema: Schema) -> Schema:
    """A JSON schema that refuses unknown fields.

    Except in `metadata`, which is Kubernetes' own: KubeRay's schema leaves out its fields.
    """
    closed = {key: _closed_below(key, value) for key, value in schema.items()}
    preserve = schema.get("x-kubernetes-preserve-unknown-fields")
    open_ended = "additionalProperties" in schema or preserve
    if "properties" in schema and schema.get("type", "object") == "object" and not open_ended:
        closed["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    if schema.get("nullable") and isinstance(closed.get("type"), str):
        closed["type"] = [closed["type"], "null"]
    return closed


def _closed_below(key: str, value: object) -> object:
    if key == "properties" and isinstance(value, dict):
        return {name: _closed(field) for name, field in value.items()}
    if key in ("items", "additionalProperties") and isinstance(value, dict):
        return _closed(value)
    return value


def _shortened(message: str) -> str:
    return message if len(message) < 160 else f"{message[:100]} … {message[-50:]}"
