"""Probes: copies of a base, and models of its shape with fresh weights, learn to label texts.

Both starts have one recipe, picked after a few trials of both (docs/tasks.md). What is learnt is
the whole model and a new head: a matrix and a bias on the mean of the last hidden states of a
text's tokens. Two texts are joined by the end-of-text token, which ends each. Padding is never
seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydistill.core.progress import tracked
from raydistill.data.corpus.heldout_documents import read_info
from raydistill.data.tokenizer import load_tokenizer
from raydistill.evaluation.probing.item_files import read_items
from raydistill.evaluation.probing.labelled_items import LabelledItem, ProbeItems
from raydistill.evaluation.probing.stored import EPOCHS, probe_key
from raydistill.models.decoder import Decoder, build
from raydistill.models.weights import config_of, load_weights
from raydistill.specs.evaluation import PRETRAINED, read_probe_score
from raydistill.specs.recipe import lr_at
from raydistill.specs.results import UnitScores
from raydistill.specs.shape.families import is_causal
from raydistill.specs.trial import Recipe
from raydistill.storage.store import Store
from raydistill.training.jobs import BaseJob
from raydistill.training.optimizers import optimizer_of

TUNING = "fine-tuning"  # the stage, as its progress names it
TEST_BATCH = 96

# Counted in items, where other recipes count in tokens.
RECIPE = Recipe(
    optimizer="adamw",
    peak_lr=3e-3,
    budget_tokens=0,  # set by the number of items
    batch_tokens=32,
    micro_batches=1,
    warmup_tokens=256,
    weight_decay=0.01,
)


def fine_tune(names: Sequence[str], base: Path, job: BaseJob, device: torch.device) -> None:
    """Fine-tune on probes, and store each accuracy by document once it is known.

    Args:
        names: of the accuracies, by `specs.evaluation.probe_score`; their items are made.
        base: the folder of the job's base, whose sha256 names the accuracies of both starts.
        job: what is measured.
        device: to learn on.

    Raises:
        UsageError: if there is no such probe.
    """
    store, spec = Store(Path(job.storage)), job.evaluation
    folder = store.path("corpora", job.corpus_sha256)
    corpus = read_info(folder)
    for name in tracked(names, TUNING, "", name=str):
        probe, start, seed = read_probe_score(name)
        model = load_weights(base).model if start == PRETRAINED else build(config_of(base), seed)
        items = read_items(probe, job.corpus_sha256, spec, store)
        scores = accuracy(model.to(device), items, folder=folder, seed=seed)
        store.save(scores, "scores", job.weights_sha256, f"{probe_key(name, corpus, spec)}.json")


def accuracy(model: Decoder, items: ProbeItems, *, folder: Path, seed: int) -> UnitScores:
    """The accuracy on the items to test on, by document, after fine-tuning on the others.

    Args:
        model: learns, on its device.
        items: of a probe.
        folder: the corpus, whose tokenizer reads them.
        seed: of the head and of the order of items; equal ones give equal accuracies.
    """
    read, random = _Reader(folder, model), torch.Generator().manual_seed(seed)
    train, test = ([read.item(item) for item in side] for side in (items.train, items.test))
    head = nn.utils.skip_init(nn.Linear, model.config.dim, items.labels)
    with torch.no_grad():
        head.weight.normal_(std=model.config.dim**-0.5, generator=random)
        head.bias.zero_()
    head.to(read.device)
    recipe = replace(RECIPE, budget_tokens=EPOCHS * len(train))
    learning = [p for p in (*model.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = optimizer_of(learning, recipe)
    model.train()
    batches = list(_batches(train, recipe.batch_tokens, random))
    for step, batch in enumerate(tracked(batches, "", ""), 1):
        optimizer.set_lr(lr_at(recipe, step * recipe.batch_tokens))
        optimizer.zero_grad()
        texts = read.padded(batch)
        F.cross_entropy(head(read.means(texts)), texts.labels_B).backward()
        nn.utils.clip_grad_norm_(learning, recipe.grad_clip)
        optimizer.step()
    right = _right_answers(read, head, test)
    units = tuple(dict.fromkeys(item.unit for item in items.test))
    of_unit = {unit: [0, 0] for unit in units}
    for item, is_right in zip(items.test, right, strict=True):
        of_unit[item.unit][0] += is_right
        of_unit[item.unit][1] += 1
    return UnitScores(
        units=units,
        sums=tuple(float(of_unit[unit][0]) for unit in units),
        counts=tuple(of_unit[unit][1] for unit in units),
        chance=items.chance,
    )


class _Texts(NamedTuple):
    """Items as a model reads them, padded on the right."""

    ids_BT: Tensor  # int64
    real_BT: Tensor  # bool, whether it is no padding
    labels_B: Tensor  # int64


class _Item(NamedTuple):
    """An item in tokens."""

    ids: list[int]
    label: int


class _Reader:
    """Reads items with the tokenizer of a corpus, for a model."""

    def __init__(self, folder: Path, model: Decoder) -> None:
        corpus = read_info(folder)
        self.model, self.device = model, next(model.parameters()).device
        self.tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.begin, self.end = list(corpus.begin_ids), corpus.end_of_text_id

    def item(self, item: LabelledItem) -> _Item:
        """An item in tokens; each of its texts loses its end where both would not fit."""
        most = (self.model.config.context - len(self.begin)) // len(item.texts) - 1
        ids = list(self.begin)
        for text in item.texts:
            ids += [*self.tokenizer.encode(text, add_special_tokens=False).ids[:most], self.end]
        return _Item(ids, item.label)

    def padded(self, items: Sequence[_Item]) -> _Texts:
        """Items as the rows of a batch."""
        rows = [torch.tensor(item.ids) for item in items]
        ids_BT = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.end)
        lengths_B = torch.tensor([len(row) for row in rows])
        return _Texts(
            ids_BT.to(self.device),
            (torch.arange(ids_BT.shape[1]) < lengths_B[:, None]).to(self.device),
            torch.tensor([item.label for item in items]).to(self.device),
        )

    def means(self, texts: _Texts) -> Tensor:
        """The mean hidden state of each item's tokens, float [B, D]."""
        real_BT, visible_BTT = texts.real_BT, None
        if not is_causal(self.model.config.family):  # else none sees the padding behind it
            visible_BTT = real_BT[:, None].expand(-1, real_BT.shape[1], -1)
        hidden_BTD = self.model.hidden(texts.ids_BT, visible_BTT=visible_BTT).float()
        total_BD = (hidden_BTD * real_BT[..., None]).sum(dim=1)
        return total_BD / real_BT.sum(dim=1, keepdim=True)


def _batches(
    items: Sequence[_Item], size: int, random: torch.Generator
) -> Iterator[Sequence[_Item]]:
    """The batches of all epochs, each in an order of its own."""
    for _ in range(EPOCHS):
        order = torch.randperm(len(items), generator=random).tolist()
        for start in range(0, len(items), size):
            yield [items[place] for place in order[start : start + size]]


@torch.inference_mode()
def _right_answers(read: _Reader, head: nn.Module, items: Sequence[_Item]) -> list[bool]:
    """Whether the likeliest label of each item is its own."""
    right = [False] * len(items)
    by_length = sorted(range(len(items)), key=lambda place: len(items[place].ids))
    with read.model.evaluating():
        for start in range(0, len(items), TEST_BATCH):
            places = by_length[start : start + TEST_BATCH]
            texts = read.padded([items[place] for place in places])
            answers_B = head(read.means(texts)).argmax(dim=-1) == texts.labels_B
            for place, is_right in zip(places, answers_B.tolist(), strict=True):
                right[place] = is_right
    return right
