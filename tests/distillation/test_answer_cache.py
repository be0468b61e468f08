"""A teacher's answers: written once, read by all, refused where they are not those needed."""

import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from raydistill.core.errors import DataError, SetupError, UsageError
from raydistill.core.parts import EXCERPT, part_names
from raydistill.core.serialization import from_json, to_json
from raydistill.data.batches import TokenFile
from raydistill.distillation.answer_cache import ANSWERS, cached_teacher, windows_of
from raydistill.distillation.answer_files import WrittenSpec
from raydistill.distillation.answers import WholeAnswer
from raydistill.models.decoder import build
from raydistill.specs.corpus import CorpusInfo
from raydistill.storage import lock
from raydistill.storage.lock import Holder
from raydistill.storage.manifest import write_text
from raydistill.storage.sharing import CLAIMS
from raydistill.storage.store import Store
from support import tiny
from support.stages import reports_of

CONTEXT, VOCAB = 8, 32
SPEC = WrittenSpec(
    teacher_sha256="t", corpus_sha256="c", tokenizer_sha256="k", context=CONTEXT,
    vocab_size=VOCAB, excerpt="threshold", size=6,
)  # fmt: skip
FORMS = part_names(EXCERPT)


@pytest.fixture
def tokens(tmp_path):
    ids = torch.randint(0, VOCAB, (20 * CONTEXT + 1,), generator=torch.Generator().manual_seed(1))
    ids.numpy().astype("<u2").tofile(tmp_path / "train.bin")
    info = CorpusInfo(
        name="random", corpus_sha256="c", tokenizer_sha256="k", vocab_size=VOCAB, token_bytes=2,
        train_tokens=len(ids), heldout_tokens=0, train_documents=1, heldout_documents=0,
    )  # fmt: skip
    (tmp_path / "corpus.json").write_text(to_json(info))
    return TokenFile(tmp_path, CONTEXT)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def model():
    return build(tiny.CONFIG, 5).requires_grad_(False)


def no_teacher():
    pytest.fail("the teacher was loaded")


def folders(store, spec=SPEC):
    return sorted(p for p in store.path(ANSWERS, spec.key).iterdir() if p.is_dir())


def answers_to(windows, tokens, store, *, spec=SPEC, teacher=model, **settings):
    settings = {"cap_bytes": 1e9} | settings
    return cached_teacher(spec, windows, tokens=tokens, teacher=teacher, store=store, **settings)


def claim(store):
    return store.path(CLAIMS, f"{ANSWERS}-{SPEC.key}.json")


def kl_of(answer, seed=0):
    student = torch.randn(3, CONTEXT, VOCAB, generator=torch.Generator().manual_seed(seed))
    student.requires_grad_()
    value = answer.kl(student, torch.zeros(3, CONTEXT, dtype=torch.long))
    value.backward()
    return value.detach(), student.grad


@pytest.mark.parametrize("name", sorted({*FORMS} - {"sampled"}))
def test_all_ids_written_are_the_teacher_to_half_precision(tokens, store, name):
    spec = replace(SPEC, excerpt=name, size=VOCAB)
    answer = answers_to([4, 0, 7], tokens, store, spec=spec).answer([7, 0, 4])
    logits = model()(tokens.windows([7, 0, 4])[:, :-1])
    torch.testing.assert_close(kl_of(answer), kl_of(WholeAnswer(logits)), rtol=2e-2, atol=1e-4)


@pytest.mark.parametrize("name", FORMS)
def test_an_answer_does_not_depend_on_the_other_windows_of_a_batch(tokens, store, name):
    spec = replace(SPEC, excerpt=name)
    alone = answers_to([3], tokens, store, spec=spec).answer([3])
    among = answers_to(range(20), tokens, store, spec=spec).answer([9, 3, 0])
    own = slice(CONTEXT, 2 * CONTEXT)
    for window, first in ((alone.teacher, slice(0, CONTEXT)), (among.teacher, own)):
        weights = torch.zeros(CONTEXT, VOCAB)
        weights.scatter_add_(-1, window.ids[first], window.weights[first])
        if window is alone.teacher:
            expected = weights
    torch.testing.assert_close(weights, expected)


def test_another_seed_adds_only_what_is_missing(tokens, store):
    answers_to([1, 2, 3], tokens, store)
    answers_to([2, 3, 4], tokens, store)
    written = answers_to([1, 2, 3, 4], tokens, store, teacher=no_teacher)
    sizes = sorted(len(np.fromfile(f / "windows.bin", dtype="<i8")) for f in folders(store))
    assert sizes == [1, 3]
    assert sorted(written.rows) == [1, 2, 3, 4]


def test_writing_answers_says_how_far_it_is(tokens, store, monkeypatch):
    monkeypatch.setattr("raydistill.distillation.answer_cache._BATCH_LOGITS", 1)
    with reports_of("caching the teacher's answers") as shares:
        answers_to([1, 2, 3, 4], tokens, store)
    assert shares == [0, 0.25, 0.5, 0.75, 1]


def test_a_window_that_was_not_written_is_named(tokens, store):
    with pytest.raises(LookupError, match="window 5 were not written"):
        answers_to([1], tokens, store).answer([1, 5])


