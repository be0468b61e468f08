"""What is kept of the code and libraries of a command."""

import subprocess

from raydistill.driver.environment import environment


def test_the_environment_names_versions_and_the_commit(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert "git_commit" not in environment(tmp_path)
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    commit = ["commit", "-q", "--allow-empty", "-m", "first"]
    subprocess.run(["git", "-C", tmp_path, *who, *commit], check=True)
    context = environment(tmp_path)
    assert (len(context["git_commit"]), context["git_dirty"]) == (40, "false")
    assert context["version_torch"]
