"""`raydistill prune` of a checkpoint in several files, beside `cp` and transformers' own load.

    python benchmarks/pruning.py                           # five files of 500 MB, a Llama's shape
    python benchmarks/pruning.py --files 8 --file-mb 1000 --folder /data

Time: the same process prunes two layers (`--no-check`), and `cp` copies the files that came of it,
each until the bytes are on the disk (`cp` is followed by `sync` of its files), in turn, from the
page cache; the fastest round counts. Memory: the largest resident size of a process that prunes,
and of one that loads the whole model by transformers in its own dtype, and each over what its
imports take. At most 1.2 files and the head's tables are allowed.
"""

import argparse
import contextlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaConfig

from raydistill.cli.commands.prune import prune
from raydistill.cli.console import read_command
from raydistill.storage.store import Store

WIDTH, VOCABULARY = 2048, 32_000
MOST_TIMES, MOST_FILES = 1.5, 1.2


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--files", type=int, default=5)
    flags.add_argument("--file-mb", type=int, default=500, help="of each, in 1e6 bytes")
    flags.add_argument("--rounds", type=int, default=3)
    flags.add_argument("--folder", type=Path, help="where there is room for three times the files")
    flags.add_argument("--peak-of", choices=["prune", "load"], help=argparse.SUPPRESS)
    args = flags.parse_args()
    if args.peak_of:
        print(*peak_of(args.peak_of, args.folder))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        whole, short = Path(folder, "whole"), Path(folder, "short")
        write_checkpoint(whole, args.files, args.file_mb * 10**6)
        rounds = [timed(whole, short) for _ in range(args.rounds)]
        ours, theirs = (min(seconds) for seconds in zip(*rounds, strict=True))
        gigabytes = sum(f.stat().st_size for f in short.glob("*.safetensors")) / 1e9
        print(
            f"time: prune {ours:.1f} s, cp {theirs:.1f} s of the same {gigabytes:.2f} GB: ", end=""
        )
        print(f"{ours / theirs:.2f} times (at most {MOST_TIMES})")
        shutil.rmtree(short)
        largest = max(f.stat().st_size for f in whole.glob("*.safetensors"))
        tables = 2 * 2 * VOCABULARY * WIDTH
        for what in ("prune", "load"):
            words = [sys.executable, __file__, "--peak-of", what, "--folder", str(whole)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603
            before, peak = map(int, done.stdout.split())
            print(
                f"memory of {what}: {peak / 1e6:.0f} MB, {(peak - before) / 1e6:.0f} of them ",
                end="",
            )
            print(f"beyond its imports: {peak / largest:.2f} of a file and ", end="")
            print(f"{(peak - before) / largest:.2f}")
        most = MOST_FILES * largest + tables
        print(f"at most {most / 1e6:.0f} MB: {MOST_FILES} files and the head's tables")


def write_checkpoint(folder: Path, files: int, size: int) -> None:
    """A Llama of bfloat16 in so many files of about so many bytes, of random bits."""
    folder.mkdir()
    config = LlamaConfig(
        hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_attention_heads=16,
        num_key_value_heads=16, vocab_size=VOCABULARY, tie_word_embeddings=False,
        dtype="bfloat16", architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    ends = {"model.embed_tokens.weight": (VOCABULARY, WIDTH), "model.norm.weight": (WIDTH,)}
    ends |= {"lm_head.weight": (VOCABULARY, WIDTH)}
    block = {f"self_attn.{name}_proj.weight": (WIDTH, WIDTH) for name in "qkvo"}
    block |= {f"mlp.{name}_proj.weight": (4 * WIDTH, WIDTH) for name in ("gate", "up")}
    block |= {"mlp.down_proj.weight": (WIDTH, 4 * WIDTH)}
    block |= {f"{n}_layernorm.weight": (WIDTH,) for n in ("input", "post_attention")}
    per_block, of_ends = (2 * sum(map(math.prod, part.values())) for part in (block, ends))
    config.num_hidden_layers = max(4, (files * size - of_ends) // per_block)
    shapes = ends | {
        f"model.layers.{layer}.{name}": shape
        for layer in range(config.num_hidden_layers)
        for name, shape in block.items()
    }
    config.save_pretrained(folder)
    total = 2 * sum(map(math.prod, shapes.values()))
    weight_map = {}
    for number, part in enumerate(_parts(shapes, total / files), 1):
        name = f"model-{number:05}-of-{files:05}.safetensors"
        save_file(part, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")


def _parts(shapes: dict[str, tuple[int, ...]], size: float) -> Iterator[dict[str, Tensor]]:
    part: dict[str, Tensor] = {}
    done = written = 0
    for name, shape in shapes.items():
        part[name] = torch.randn(shape).mul_(0.02).to(torch.bfloat16)
        done += part[name].nbytes
        if done >= size * (written + 1) or name == list(shapes)[-1]:
            yield part
            part, written = {}, written + 1


def timed(whole: Path, short: Path) -> tuple[float, float]:
    """Seconds of pruning into `short`, and of copying what came of it beside it."""
    for folder in (short, copy := short.with_name("copy")):
        shutil.rmtree(folder, ignore_errors=True)
    _read(whole)
    began = time.monotonic()
    _prune(whole, short)
    ours = time.monotonic() - began
    files = sorted(map(str, short.iterdir()))
    _read(short)
    copy.mkdir()
    began = time.monotonic()
    subprocess.run(["/bin/cp", *files, str(copy)], check=True)  # noqa: S603
    subprocess.run(["/bin/sync", *map(str, copy.iterdir())], check=True)  # noqa: S603
    theirs = time.monotonic() - began
    shutil.rmtree(copy)
    return ours, theirs


def _read(folder: Path) -> None:
    """Have the files in the page cache, and nothing waiting to be written."""
    os.sync()
    for file in folder.iterdir():
        for _ in _blocks(file):
            pass


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        yield from iter(lambda: opened.read(2**22), b"")


def _prune(whole: Path, short: Path) -> None:
    words = ["prune", "--model", str(whole), "--layers", "1,3", "--no-check", "--to", str(short)]
    with contextlib.redirect_stdout(io.StringIO()):
        prune(Store(short.with_name("storage")), read_command(words))


def peak_of(what: str, whole: Path) -> tuple[int, int]:
    """The largest resident size of this process in bytes, after its imports and after the work."""
    from transformers import LlamaForCausalLM  # noqa: PLC0415  (among the imports)

    before = _peak()
    if what == "load":
        model = LlamaForCausalLM.from_pretrained(whole, dtype="auto")
        for parameter in model.parameters():  # which are mapped, and read when they are used
            parameter.view(torch.int16).max()
    else:
        short = whole.with_name("pruned")
        _prune(whole, short)
        shutil.rmtree(short)
    return before, _peak()


def _peak() -> int:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
