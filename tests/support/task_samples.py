"""A few documents of each of the paper's 13 tasks, in the fields of the original datasets."""

import json


def _options(*texts):
    return {"text": list(texts), "label": list("ABCDE"[: len(texts)])}


SAMPLES = {
    "piqa": [
        {"goal": "keep bread", "sol1": "extraordinarily", "sol2": "a b c d", "label": 0},
        {"goal": "boil water", "sol1": "in a pot", "sol2": "in a hat", "label": 0},
    ],
    "hellaswag": [
        {
            "activity_label": "Baking", "ctx_a": "A man opens [substeps] a door.", "ctx_b": "he",
            "endings": ["extraordinarily", "a b c d", "goes [title] in.", "sits"], "label": "0",
        },
    ],
    "winogrande": [
        {
            "sentence": "Ann paid Bo because _ had won the game.", "option1": "Ann",
            "option2": "Bo", "answer": "2",
        },
    ],
    "boolq": [
        {"passage": "Water is wet.", "question": "is water wet", "label": 1},
        {"passage": "Fire is hot.", "question": "is fire cold", "label": 0},
    ],
    "openbookqa": [
        {
            "question_stem": "The sun is a", "choices": _options("extraordinarily", "a b c d"),
            "answerKey": "A",
        },
    ],
    "sciq": [
        {
            "support": " Cells hold DNA.", "question": "What holds DNA?", "distractor1": "stones",
            "distractor2": "ships", "distractor3": "kings", "correct_answer": "cells",
        },
    ],
    "arc_easy": [
        {"question": "What melts?", "choices": _options("ice", "stone", "iron"), "answerKey": "A"},
    ],
    "arc_challenge": [
        {"question": "Which?", "choices": _options("one", "two", "three"), "answerKey": "A"},
    ],
    "rte": [
        {"sentence1": "Bo sleeps.", "sentence2": "Bo is awake.", "label": 1},
    ],
    "cb": [
        {"premise": "Ann left.", "hypothesis": "Ann is gone", "label": 0},
        {"premise": "Ann may go.", "hypothesis": "Ann is gone", "label": 2},
    ],
    "copa": [
        {
            "premise": "The man broke his toe.", "question": "cause",
            "choice1": "He got a hole in his sock.", "choice2": "He dropped a hammer on his foot.",
            "label": 1,
        },
        {
            "premise": "The ship sank.", "question": "effect", "choice1": "The crew swam.",
            "choice2": "The sun rose.", "label": 0,
        },
    ],
    "mrpc": [
        {"sentence1": f"Ann wrote {n}.", "sentence2": f"It was {n} that Ann wrote.", "label": label}
        for n, label in enumerate((1, 1, 1, 0, 0))
    ],
    "sst2": [
        {"sentence": "a joy from start to end", "label": 1},
        {"sentence": "dull", "label": 0},
    ],
}  # fmt: skip


def write(folder, samples=SAMPLES):
    """A folder for `--task-data`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, documents in samples.items():
        lines = "\n".join(map(json.dumps, documents))
        (folder / f"{name}.jsonl").write_text(lines + "\n")
    return folder
