"""Two different sweeps that begin at once on a fresh storage share what both need."""

import json
import re

import pytest

from support import sweeping

COMMANDS = {
    "where_to_drop": ("--age", "320B", "--location", "none,input"),
    "how_many_to_drop": ("--age", "320B", "--location", "input", "--count", "1,2"),
}


@pytest.mark.soak
def test_two_sweeps_at_once_make_text_bases_and_common_trials_once(tmp_path, ray_address):
    """On one Ray, so that neither is ahead by its start."""
    processes = {
        name: sweeping.start(tmp_path, *flags, script=f"sweeps/{name}.py", RAY_ADDRESS=ray_address)
        for name, flags in COMMANDS.items()
    }
    outputs = {name: process.communicate(timeout=400) for name, process in processes.items()}
    assert [process.returncode for process in processes.values()] == [0, 0], outputs
    said = "".join(out for out, _ in outputs.values())
    assert said.count("tokenising the corpus") == 1
    assert said.count("pretraining the bases") == 2  # of smoke, and of smoke_small
    measured = re.findall(r"measuring the bases of age (.*)", said)
    assert sorted(", ".join(measured).split(", ")) == ["320B (smoke)", "320B (smoke_small)"]
    assert len(list(tmp_path.glob("corpora/by-source/*.json"))) == 1
    assert len(list(tmp_path.glob("trials/*/trained.json"))) == 5  # of six, one is common
    assert list(tmp_path.glob("corpora/drafts/*")) == list(tmp_path.glob("claims/*")) == []
    cells = {}
    for name in COMMANDS:
        record = json.loads((tmp_path / f"sweeps/{name}/smoke/asked.json").read_text())
        cells[name] = {cell["spec"]["train"]["corpus_sha256"] for cell in record["cells"]}
        sweeping.assert_every_step_once(tmp_path, name)
    assert len(set.union(*cells.values())) == 1
