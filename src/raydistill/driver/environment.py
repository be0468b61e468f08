"""The code and the libraries that a command was run with."""

import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

_PACKAGES = ("raydistill", "torch", "ray", "mlflow", "lm_eval", "transformers", "numpy")


def environment(folder: Path) -> Mapping[str, str]:
    """Versions, and the git state of the checkout that `folder` is in, if any."""
    versions = {f"version_{name}": _version(name) for name in _PACKAGES}
    return {"version_python": platform.python_version(), **versions, **_git_state(folder)}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _git_state(folder: Path) -> dict[str, str]:
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit, "git_dirty": "true" if changed else "false"}


def _git(folder: Path, *words: str) -> str:
    """What git prints; empty without git or a checkout."""
    command = ["git", "-C", str(folder), *words]
    try:
        answer = subprocess.run(  # noqa: S603  (git, with words of our own)
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
