"""Several texts in one sweep: each size reads its own, and no plan takes one for another."""

from dataclasses import replace

import pytest

from raydistill.cli.arguments.sweep_flags import plan_of
from raydistill.cli.arguments.sweep_parser import sweep_parser
from raydistill.core.errors import UsageError
from raydistill.core.units import B
from raydistill.data.corpus.request import scales_by_text
from raydistill.data.known_corpora import UNTOKENISED
from raydistill.planning.artifacts import find_artifacts, texts_read
from raydistill.planning.cell import BaseRequest, teacher_named
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.dry_run import describe
from raydistill.planning.resolve import distinct
from raydistill.planning.sweep import Sweep
from raydistill.specs.corpus import EMBEDDED_TEXTS
from raydistill.specs.scale import load_scale
from raydistill.storage.bundled import shipped_bases
from raydistill.storage.store import Store
from support.texts import essays, write_txt

SIZES = ("smoke", "smoke+text=bbe", "smoke+text=bbe+width=16", "smoke+text=bbe-1000")


def sweep_of(*sizes):
    def trial(scale, size):
        return scale.trial(age=80 * B, location="none", count=0)

    return Sweep(name="texts", question="Which?", axes={"size": sizes}, trial=trial)


def planned(tmp_path, *flags, sizes=SIZES):
    words = ["--scale", "smoke", "--storage", str(tmp_path / "storage"), *flags]
    sweep = sweep_of(*sizes)
    return plan_of(sweep, sweep_parser(sweep).read(words), "python x.py")


def words_file(tmp_path):
    (tmp_path / "words.txt").write_text("the\n")
    return str(tmp_path / "words.txt")


def test_a_name_says_which_text_is_read():
    scale = load_scale("laptop+width=32+text=bbe-2000")
    assert (scale.name, scale.corpus) == ("laptop+text=bbe-2000+width=32", "bbe-2000")
    assert load_scale("laptop+text=embedded") == load_scale("laptop")
    assert all(load_scale(f"smoke+text={name}").corpus == name for name in EMBEDDED_TEXTS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("text=bb", "no text 'bb'. Did you mean 'bbe'"),
        ("text=bbe+text=smoke", "it gives text twice"),
    ],
)
def test_a_name_of_no_text_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        load_scale(f"smoke+{settings}")


def test_scales_are_put_together_by_what_they_read():
    names = (*SIZES, "laptop", "laptop_small")
    alike = scales_by_text([load_scale(name) for name in names])
    assert [[scale.name for scale in group] for group in alike] == [
        ["smoke"], ["smoke+text=bbe", "smoke+text=bbe+width=16"], ["smoke+text=bbe-1000"],
        ["laptop", "laptop_small"],
    ]  # fmt: skip


def test_a_text_that_trains_its_tokenizer_is_another_with_another_vocabulary():
    small = load_scale("smoke+text=bbe")
    large = replace(small, name="large", model=replace(small.model, vocab_size=4_096))
    assert len(scales_by_text([small, large])) == 2
    on_shipped = [replace(scale, corpus="smoke") for scale in (small, large)]
    assert len(scales_by_text(on_shipped)) == 1


def test_trials_on_texts_that_are_not_made_yet_are_no_one_trial(tmp_path):
    plan = planned(tmp_path)
    prepared = prepare(plan, Store(tmp_path / "storage"))
    assert len(prepared.trials) == len(SIZES)
    corpora = [trial.trial.train.corpus_sha256 for trial in prepared.trials]
    assert corpora[0] == UNTOKENISED.corpus_sha256
    assert [corpora.index(corpus) for corpus in corpora] == [0, 1, 1, 3]


def test_a_text_that_no_cell_reads_is_not_asked_for(tmp_path):
    plan = planned(tmp_path, sizes=("smoke+text=bbe-1000",))
    assert [scale.name for scale, *_ in texts_read(plan.scale, plan.cells)] == [
        "smoke+text=bbe-1000"
    ]


