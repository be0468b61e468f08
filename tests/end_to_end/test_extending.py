"""What docs/extending.md shows works as it stands there: each part alone, and all in one sweep."""

import re

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from raydistill.core.parts import KINDS, MODEL_FAMILY, SCORE, load_part, part_names
from raydistill.data.documents import Document, Passages
from raydistill.distillation.answers import SparseAnswer, WholeAnswer
from raydistill.distillation.excerpt import load_form
from raydistill.distillation.loss import load_loss, load_view
from raydistill.evaluation.probing import labelled_items
from raydistill.evaluation.text_tasks import choose_items
from raydistill.laws.fitting import fit
from raydistill.laws.points import Points
from raydistill.models.decoder import build
from raydistill.specs.flops import parameters
from raydistill.specs.model import ModelConfig
from raydistill.specs.scale import load_scale
from support import sweeping, tiny
from support.extending import BLOCKS
from support.printed import commands_in

CONFIG = ModelConfig(family="geglu", num_layers=3, dim=16, num_heads=2, vocab_size=11, context=12)
TARGETS_BT = torch.randint(0, 11, (2, 5), generator=torch.Generator().manual_seed(9))


@pytest.fixture
def folder(own_parts):
    return own_parts(BLOCKS)


def logits(seed):
    values = torch.randn(2, 5, 11, generator=torch.Generator().manual_seed(seed))
    return values.requires_grad_(seed == 0)


def test_the_page_shows_a_part_of_every_kind_that_needs_one(folder):
    own = {kind.name for kind in KINDS for name in part_names(kind) if shown(kind, name)}
    assert own == {"form", "loss", "probe", "score", "task", "scale", "model"}
    assert "sweeps/decay.py" in BLOCKS


def shown(kind, name):
    return f"{kind.folder}/{name.replace('-', '_')}.py" in BLOCKS


def test_the_score_of_a_block_that_changes_nothing_is_0(folder):
    model = build(CONFIG, 0)
    with torch.no_grad():
        for block, factor in zip(model.blocks, (0, 1, 0), strict=True):
            for weight in block.fused_out.parameters():
                weight.mul_(factor)
    values = load_part(SCORE, "relative-change", "score")(model, [torch.arange(10)[None] % 11])
    assert values.shape == (3,)
    assert (values > 0).tolist() == [False, True, False]


def test_the_reverse_kl_vanishes_at_equality_and_weighs_as_its_setting_says(folder):
    student = logits(0)
    lm = cross_entropy(student.flatten(0, 1), TARGETS_BT.flatten())
    value = load_loss("reverse-kl+alpha=0.25")(
        student, TARGETS_BT, lambda: WholeAnswer(student.detach())
    )
    torch.testing.assert_close(value, 0.75 * lm)
    q, p = (logits(seed).flatten(0, 1).log_softmax(-1) for seed in (0, 1))
    reverse = load_loss("reverse-kl+alpha=1")
    expected = (q.exp() * (q - p)).sum(-1).mean()
    torch.testing.assert_close(
        reverse(student, TARGETS_BT, lambda: WholeAnswer(logits(1))), expected
    )


def test_the_soft_targets_are_the_same_of_a_cached_teacher_that_keeps_all_ids(folder):
    loss, log_p_NV = load_loss("soft-targets"), logits(1).log_softmax(-1).flatten(0, 1)
    form = load_form("top-k")
    known = form.known(form.take(log_p_NV, 11, torch.Generator()), 11)
    whole = loss(logits(0), TARGETS_BT, lambda: WholeAnswer(logits(1)))
    torch.testing.assert_close(loss(logits(0), TARGETS_BT, lambda: SparseAnswer(known, 11)), whole)
    q_NV = logits(0).log_softmax(-1).flatten(0, 1)
    torch.testing.assert_close(whole, -(log_p_NV.exp() * q_NV).sum(-1).mean())


def test_the_sigmoid_is_found_again_and_has_intervals(folder):
    sizes = np.repeat(np.geomspace(1.0, 1000.0, 8), 2)
    scores = 0.8 / (1 + (sizes / 30) ** -1.5) + 0.01 * np.random.default_rng(1).standard_normal(16)
    names = tuple(f"run-{i}" for i in range(16))
    law = fit("sigmoid", Points(inputs={"x": sizes}, outputs=scores, names=names))
    for name, planted in (("ceiling", 0.8), ("middle", 30), ("slope", 1.5)):
        assert law.parameters[name].low < planted < law.parameters[name].high
    assert law.starts.agreeing > 5


def test_the_smoothed_loss_asks_no_teacher(folder):
    plain = load_loss("smoothed+smoothing=0")(logits(0), TARGETS_BT, pytest.fail)
    lm = load_loss("lm")(logits(0), TARGETS_BT, pytest.fail)
    torch.testing.assert_close(plain, lm)
    assert load_loss("smoothed")(logits(0), TARGETS_BT, pytest.fail) != lm


