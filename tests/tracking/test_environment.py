"""What is kept of the code and libraries of a command, and what a process imports for tracking."""

import subprocess
import sys

from raydistill.tracking.environment import environment

MODULES = ("client", "destination", "environment", "links", "reader", "tracker", "writer")


def test_the_environment_names_versions_and_the_commit(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert "git_commit" not in environment(tmp_path)
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    commit = ["commit", "-q", "--allow-empty", "-m", "first"]
    subprocess.run(["git", "-C", tmp_path, *who, *commit], check=True)
    context = environment(tmp_path)
    assert (len(context["git_commit"]), context["git_dirty"]) == (40, "false")
    assert context["version_torch"]


def test_importing_tracking_imports_no_mlflow():
    modules = ", ".join(f"raydistill.tracking.{name}" for name in MODULES)
    heavy = "{'mlflow', 'torch', 'numpy'} & set(sys.modules)"
    code = f"import sys, {modules}; assert not {heavy}"
    subprocess.run([sys.executable, "-c", code], check=True)
