"""What users bring may be damaged anywhere: the answer is what it is, or one line and an exit code.

The same 150 inputs of each kind every time (`make soak`: a thousand), within a bounded memory.
"""

import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raydistill.cli.exit import exit_code_of
from raydistill.core.errors import RaydistillError
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.jsonl import JsonlFile
from raydistill.evaluation.lm_harness.task_data import read_documents
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.huggingface.safetensors_header import tensor_shapes
from raydistill.pruning.mergekit import read_map
from raydistill.storage.manifest import verify, write_manifest
from raydistill.storage.urls import is_url
from raydistill.tracking.destination import scheme_of
from support.hub_models import save_model
from support.mutations import changed, damaged, memory_bounded, texts

DOCUMENTED = {0, 2, 3, 4}
SETTINGS = settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
FEW = settings(SETTINGS, max_examples=60)
ROWS = {
    "arc_easy": {
        "question": "Which?", "answerKey": "B",
        "choices": {"text": ["a", "b"], "label": ["A", "B"]},
    },
    "copa": {
        "premise": "It rained.", "question": "cause", "choice1": "A.", "choice2": "B.", "label": 1,
    },
    "winogrande": {"sentence": "The _ ran.", "option1": "cat", "option2": "dog", "answer": "1"},
    "hellaswag": {
        "activity_label": "Run", "ctx_a": "She", "ctx_b": "he", "endings": ["a", "b"], "label": "0",
    },
}  # fmt: skip
SAFE = st.characters(codec="utf-8", exclude_characters="\0")


@pytest.fixture(params=[150, pytest.param(1_000, marks=pytest.mark.soak)])
def many(request):
    return settings(SETTINGS, max_examples=request.param)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("mutated") / "model")


@pytest.fixture(scope="module")
def good(model):
    """The good checkpoint's config, and its weights as header and data."""
    whole = (model / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    return json.loads((model / "config.json").read_text()), header, whole[8 + length :]


def answered(question, capsys):
    """The exit code, which is a documented one, and the error, which is one line."""

    def command():
        question()
        return 0

    capsys.readouterr()
    with memory_bounded(1 << 30):
        code = exit_code_of(command)
    error = capsys.readouterr().err
    assert code in DOCUMENTED
    assert error.count("\n") == (code != 0)
    assert len(error) < 3_000
    return code, error


def test_a_config(model, good, many, tmp_path, capsys):
    (tmp_path / "model.safetensors").symlink_to(model / "model.safetensors")

    @many
    @given(texts(good[0]))
    def check(text):
        (tmp_path / "config.json").write_bytes(text)
        answered(lambda: read_checkpoint(str(tmp_path), "main"), capsys)

    check()


def test_a_config_that_is_loaded(model, good, tmp_path, capsys):
    """Transformers too is held to what the weights are."""
    (tmp_path / "model.safetensors").symlink_to(model / "model.safetensors")

    @FEW
    @given(changed(good[0]))
    def check(fields):
        (tmp_path / "config.json").write_text(json.dumps(fields))
        answered(lambda: load_pretrained(read_checkpoint(str(tmp_path), "main")), capsys)

    check()


@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 10**12}, {"vocab_size": 10**9}, {"intermediate_size": 10**12},
        {"num_labels": 10**9}, {"max_position_embeddings": 10**15}, {"num_attention_heads": 10**9},
        {"head_dim": 10**12}, {"hidden_size": 2**62},
    ],
    ids=lambda fields: "".join(fields),
)  # fmt: skip
def test_a_config_that_claims_more_than_the_weights_have(model, good, fields, tmp_path, capsys):
    (tmp_path / "model.safetensors").symlink_to(model / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(good[0] | fields))
    code, error = answered(lambda: load_pretrained(read_checkpoint(str(tmp_path), "main")), capsys)
    harmless = {"num_labels", "max_position_embeddings"} & fields.keys()
    assert code == (0 if harmless else 3)
    assert harmless or "the weights have" in error or "cannot be loaded" in error


def test_the_header_of_weights(good, many, tmp_path, capsys):
    path = tmp_path / "model.safetensors"

    @many
    @given(texts(good[1]))
    def check(header):
        path.write_bytes(struct.pack("<Q", len(header)) + header + good[2])
        answered(lambda: tensor_shapes(path), capsys)

    check()


def test_a_row_of_text(many, tmp_path, capsys):
    path = tmp_path / "rows.jsonl"

    @many
    @given(texts({"text": "a boat went down the river", "meta": {"id": 7}}))
    def check(row):
        path.write_bytes(row + b'\n{"text": "and another one"}\n')
        file = JsonlFile(path, "rows.jsonl", "text")
        answered(lambda: list(file.documents(TextCleaner())), capsys)

    check()


@pytest.mark.parametrize(("task", "row"), ROWS.items(), ids=ROWS)
def test_a_row_of_a_task(task, row, many, tmp_path, capsys):
    path = tmp_path / f"{task}.jsonl"

    @settings(many, max_examples=many.max_examples // 4)
    @given(texts(row))
    def check(text):
        path.write_bytes(text)
        answered(lambda: read_documents(path, task), capsys)

    check()


def test_a_layer_map(many, tmp_path, capsys):
    path = tmp_path / "mergekit.yml"
    sources = [{"sources": [{"model": "m", "layer_range": [n, n + 2]}]} for n in (0, 3, 6)]
    whole = {"slices": sources, "merge_method": "passthrough", "dtype": "bfloat16"}

    @many
    @given(texts(whole).filter(lambda text: len(text) < 50_000))
    def check(text):
        path.write_bytes(text)
        answered(lambda: read_map(path), capsys)

    check()


def test_a_manifest(many, tmp_path, capsys):
    (tmp_path / "a.bin").write_bytes(b"abc")
    (tmp_path / "b.json").write_text("{}")
    write_manifest(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())

    @many
    @given(texts(manifest))
    def check(text):
        (tmp_path / "manifest.json").write_bytes(text)
        answered(lambda: verify(tmp_path), capsys)

    check()


ADDRESSES = [
    b"s3://bucket/folder?endpoint_override=http://127.0.0.1:9000&region=eu",
    b"gs://bucket/folder", b"http://ann@127.0.0.1:5000/x", b"postgresql+psycopg2://h:5432/db",
    b"sqlite:////data/mlflow.db", b"http://[::1]:5000", b"databricks://profile",
]  # fmt: skip


def test_an_address(many, capsys):
    @many
    @given(st.sampled_from(ADDRESSES).flatmap(damaged), st.text(SAFE, max_size=30))
    def check(address, text):
        for each in (address.decode("utf-8", "replace"), text):
            answered(lambda each=each: is_url(each), capsys)
            answered(lambda each=each: scheme_of(each), capsys)

    check()


def test_every_error_has_a_documented_code():
    def below(kind):
        return {kind, *(k for sub in kind.__subclasses__() for k in below(sub))}

    assert {kind.exit_code for kind in below(RaydistillError)} <= DOCUMENTED | {1}