def test_of_one_text_the_shipped_bases_name_the_corpus_of_all_sizes(tmp_path):
    sizes = ("laptop+width=32", "laptop", "laptop_small")
    cells = sweep_of(*sizes).cells(load_scale("laptop"))
    artifacts = find_artifacts(load_scale("laptop"), cells, Store(tmp_path))
    (shipped,) = shipped_bases(load_scale("laptop"))
    corpora = {trial.trial.train.corpus_sha256 for trial in distinct(cells, artifacts)}
    assert corpora == {shipped.corpus_sha256}


def test_flags_name_the_text_of_the_sizes_that_name_none(tmp_path):
    text = write_txt(tmp_path / "a.txt", essays())
    flags = ("--corpus", str(text), "--words", words_file(tmp_path))
    plan = planned(tmp_path, *flags)
    corpora = {cell.scale.name: cell.scale.corpus for cell in plan.cells}
    assert corpora["smoke"] == str(text)
    assert {corpora[name] for name in SIZES[1:]} == {"bbe", "bbe-1000"}
    assert [bool(cell.scale.words) for cell in plan.cells] == [True, False, False, False]


def test_a_plan_says_what_each_text_is(tmp_path):
    plan = planned(tmp_path, "--corpus", "embedded")
    shown = " ".join(describe(prepare(plan, Store(tmp_path / "storage")), width=120).split())
    assert "corpora embedded, bbe, bbe-1000" in shown
    assert "embedded: 4.268M training tokens" in shown
    assert "bbe: 1.005M training tokens" in shown
    assert "bbe-1000: 329.522K training tokens" in shown
    assert "flags that name a text are for the others" in shown


@pytest.mark.parametrize("flag", ["--corpus", "--words", "--heldout"])
def test_a_scale_and_a_flag_do_not_both_name_a_text(tmp_path, flag):
    value = {"--words": words_file(tmp_path)}.get(flag, "smoke")
    sweep = sweep_of("smoke+text=bbe")
    words = ["--scale", "smoke+text=bbe", "--storage", str(tmp_path), flag, value]
    with pytest.raises(UsageError, match=r"names its text, and --\w+ another"):
        plan_of(sweep, sweep_parser(sweep).read(words), "python x.py")


def test_a_flag_that_no_size_would_read_is_refused(tmp_path):
    words = ["--storage", str(tmp_path), "--corpus", "smoke", "--scale", "smoke"]
    sweep = sweep_of("smoke+text=bbe", "smoke+text=bbe-1000")
    with pytest.raises(
        UsageError, match=r"smoke\+text=bbe and 1 more name their text, and --corpus"
    ):
        plan_of(sweep, sweep_parser(sweep).read(words), "python x.py")


@pytest.mark.parametrize(
    "sizes", ["smoke+text=smoke,smoke+width=16", "smoke+width=16,smoke+text=smoke"]
)
def test_the_text_that_a_scale_has_anyway_does_not_give_way_to_a_flag(tmp_path, sizes):
    with pytest.raises(UsageError) as caught:
        planned(tmp_path, "--corpus", "bbe", "--size", sizes)
    assert str(caught.value) == (
        "smoke+text=smoke names the text that smoke reads anyway, and --corpus another for smoke: "
        "leave one of them out"
    )
    sweep = sweep_of("smoke")
    words = ["--scale", "smoke+text=smoke", "--storage", str(tmp_path), "--corpus", "bbe"]
    with pytest.raises(UsageError, match=r"^smoke\+text=smoke names its text, and --corpus"):
        plan_of(sweep, sweep_parser(sweep).read(words), "python x.py")


def test_a_teacher_reads_the_text_of_its_student():
    student = BaseRequest(scale=load_scale("smoke+text=bbe"), age=320 * B)
    assert teacher_named("smoke+text=bbe+width=64@320B", student).scale.corpus == "bbe"
    for name in ("smoke@320B", "smoke+text=bbe-1000@320B"):
        with pytest.raises(UsageError, match="has another tokenizer: scale"):
            teacher_named(name, student)


def test_a_teacher_of_another_vocabulary_has_no_tokenizer_in_common():
    own = load_scale("smoke+text=bbe")
    larger = replace(own, model=replace(own.model, vocab_size=4_096))
    student = BaseRequest(scale=larger, age=320 * B)
    with pytest.raises(UsageError, match="has another tokenizer: of 2048 entries"):
        teacher_named("smoke+text=bbe+width=64@320B", student)
