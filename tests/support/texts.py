"""Small made-up text in every form that `--corpus` reads."""

import json

import numpy as np

LINE = "In the year {0} the {1} went up to the {2} and counted {3} of them twice.\n"
NOUNS = ["king", "shepherd", "river", "city", "mountain", "field", "ship", "house"]


def essay(lines=200, seed=0):
    rng = np.random.default_rng(seed)
    return "".join(
        LINE.format(rng.integers(1000, 2000), *rng.choice(NOUNS, 2), rng.integers(1, 99))
        for _ in range(lines)
    )


def essays(count=40, lines=20):
    """Documents that have nothing in common but their words."""
    return [essay(lines, seed).strip() for seed in range(count)]


def write_txt(path, texts):
    path.write_text("\f".join(texts))
    return str(path)


def write_jsonl(path, texts, field="text"):
    path.write_text("".join(json.dumps({"id": 1, field: text}) + "\n" for text in texts))
    return str(path)


def write_parquet(path, texts, field="text", kind=None):
    import pyarrow
    from pyarrow import parquet

    column = pyarrow.array(texts, type=kind)
    parquet.write_table(pyarrow.table({"id": range(len(texts)), field: column}), path)
    return str(path)


def tokens(folder, name="train"):
    width = json.loads((folder / "corpus.json").read_text())["token_bytes"]
    return np.fromfile(folder / f"{name}.bin", dtype=f"<u{width}")


def heldout_texts(folder):
    from raydistill.data.tokenizer import load_tokenizer

    ids, tokenizer = tokens(folder, "heldout"), load_tokenizer(folder / "tokenizer.json")
    documents = json.loads((folder / "heldout.json").read_text())["documents"]
    return [tokenizer.decode(ids[d["start"] : d["end"]].tolist()) for d in documents]


def info_of(folder):
    return json.loads((folder / "corpus.json").read_text())