def test_a_training_asks_for_the_windows_after_its_warm_phase(tokens, store):
    train = tiny.SPEC
    windows = windows_of(train, tokens)
    recipe = train.recipe
    written = answers_to(windows, tokens, store)
    per_step = recipe.batch_tokens // CONTEXT
    for step in range(recipe.warm_phase_tokens // recipe.batch_tokens, recipe.total_steps):
        written.answer(tokens.numbers(train.seed, step, per_step))
    no_budget = replace(recipe, budget_tokens=0)
    assert windows_of(replace(train, recipe=no_budget), tokens) == []


def test_answers_to_another_corpus_are_refused(tokens, store):
    other = replace(SPEC, corpus_sha256="d")
    with pytest.raises(DataError, match="windows of 8 tokens of the corpus d, not of 8 of c"):
        answers_to([1], tokens, store, spec=other, teacher=no_teacher)


@pytest.mark.parametrize(
    ("field", "value"),
    [("teacher_sha256", "u"), ("tokenizer_sha256", "l"), ("size", 7), ("temperature", 2.0)],
)
def test_another_teacher_tokenizer_or_excerpt_is_another_folder(tokens, store, field, value):
    answers_to([1], tokens, store)
    other = replace(SPEC, **{field: value})
    with pytest.raises(pytest.fail.Exception):
        answers_to([1], tokens, store, spec=other, teacher=no_teacher)
    source, target = (store.path(ANSWERS, spec.key) for spec in (SPEC, other))
    shutil.copytree(source, target, dirs_exist_ok=True)
    with pytest.raises(DataError, match=f"was written for {field} .*, not {value}"):
        answers_to([1], tokens, store, spec=other, teacher=no_teacher)


def test_a_changed_file_is_refused(tokens, store):
    answers_to([1], tokens, store)
    path = folders(store)[0] / "log_p.bin"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"log_p.bin does not have the sha256"):
        answers_to([1], tokens, store, teacher=no_teacher)


@pytest.mark.parametrize("name", FORMS)
def test_the_disk_space_is_estimated_before(tokens, store, name):
    spec = replace(SPEC, excerpt=name)
    answers_to(range(20), tokens, store, spec=spec)
    written = sum(f.stat().st_size for f in folders(store, spec)[0].glob("*.bin"))
    assert written <= 20 * spec.window_bytes
    assert name == "sampled" or written == 20 * spec.window_bytes


def test_over_the_cap_one_line_has_size_and_cap_and_nothing_is_computed(tokens, store):
    answers_to(range(10), tokens, store)
    cap = 15 * SPEC.window_bytes
    answers_to(range(15), tokens, store, cap_bytes=cap)
    with pytest.raises(
        SetupError, match=r"1 windows need .* GB beside .* GB .* the cap is"
    ) as error:
        answers_to(range(16), tokens, store, cap_bytes=cap, teacher=no_teacher)
    assert "\n" not in str(error.value)


def test_two_at_once_load_one_teacher_and_both_end_well(tokens, store):
    loads, answers = [], []
    both = threading.Barrier(2)

    def teacher():
        loads.append(1)
        return model()

    def ask():
        both.wait()
        answers.append(answers_to(range(20), tokens, store, teacher=teacher).answer([3, 9, 1]))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    torch.testing.assert_close(*map(kl_of, answers))


def test_a_writer_that_hangs_is_not_waited_for_and_ends_well_once_it_goes_on(
    tokens, store, monkeypatch
):
    monkeypatch.setattr(lock, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(lock, "HUNG_AFTER_S", 0.2)
    began, goes_on, answers = threading.Event(), threading.Event(), []

    def hung():
        began.set()
        assert goes_on.wait(20)
        return model()

    def ask():
        answers.append(answers_to([1, 2, 3], tokens, store, teacher=hung).answer([3, 2, 1]))

    thread = threading.Thread(target=ask)
    thread.start()
    assert began.wait(20)
    answers.append(answers_to([1, 2, 3], tokens, store).answer([3, 2, 1]))
    goes_on.set()
    thread.join()
    assert len(folders(store)) == 1
    torch.testing.assert_close(*map(kl_of, answers))


def test_two_writers_of_the_same_windows_leave_one_folder(tokens, store):
    """Should both believe that they hold the claim."""

    def second():
        claim(store).unlink()
        answers_to([1, 2, 3], tokens, store)
        return model()

    written = answers_to([1, 2, 3], tokens, store, teacher=second)
    assert len(folders(store)) == 1
    written.answer([1, 2, 3])


def test_the_claim_of_a_dead_writer_is_taken_over(tokens, store):
    def note_holder():
        holders.append(from_json(Holder, claim(store).read_text()))
        return model()

    holders = []
    answers_to([1], tokens, store, teacher=note_holder)
    write_text(claim(store), to_json(replace(holders[0], born="1")))
    answers_to([2], tokens, store, teacher=note_holder)
    assert [p.name for p in store.path(ANSWERS).iterdir()] == [SPEC.key]


def test_a_writer_that_fails_leaves_nothing_half(tokens, store):
    def broken(inputs_BT):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        answers_to([1], tokens, store, teacher=lambda: broken)
    assert folders(store) == []
    answers_to([1], tokens, store).answer([1])


def test_large_vocabularies_have_wide_ids(tokens, store):
    spec = replace(SPEC, vocab_size=70_000)
    wide = torch.randn(1, CONTEXT, 70_000, generator=torch.Generator().manual_seed(0))
    wide[..., 69_999] += 20
    written = answers_to([1], tokens, store, spec=spec, teacher=lambda: lambda inputs_BT: wide)
    answer = written.answer([1])
    assert (answer.teacher.ids == 69_999).any(-1).all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("excerpt", "topk", r"no excerpt 'topk'. Did you mean 'top-k'\?"),
        ("size", 0, "an excerpt of 0 ids a token: from 1 to 65,535"),
        ("size", 70_000, "from 1 to 65,535"),
    ],
)
def test_an_excerpt_that_cannot_be_is_refused(field, value, message):
    with pytest.raises(UsageError, match=message):
        replace(SPEC, **{field: value})
