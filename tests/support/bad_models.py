"""Checkpoints that are not as they must be, each made of a good one's folder."""

import json
import pickle
import struct

from safetensors.torch import load_file, save_file

BLOCK_TENSOR, NORM = "model.layers.2.mlp.up_proj.weight", "model.norm.weight"


class Payload:
    def __reduce__(self):
        import os

        return os.system, ("touch payload",)


def config(**changes):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def weights(change_tensors):
    def change(folder):
        tensors = load_file(folder / "model.safetensors")
        change_tensors(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def content(make):
    def change(folder):
        path = folder / "model.safetensors"
        path.write_bytes(make(path.read_bytes()))

    return change


def only(name, text=b""):
    """Instead of the weights another file."""

    def change(folder):
        (folder / "model.safetensors").unlink()
        if name:
            (folder / name).write_bytes(text)

    return change


def nan(tensors):
    tensors[BLOCK_TENSOR][0, :3] = float("nan")
    tensors[NORM][:] = float("inf")


def without_up_projections(tensors):
    for layer in range(6):
        del tensors[f"model.layers.{layer}.mlp.up_proj.weight"]


def with_vision(tensors):
    tensors |= {f"vision.{letter}": tensors[NORM].clone() for letter in "abcdefg"}


FOUND_AT_ONCE = [
    # row, what is wrong, how, what is said
    (13, "no config", lambda folder: (folder / "config.json").unlink(), "no config.json in "),
    (13, "not JSON", lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
    (
        13,
        "nested",
        lambda folder: (folder / "config.json").write_text("[" * 100_000),
        "is not JSON",
    ),
    (
        13,
        "weights that are a folder",
        lambda folder: (only("")(folder), (folder / "model.safetensors").mkdir()),
        "have no numbered blocks",
    ),
    (
        13,
        "more layers in config",
        config(num_hidden_layers=14),
        "says 14 layers, the weights have 6: 8 missing (6, 7, 8, 9, 10)",
    ),
    (13, "fewer layers in config", config(num_hidden_layers=4), "2 unexpected (4, 5)"),
    (13, "a tensor less", weights(lambda t: t.pop(BLOCK_TENSOR)), f"{BLOCK_TENSOR} is missing"),
    (14, "truncated", content(lambda whole: whole[:-10]), "752974 bytes, its header says 752984"),
    (14, "empty", content(lambda _: b""), "has 0 bytes, less than its own header"),
    (
        14,
        "absurd header",
        content(lambda _: struct.pack("<Q", 2**60) + b"{}"),
        "has 10 bytes, less",
    ),
    (14, "no header", content(lambda _: struct.pack("<Q", 4) + b"abcd"), "no readable safetensors"),
    (
        15,
        "another shape",
        weights(lambda t: t.update({BLOCK_TENSOR: t[NORM].clone()})),
        f"{BLOCK_TENSOR} has the shape [32], layer 0 [64, 32]",
    ),
    (
        15,
        "another dtype",
        weights(lambda t: t.update({NORM: t[NORM].char()})),
        f"{{}}/model.safetensors are none of F64, F32, F16, BF16, the first {NORM} (I8)",
    ),
    (
        16,
        "a pickle",
        only("pytorch_model.bin", pickle.dumps(Payload())),
        "raydistill import {} --to",
    ),
    (16, "another pickle", only("a.pt", pickle.dumps(Payload())), "could run code when it is read"),
    (16, "no weights", only(""), "no *.safetensors in {}"),
    (17, "auto_map", config(auto_map={"AutoConfig": "x.Y"}), "code of its own, which never runs"),
]
"""Before anything is planned or loaded."""

FOUND_WHILE_LOADING = [
    (13, "no norm", weights(lambda t: t.pop(NORM)), f"have 1 missing tensors: {NORM}"),
    (
        13,
        "a kind of tensor less",
        weights(without_up_projections),
        "have 6 missing tensors: model.layers.0.mlp.up_proj.weight, ",
    ),
    (
        13,
        "tensors too many",
        weights(with_vision),
        "7 unexpected tensors: vision.a, vision.b, vision.c, vision.d, vision.e, …",
    ),
    (15, "NaN", weights(nan), f"2 tensors in {{}} hold NaN or Inf, the first {BLOCK_TENSOR} (3 of"),
    (
        15,
        "a norm of another shape",
        weights(lambda t: t.update({NORM: t[BLOCK_TENSOR][:, 0].clone()})),
        f"have 1 mismatched tensors: {NORM} ([64], not [32])",
    ),
    (
        13,
        "a family that is none",
        config(model_type="lama"),
        "model_type 'lama'. Did you mean 'llama'?",
    ),
]
"""What a header does not show."""
