"""The project's own rules for whatever a YAML file of a cluster says."""

import re
from collections.abc import Iterator, Mapping
from importlib import metadata

from raydistill import __version__
from raydistill.core.text.redaction import holds_token, looks_secret
from raydistill.runners.cluster_files.yaml_documents import KeyPath, Problem, YamlDocument, at

EVERYWHERE = "0.0.0.0"  # noqa: S104  (what is looked for)
_PASSWORD = re.compile(r"://[^/\s:@$]+:[^/\s@$]+@")

# Packages whose version an image's tag begins with, and the names of such images.
PINNED = {"ray": "rayproject/ray", "mlflow": "mlflow", "raydistill": "raydistill"}


def check_rules(document: YamlDocument) -> Iterator[Problem]:
    """Everything that is wrong in a document of any kind."""
    for key, line in document.duplicates:
        what = f"{key} stands twice in one mapping: the last one would count"
        yield Problem(path=document.path, line=line, what=what)
    for key_path, value in document.values():
        if isinstance(value, str):
            yield from _check_text(document, key_path, value)
        if isinstance(value, Mapping):
            yield from _check_mapping(document, key_path, value)
    ray = at(document.value, "spec", "rayVersion")
    ray = ray or at(document.value, "spec", "rayClusterSpec", "rayVersion")
    if ray is not None and ray != metadata.version("ray"):
        what = f"rayVersion {ray}: raydistill {__version__} goes with {metadata.version('ray')}"
        yield document.finding(("spec", "rayVersion"), what)


def image_problem(image: str) -> str:
    """Why an image is not pinned to the versions that go together; empty if it is."""
    before, slash, last = image.partition("@")[0].rpartition("/")
    name, _, tag = last.partition(":")
    if "@sha256:" in image:
        return ""
    if tag in ("", "latest"):
        return f"image {image} is not pinned: give it a tag that stays, or a digest"
    for package, ending in PINNED.items():
        if f"{before}{slash}{name}".endswith(ending) and (name == ending or "/" in ending):
            version = __version__ if package == "raydistill" else metadata.version(package)
            if tag.split("-")[0] != version:
                return f"image {image}: raydistill {__version__} goes with {package} {version}"
    return ""


def text_problem(text: str) -> str:
    """Why a text is unsafe: it names every address, or a password; empty if it is not."""
    if EVERYWHERE in text:
        return f"{EVERYWHERE} is every address: name one, such as 127.0.0.1 or the pod's own"
    if _PASSWORD.search(text) or holds_token(text):
        return "a password or token stands here: take it from a secret"
    return ""


def _check_text(document: YamlDocument, key_path: KeyPath, text: str) -> Iterator[Problem]:
    key = str(key_path[-1])
    if problem := text_problem(text):
        yield document.finding(key_path, problem)
    elif looks_secret(key) and text and not text.startswith(("$", "~", "/")):
        yield document.finding(key_path, f"{key} is written out: take it from a secret")
    if (key == "image" or key.endswith("_image")) and (problem := image_problem(text)):
        yield document.finding(key_path, problem)


def _check_mapping(
    document: YamlDocument, key_path: KeyPath, value: Mapping[str, object]
) -> Iterator[Problem]:
    if looks_secret(str(value.get("name", ""))) and value.get("value"):
        what = f"{value['name']} is written out: take it by valueFrom from a secret"
        yield document.finding((*key_path, "value"), what)
    if value.get("kind") == "Secret" and (value.get("data") or value.get("stringData")):
        yield document.finding(
            key_path, "a Secret with its values: make it by kubectl create secret"
        )
    if isinstance(value.get("containers"), list):
        yield from _check_pod(document, key_path, value)


def _check_pod(
    document: YamlDocument, key_path: KeyPath, pod: Mapping[str, object]
) -> Iterator[Problem]:
    if at(pod, "securityContext", "runAsNonRoot") is not True:
        yield document.finding(key_path, "securityContext.runAsNonRoot must be true")
    if at(pod, "securityContext", "runAsUser") == 0:
        yield document.finding((*key_path, "securityContext", "runAsUser"), "user 0 is root")
    for kind in ("initContainers", "containers"):
        containers = pod.get(kind)
        for number, container in enumerate(containers if isinstance(containers, list) else ()):
            yield from _check_container(document, (*key_path, kind, number), container)


def _check_container(
    document: YamlDocument, key_path: KeyPath, container: object
) -> Iterator[Problem]:
    if at(container, "resources", "limits", "memory") is None:
        yield document.finding(key_path, "resources.limits.memory is missing")
    if at(container, "securityContext", "allowPrivilegeEscalation") is not False:
        what = "securityContext.allowPrivilegeEscalation must be false"
        yield document.finding(key_path, what)
