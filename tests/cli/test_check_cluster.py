"""Every file in `cluster/` is right, and every way to break one is found, with its line."""

import re
import shutil
from pathlib import Path

import pytest

from raydistill import __version__
from raydistill.cli.commands.check_cluster import check_file

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
FILES = [p for p in sorted(CLUSTER.rglob("*")) if p.suffix == ".yaml" or "Dockerfile" in p.name]

RAYCLUSTER, RAYJOB = "kuberay/raycluster.yaml", "kuberay/rayjob.yaml"
AWS, MLFLOW, CPU = "launcher/aws.yaml", "mlflow/mlflow.yaml", "docker/Dockerfile.cpu"

BROKEN = [
    # file, text in it, what replaces that, part of the problem
    (RAYCLUSTER, "idleTimeoutSeconds:", "idleTimeoutSecond:", "Did you mean 'idleTimeoutSeconds'"),
    (RAYCLUSTER, "runAsNonRoot: true, runAsUser", "runAsNonRoot: yes!, runAsUser", "'yes!' is not"),
    (RAYCLUSTER, "maxReplicas: 8", "maxReplicas: many", "'many' is not of type 'integer'"),
    (RAYCLUSTER, "minReplicas: 0", "minReplicas: 9", "minReplicas 9, replicas 0, maxReplicas 8"),
    (RAYCLUSTER, "rayVersion: 2.60.0", "rayVersion: 2.9.0", "goes with 2.60.0"),
    (RAYCLUSTER, "version: v2", "version: v1", 'autoscalerOptions.version must be "v2"'),
    (RAYCLUSTER, "mode: token", "mode: disabled", 'authOptions.mode must be "token"'),
    (RAYCLUSTER, 'num-cpus: "0"', 'num-cpus: "4"', 'rayStartParams.num-cpus must be "0"'),
    (RAYCLUSTER, "raydistill:0.1.0-gpu", "raydistill:latest", "is not pinned"),
    (RAYCLUSTER, "raydistill:0.1.0-gpu", "raydistill", "is not pinned"),
    (RAYCLUSTER, "raydistill:0.1.0-gpu", "raydistill:0.0.9-gpu", "goes with raydistill 0.1.0"),
    (RAYCLUSTER, "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot must be true"),
    (RAYCLUSTER, "runAsUser: 1000", "runAsUser: 0", "user 0 is root"),
    (RAYCLUSTER, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "be false"),
    (
        RAYCLUSTER,
        'limits: {cpu: "2", memory: 8Gi}',
        'limits: {cpu: "2"}',
        "limits.memory is missing",
    ),
    (
        RAYCLUSTER,
        "{name: RAYDISTILL_STORAGE, value: /mnt/raydistill}",
        "{name: HF_TOKEN, value: abc}",
        "HF_TOKEN is written out: take it by valueFrom",
    ),
    (RAYCLUSTER, "http://mlflow.default", "http://ann:geheim@mlflow.default", "password or token"),
    (
        RAYCLUSTER,
        "  gcsFaultToleranceOptions:",
        "  gcsFaultToleranceOption:",
        "a lost head ends all",
    ),
    (RAYJOB, "shutdownAfterJobFinishes: true", "shutdownAfterJobFinishes: false", "must be true"),
    (RAYJOB, "backoffLimit: 3", "backofLimit: 3", "Did you mean 'backoffLimit'"),
    (RAYJOB, "kind: RayJob", "kind: RayJobb", "no kind 'RayJobb'. Did you mean 'RayJob'"),
    (AWS, "idle_timeout_minutes:", "idle_timeout_minute:", "'idle_timeout_minute' was unexpected"),
    (
        AWS,
        "min_workers: 0\n    max_workers: 8",
        "min_workers: 9\n    max_workers: 8",
        "min_workers 9",
    ),
    (AWS, "dashboard-host=127.0.0.1", "dashboard-host=0.0.0.0", "0.0.0.0 is every address"),
    (AWS, "{CPU: 0}", "{CPU: 2}", "the head must have resources CPU: 0"),
    (AWS, "raydistill:0.1.0-cpu", "raydistill", "is not pinned"),
    (AWS, "max_workers: 8\nidle", "max_workers: 8\nmax_workers: 2\nidle", "stands twice"),
    (MLFLOW, '--host "$1"', "--host 0.0.0.0", "0.0.0.0 is every address"),
    (MLFLOW, ":$POSTGRES_PASSWORD@", ":geheim@", "a password or token stands here"),
    (MLFLOW, "mlflow:3.17.2", "mlflow:3.1.0", "goes with mlflow 3.17.2"),
    (MLFLOW, "image: postgres:17.2", "image: postgres", "is not pinned"),
    (MLFLOW, "kind: Deployment", "kind: Deploiment", "Did you mean 'Deployment'"),
    ("runtime_env.yaml", "env_vars:", "env_var:", "Did you mean 'env_vars'"),
    ("runtime_env.yaml", "PYTHONPATH: src", "PYTHONPATH: [src", "not YAML"),
    (CPU, "USER 1000", "USER root", "the last USER is root"),
    (CPU, "USER 1000", "", "USER is missing"),
    (CPU, "WORKDIR", "WORKDIRR", "Did you mean 'WORKDIR'"),
    (CPU, "ray:2.60.0-py311-cpu", "ray:2.9.0-py311", "goes with ray 2.60.0"),
    (CPU, "ARG PIP_EXTRA_INDEX_URL", "ENV HF_TOKEN=abc", "HF_TOKEN is written out"),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_right(path):
    what, findings = check_file(path)
    assert list(findings) == []
    assert what


@pytest.mark.parametrize(("name", "right", "wrong", "problem"), BROKEN)
def test_what_is_wrong_is_found_with_its_line(tmp_path, name, right, wrong, problem):
    text = (CLUSTER / name).read_text()
    assert right in text
    broken = tmp_path / Path(name).name
    broken.write_text(text.replace(right, wrong, 1))
    _, findings = check_file(broken)
    lines = [str(finding) for finding in findings]
    assert any(problem in line for line in lines), lines
    assert all(re.match(rf"{re.escape(str(broken))}:\d+: ", line) for line in lines)
    near = text[: text.index(right)].count("\n") + 1
    named = [finding.line for finding in findings if problem in finding.what]
    is_missing = not wrong or any(text in problem for text in ("missing", "must be", "lost head"))
    assert is_missing or min(abs(line - near) for line in named) <= 7, (near, named)


def test_all_findings_are_told_and_the_exit_code_is_2(tmp_path, refused_by):
    text = (CLUSTER / RAYCLUSTER).read_text()
    path = tmp_path / "two.yaml"
    path.write_text(text.replace("mode: token", "mode: open").replace("version: v2", "version: v1"))
    code, _, err = refused_by("cluster", "check", str(path))
    assert code == 2
    assert len(err.splitlines()) == 3  # of the mode: KubeRay's schema, and the project


@pytest.fixture
def refused_by(tmp_path):
    from support import sweeping

    def run(*words):
        done = sweeping.command(tmp_path, *words)
        return done.returncode, done.stdout, done.stderr

    return run


def test_without_a_name_every_file_below_cluster_is_checked(refused_by):
    code, out, err = refused_by("cluster", "check")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == len(FILES)


@pytest.mark.parametrize(("text", "problem"), [("", "it is empty"), ("- a\n", "it is no mapping")])
def test_a_file_of_nothing_is_named(tmp_path, text, problem):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    _, (finding,) = check_file(path)
    assert finding.what.startswith(problem)


def problems_of(path, text):
    path.write_text(text)
    return [finding.what for finding in check_file(path)[1]]


def test_the_last_stage_of_a_dockerfile_counts(tmp_path):
    first = "FROM python:3.11.11-slim AS first\nWORKDIR /app\nUSER 1000\n"
    last = "FROM python:3.11.11-slim\nCOPY --from=first /app /app\n"
    path = tmp_path / "Dockerfile"
    assert problems_of(path, first + last) == ["WORKDIR is missing", "USER is missing"]
    assert problems_of(path, first + "FROM first\nRUN true\n") == []
    platform = last.replace("FROM", "FROM --platform=linux/amd64")
    assert problems_of(path, first + platform + "FROM first\n") == []


def test_what_runs_before_the_containers_is_checked_too(tmp_path):
    container = "{name: a, image: 'registry:5000/mlflow:3.1.0'}"
    user = "securityContext: {runAsNonRoot: true}"
    pod = f"{{{user}, containers: [], initContainers: [{container}]}}"
    problems = problems_of(tmp_path / "x.yaml", f"kind: Job\nspec: {{template: {{spec: {pod}}}}}\n")
    assert len(problems) == 3
    assert "resources.limits.memory is missing" in problems
    assert "securityContext.allowPrivilegeEscalation must be false" in problems
    assert any("goes with mlflow 3.17.2" in problem for problem in problems)


def test_a_missing_file_is_named(refused_by):
    code, _, err = refused_by("cluster", "check", "nowhere.yaml")
    assert (code, err) == (2, "error: nowhere.yaml: there is no such file\n")


def test_other_schemas_take_the_place_of_the_packages_own(tmp_path):
    (tmp_path / "raycluster.v1.schema.json").write_text(
        '{"type": "object", "properties": {"kind": {"type": "string"}}}'
    )
    _, findings = check_file(CLUSTER / RAYCLUSTER, tmp_path)
    assert any("no field 'spec'" in finding.what for finding in findings)


def test_versions_are_those_that_were_tested_together():
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M))
    text = "".join(path.read_text() for path in FILES)
    assert set(re.findall(r"rayproject/ray:([\d.]+)", text)) == {pinned["ray"]}
    assert set(re.findall(r"rayVersion: (\S+)", text)) == {pinned["ray"]}
    assert set(re.findall(r"mlflow(?:\[auth\])?(?:==|:)(\d+\.[\d.]+)", text)) == {pinned["mlflow"]}
    assert set(re.findall(r"torch==([\d.]+)", text)) == {pinned["torch"]}
    assert set(re.findall(r"/raydistill:([\d.]+)-", text)) == {__version__}


def test_an_upload_leaves_out_what_rayignore_names(tmp_path):
    from ray._private.runtime_env.packaging import _get_ignore_file

    shutil.copy(ROOT / ".rayignore", tmp_path)
    ignored = _get_ignore_file(tmp_path, ignore_file=".rayignore")
    assert ignored(tmp_path / "tests" / "test_x.py") or ignored(tmp_path / "tests")
    assert not ignored(tmp_path / "sweeps" / "where_to_drop.py")