def test_a_view_tells_the_token_after_the_next(folder):
    batch = tiny.batch_of(0)
    view = load_view("two-ahead")(batch)
    assert view.inputs.equal(batch.ids[:, :7])
    assert view.targets.equal(batch.ids[:, 2:])
    assert load_view("two-ahead+ahead=8")(batch).targets.equal(batch.ids[:, 8:])


def test_the_task_asks_for_what_follows_in_the_text(folder):
    text = " ".join(f"This is sentence number {i}." for i in range(9))
    documents = [Document(collection="c", unit=f"u{n}", text=text) for n in range(4)]
    items = choose_items("next-sentence", documents)
    assert len(items) == 24
    for item in items:
        assert f"{item.context} {item.choices[item.answer]}" in text
        assert len(set(item.choices)) == 4
    assert not choose_items("next-sentence", [Document(collection="c", unit="u", text="Short.")])


def test_the_probe_asks_who_speaks_without_the_word_that_says_so(folder):
    texts = tuple(
        f"And then the king {word} to the old man of the city number {n}"
        for n in range(9)
        for word in ("said", "went")
    )
    documents = [Passages(collection="c", unit=f"u{n}", texts=texts) for n in range(4)]
    items = labelled_items.choose_items("who-speaks", documents, 40)
    assert [item.label for item in items].count(1) == 20
    assert len(items) == 40
    assert all(("went" in item.texts[0]) != bool(item.label) for item in items)
    assert not any("said" in item.texts[0] for item in items)


def test_the_scale_has_the_model_of_another_and_a_recipe_of_its_own(folder):
    scale, smoke = load_scale("tiny"), load_scale("smoke")
    assert (scale.model, scale.count) == (smoke.model, 1)
    assert (scale.heal.optimizer, smoke.heal.optimizer) == ("adamw", "lion")


def test_the_decoder_keeps_to_what_a_decoder_is(folder):
    assert "geglu" in part_names(MODEL_FAMILY)
    model = build(CONFIG, 0)
    assert sum(p.numel() for p in model.parameters()) == parameters(CONFIG)
    tokens_BT = torch.arange(12)[None] % 11
    changed_BT = tokens_BT.clone()
    changed_BT[0, 7] = 10
    before, after = model(tokens_BT), model(changed_BT)
    assert before.shape == (1, 12, 11)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7:], after[:, 7:])
    states, _ = model.states(tokens_BT)
    weights = model.attention(1, states[1]).exp().tril()
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 12))
    with model.skipping([1]):
        assert len(model.blocks) == 2
        assert not torch.equal(model(tokens_BT), before)


def test_the_sweep_crosses_its_three_axes(folder, tmp_path):
    words = ("sweep", "decay", "--parts", folder, "--scale", "tiny", "--dry-run")
    done = sweeping.command(tmp_path / "storage", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "distinct trials 12" in done.stdout
    one = sweeping.command(tmp_path / "storage", *words, "--lr", "1e-4", "--weight_decay", "0")
    assert "distinct trials 3" in one.stdout


FAILING = {
    "losses/fails.py": """

        def loss(logits_BTV, targets_BT, ask):
            raise KeyError(__file__)
        """,
    "scores/breaks.py": "def score(model, batches_BT): return 1 / len(())",
}


def test_all_of_it_in_one_sweep_on_workers_that_have_the_folder_from_ray(
    own_parts, prepared, ray_address, tmp_path
):
    """A loss and a score fail: each is told by file and line after one try, and stops no other."""
    folder, storage = own_parts(BLOCKS | FAILING), prepared(tmp_path / "storage")
    done = sweeping.command(
        storage, "sweep", "where_to_drop", "--parts", folder, "--scale", "tiny", "--age", "320B",
        "--location", "relative-change,breaks", "--loss", "reverse-kl+alpha=0.3,smoothed,fails",
        "--tasks", "next-sentence", "--concurrent", "1", "--yes",
        RAY_ADDRESS=ray_address,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    table = (storage / "sweeps/where_to_drop/tiny/table.md").read_text()
    assert re.search(r"reverse-kl\b.*0\.3", table)
    failure = r"failed in training after 1 try: losses/fails\.py:4: KeyError: .*py.?_modules"
    assert re.search(failure, table)
    assert re.search(failure, (storage / "sweeps/where_to_drop/tiny/report.html").read_text())
    scoring = "failed in scoring layers after 1 try: scores/breaks.py:1: ZeroDivisionError: div"
    assert scoring in table
    failed = {path.parent.name: path.read_text() for path in storage.glob("trials/*/failure.json")}
    assert len(failed) == 4  # a loss, and a score beside each of three losses
    shown = [sweeping.command(storage, "show", name, "--parts", folder).stdout for name in failed]
    assert sum("losses/fails.py:4: KeyError" in text for text in shown) == 1
    assert sum("return 1 / len(())\n" in text for text in shown) == 3
    (command,) = (storage / "sweeps/where_to_drop/tiny/command.txt").read_text().splitlines()
    assert f"--parts {folder}" in command
    *going_on, job = [line for line in commands_in(done.stdout) if "where_to_drop" in line]
    assert going_on
    assert all(f"--parts {folder}" in line for line in going_on)
    assert job.startswith(f"ray job submit --working-dir {folder} -- ")
