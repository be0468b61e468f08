"""The node types that cluster files name."""

from pathlib import Path

import pytest

from raydistill.planning.memory.kinds import Kind, memory_of
from raydistill.planning.memory.node_types import node_types, smallest_that_fits
from raydistill.specs.memory.setup import Setup
from raydistill.specs.model import ModelConfig
from raydistill.specs.trial import DropPlan, Recipe

ROOT = Path(__file__).parents[2]
KUBERAY = """
spec:
  workerGroupSpecs:
    - groupName: {name}
      template:
        spec:
          nodeSelector: {{cloud.google.com/gke-accelerator: {label}}}
          containers: [{{resources: {{limits: {{nvidia.com/gpu: "{gpus}"}}}}}}]
"""


def write(folder, name, text):
    path = folder / "cluster" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def launcher(kind, field="InstanceType"):
    return f"available_node_types: {{gpu: {{node_config: {{{field}: {kind}}}}}}}"


def kind(windows, devices=1):
    recipe = Recipe(
        peak_lr=1.0, budget_tokens=2048 * windows * 100, batch_tokens=2048 * windows * devices,
        micro_batches=devices, warmup_tokens=0,
    )  # fmt: skip
    model = ModelConfig(
        family="palm", num_layers=24, dim=1024, num_heads=16, vocab_size=50_304, context=2048
    )
    setup = Setup(model=model, plan=DropPlan(), recipe=recipe, on_cpu=True, devices=devices)
    return Kind(name="lm", scale="x", setup=setup, memory=memory_of(setup), trials=1)


def test_the_files_of_this_repository():
    names = [(node.name, node.gpu, node.gpus) for node in node_types(ROOT)]
    assert names == [("g2-standard-8", "L4", 1), ("g5.2xlarge", "A10G", 1)]


def test_machines_and_labels_are_known_and_the_smallest_comes_first(tmp_path):
    write(tmp_path, "launcher/a.yaml", launcher("p5.48xlarge"))
    write(tmp_path, "launcher/b.yaml", launcher("a2-highgpu-4g", "machineType"))
    write(tmp_path, "launcher/c.yaml", launcher("m6i.large"))  # has no GPU
    write(tmp_path, "launcher/d.yaml", "{no yaml")
    write(tmp_path, "kuberay/e.yaml", KUBERAY.format(name="spot", label="nvidia-l4", gpus=2))
    write(tmp_path, "kuberay/f.yaml", KUBERAY.format(name="odd", label="unheard-of", gpus=2))
    found = [(n.name, n.gpu, n.gpus, n.memory_gb) for n in node_types(tmp_path)]
    assert found == [
        ("spot", "L4", 2, 24), ("a2-highgpu-4g", "A100", 4, 40), ("p5.48xlarge", "H100", 8, 80),
    ]  # fmt: skip
    assert node_types(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    ("windows", "devices", "said"),
    [
        (1, 1, "The smallest node type of kuberay/e.yaml that fits: spot (2 x L4, 24 GB each)."),
        (1, 4, "that fits: spot (2 x L4, 24 GB each, 2 nodes a trial)."),
        (5, 1, "The smallest node type of launcher/a.yaml that fits: p5.48xlarge (8 x H100, 80 GB"),
        (64, 1, "warning: no node type of the cluster's files fits "),
    ],
)
def test_the_smallest_that_fits(tmp_path, windows, devices, said):
    write(tmp_path, "launcher/a.yaml", launcher("p5.48xlarge"))
    write(tmp_path, "kuberay/e.yaml", KUBERAY.format(name="spot", label="nvidia-l4", gpus=2))
    assert said in smallest_that_fits([kind(windows, devices)], node_types(tmp_path))
