"""The paper's 13 zero-shot tasks: their prompts, and the metrics of Table 2 (METHOD 6).

Prompts, choices and right answers are those of lm-eval 0.4.13 (`lm_eval/tasks/`), as functions
of a document, which has the fields of the original dataset. The metrics differ from lm-eval's
where the paper's do.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Document = Mapping[str, Any]

# Accuracy of the likeliest choice; of the likeliest per character; of the one that the question
# makes likelier than "Answer:" alone does; F1 of answering 1.
Metric = Literal["acc", "acc_norm", "pmi_dc", "f1"]

# PMI-DC (Holtzman et al., 2021) is log p(choice | question) − log p(choice | premise).
PREMISE = "Answer:"


def _label(document: Document) -> int:
    return int(document["label"])


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperTask:
    """A multiple-choice task: `choices[target]` follows `text`.

    Where `shared` is set the choices are contexts, of which `text` is the right one, and
    `target` follows each of them: lm-eval's partial evaluation.
    """

    metric: Metric
    text: Callable[[Document], str | int]
    choices: Callable[[Document], list[str]]
    target: Callable[[Document], int | str] = _label
    hub: tuple[str, str, str]  # dataset, its configuration, split
    shared: bool = False


def _prompt(template: str) -> Callable[[Document], str]:
    return lambda document: template.format_map(document)


def _options(document: Document) -> list[str]:
    return list(document["choices"]["text"])


def _answer_key(document: Document) -> int:
    return int(document["choices"]["label"].index(document["answerKey"].lstrip()))


def _fixed(*choices: str) -> Callable[[Document], list[str]]:
    return lambda _: list(choices)


def _sciq_choices(document: Document) -> list[str]:
    return [*(document[f"distractor{i}"] for i in (1, 2, 3)), document["correct_answer"]]


def _hellaswag_text(document: Document) -> str:
    context = f"{document['ctx_a']} {document['ctx_b'].capitalize()}"
    return _plain(f"{document['activity_label']}: {context}")


def _plain(text: str) -> str:
    """Without the brackets that WikiHow left."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def _winogrande_contexts(document: Document) -> list[str]:
    """The sentence up to the gap, with each option in it."""
    before = document["sentence"].partition("_")[0]
    return [before + document[option] for option in ("option1", "option2")]


def _copa_text(document: Document) -> str:
    connector = {"cause": "because", "effect": "therefore"}[document["question"]]
    return f"{document['premise'].strip()[:-1]} {connector}"


def _copa_choices(document: Document) -> list[str]:
    choices = (document["choice1"], document["choice2"])
    return [f" {choice[0].lower()}{choice[1:]}" for choice in choices]


PAPER13: Mapping[str, PaperTask] = {
    "piqa": PaperTask(
        metric="acc_norm",
        text=_prompt("Question: {goal}\nAnswer:"),
        choices=lambda document: [document["sol1"], document["sol2"]],
        hub=("baber/piqa", "", "validation"),
    ),
    "hellaswag": PaperTask(
        metric="acc_norm",
        text=_hellaswag_text,
        choices=lambda document: [_plain(ending) for ending in document["endings"]],
        hub=("Rowan/hellaswag", "", "validation"),
    ),
    "winogrande": PaperTask(
        metric="acc",
        text=lambda document: int(document["answer"]) - 1,
        choices=_winogrande_contexts,
        target=lambda document: document["sentence"].partition("_")[2].strip(),
        hub=("allenai/winogrande", "winogrande_xl", "validation"),
        shared=True,
    ),
    "boolq": PaperTask(
        metric="acc_norm",
        text=_prompt("{passage}\nQuestion: {question}?\nAnswer:"),
        choices=_fixed("no", "yes"),
        hub=("aps/super_glue", "boolq", "validation"),
    ),
    "openbookqa": PaperTask(
        metric="acc_norm",
        text=lambda document: str(document["question_stem"]),
        choices=_options,
        target=_answer_key,
        hub=("allenai/openbookqa", "main", "test"),
    ),
    "sciq": PaperTask(
        metric="acc",
        text=lambda document: (
            f"{document['support'].lstrip()}\nQuestion: {document['question']}\nAnswer:"
        ),
        choices=_sciq_choices,
        target=lambda _: 3,
        hub=("allenai/sciq", "", "test"),
    ),
    "arc_easy": PaperTask(
        metric="acc",
        text=_prompt("Question: {question}\nAnswer:"),
        choices=_options,
        target=_answer_key,
        hub=("allenai/ai2_arc", "ARC-Easy", "test"),
    ),
    "arc_challenge": PaperTask(
        metric="pmi_dc",
        text=_prompt("Question: {question}\nAnswer:"),
        choices=_options,
        target=_answer_key,
        hub=("allenai/ai2_arc", "ARC-Challenge", "test"),
    ),
    "rte": PaperTask(
        metric="acc_norm",
        text=_prompt("{sentence1}\nQuestion: {sentence2} True or False?\nAnswer:"),
        choices=_fixed("True", "False"),
        hub=("nyu-mll/glue", "rte", "validation"),
    ),
    "cb": PaperTask(
        metric="acc",
        text=_prompt("{premise}\nQuestion: {hypothesis}. True, False, or Neither?\nAnswer:"),
        choices=_fixed("True", "False", "Neither"),
        hub=("aps/super_glue", "cb", "validation"),
    ),
    "copa": PaperTask(
        metric="acc",
        text=_copa_text,
        choices=_copa_choices,
        hub=("aps/super_glue", "copa", "validation"),
    ),
    "mrpc": PaperTask(
        metric="f1",
        text=_prompt(
            "Sentence 1: {sentence1}\nSentence 2: {sentence2}\n"
            "Question: Do both sentences mean the same thing?\nAnswer:"
        ),
        choices=_fixed("no", "yes"),  # 1 is "equivalent"
        hub=("nyu-mll/glue", "mrpc", "validation"),
    ),
    "sst2": PaperTask(
        metric="acc",
        text=_prompt("{sentence}\nQuestion: Is this sentence positive or negative?\nAnswer:"),
        choices=_fixed("negative", "positive"),
        hub=("nyu-mll/glue", "sst2", "validation"),
    ),
}


def check_document(name: str, document: Document) -> None:
    """Refuse a document that task `name` cannot use.

    Raises:
        ValueError: saying what is missing or out of range.
    """
    task = PAPER13[name]
    try:
        text, choices, target = task.text(document), task.choices(document), task.target(document)
    except KeyError as error:
        raise ValueError(f"no field {error}") from None
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"a field has another form than the original dataset's: {error}") from None
    right = text if task.shared else target
    if not (isinstance(right, int) and 0 <= right < len(choices)):
        raise ValueError(f"the right answer is {right!r}, of {len(choices)} choices")
    for part in (*choices, target if task.shared else text):
        if not (isinstance(part, str) and part):
            raise ValueError(f"a text that is empty, or none: {part!r}")
