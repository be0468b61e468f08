"""Files with tokens: who may read them, and whether the one that Ray needs exists."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from raydistill.runners.diagnostics.finding import Finding, Level, ok

GROUP_AND_OTHERS = 0o077

FILES = (  # whose, the variable that names another file, the usual file
    ("Ray", "RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token"),
    ("Hugging Face", "HF_TOKEN_PATH", "~/.cache/huggingface/token"),
    ("MLflow", "MLFLOW_TRACKING_CREDENTIALS_PATH", "~/.mlflow/credentials"),
    ("S3", "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    (
        "Google Cloud",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "~/.config/gcloud/application_default_credentials.json",
    ),
)


def diagnose_token_files() -> Iterator[Finding]:
    """The files of `FILES` that exist, and Ray's token where a cluster needs it."""
    private_files = []
    for whose, variable, usual in FILES:
        path = Path(os.environ.get(variable) or usual).expanduser()
        if not path.is_file():
            continue
        mode = path.stat().st_mode & 0o777
        if mode & GROUP_AND_OTHERS:
            what = f"{whose}'s token may be read by others: {path} has mode {mode:o}"
            yield Finding(Level.WRONG, what, shlex.join(["chmod", "600", str(path)]))
        else:
            private_files.append(f"{whose} ({path}, mode {mode:o})")
    yield ok(f"files for their owner alone: {', '.join(private_files) or 'none is here'}")
    yield from _ray_token()


def _ray_token() -> Iterator[Finding]:
    mode, address = os.environ.get("RAY_AUTH_MODE"), os.environ.get("RAY_ADDRESS")
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    has = path.is_file() or bool(os.environ.get("RAY_AUTH_TOKEN"))
    if mode == "token" and not has:
        what = "RAY_AUTH_MODE is token, and there is none"
        yield Finding(Level.WRONG, what, "(umask 077; ray get-auth-token --generate)")
    if address and mode != "token":
        what = "RAY_ADDRESS is set without RAY_AUTH_MODE: a cluster with a token refuses this"
        yield Finding(Level.NOTE, what, "export RAY_AUTH_MODE=token")
