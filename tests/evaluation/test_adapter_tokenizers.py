"""Requests of every kind of tokenizer as lm-eval's own `HFLM` makes them, and their scores."""

import json
import random

import pytest
from lm_eval.api.instance import Instance

from raydistill.core.errors import DataError
from raydistill.data.tokenizer import end_of_text_id
from raydistill.evaluation.lm_harness.adapter import DecoderLM
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained
from raydistill.models.huggingface.request_tokenizer import read_tokenizer, reading_of
from support.tokenizer_kinds import BEGIN, END, KINDS, save_kind

WORDS = ("go", "in", "peace", "unto", "the", "river", "old", "word", "is", "with", "thee")
PAIRS = (
    ("", " no way"),
    ("", "no way"),
    ("", f"{BEGIN} the river"),
    ("", f"{BEGIN}the"),
    ("in the old ", "river"),
    ("in the old  \n", "river"),
    ("in the riv", "er in the old"),
    ("in the morn", "ing , and the old"),
    (" the old", " man went away"),
    ("\n\nthe old", "\nman"),
    (f"{BEGIN} the", " old"),
    (f"{BEGIN}the", " old"),
    (f"{END} the", " old"),
    (f"the {BEGIN} river", " old"),
    (f"{BEGIN}", " old"),
    ("é ü 漢字", " 漢字 ?"),
)


def text(draw, longest):
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, longest)))


def requests_of(pairs, kind="loglikelihood"):
    return [
        Instance(request_type=kind, doc={}, arguments=pair, idx=index)
        for index, pair in enumerate(pairs)
    ]


def many_pairs():
    """Contexts of many lengths, some longer than the model's; one to five choices each."""
    draw = random.Random(0)
    return [
        (context, f" {text(draw, 8)}")
        for context in ["", *(text(draw, longest) for longest in (1, 5, 12, 25, 40, 90) * 3)]
        for _ in range(draw.randint(1, 5))
    ]


def ours_of(folder):
    decoder = load_pretrained(read_checkpoint(str(folder), "main")).eval()
    read = read_tokenizer(folder / "tokenizer.json", reading_of(folder))
    tokenizer, first = read.tokenizer, read.first_token
    first_id = tokenizer.token_to_id(first) if first else None
    return DecoderLM(decoder, tokenizer, end_of_text_id(tokenizer, folder), first_id=first_id)


def theirs_of(folder, **settings):
    from lm_eval.models.huggingface import HFLM

    # Its cache takes a wrong row where two splits of one text meet: "" + "a b" and "a" + " b".
    return HFLM(
        pretrained=str(folder), device="cpu", dtype="float32", logits_cache=False, **settings
    )


def assert_alike(ours, theirs, pairs):
    results = ours.loglikelihood(requests_of(pairs))
    expected = theirs.loglikelihood(requests_of(pairs), disable_tqdm=True)
    for pair, (nats, greedy), (other, other_greedy) in zip(pairs, results, expected, strict=True):
        assert nats == pytest.approx(other, abs=1e-4), pair
        assert greedy == other_greedy, pair


@pytest.mark.parametrize("kind", KINDS)
def test_requests_are_those_of_hflm_with_every_kind_of_tokenizer(kind, tmp_path):
    folder = save_kind(tmp_path, kind)
    pairs = [*PAIRS, *many_pairs()[:20]]
    if kind == "begins and ends":
        pairs = [pair for pair in pairs if not pair[0] or pair[0].startswith(BEGIN)]
    assert_alike(ours_of(folder), theirs_of(folder), pairs)


@pytest.mark.parametrize(
    "settings",
    [{}, {"legacy": True}, {"legacy": None}, {"add_prefix_space": False}],
    ids=["first", "always", "unset", "never"],
)
def test_a_llama_2_folder_has_the_spaces_of_transformers_own_class(settings, tmp_path):
    """Their file puts a space before " the" too, which transformers 5 does not."""
    folder = save_kind(tmp_path, "prepend", tokenizer_class="LlamaTokenizer", **settings)
    ours, theirs = ours_of(folder), theirs_of(folder)
    for text in ("", " the river", "the</s> river", "\nthe 漢  old", f"{BEGIN} the"):
        assert ours.tok_encode(text) == theirs.tok_encode(text)
    pairs = [pair for pair in [*PAIRS, *many_pairs()[:20]] if pair[0] != " the old"]
    assert_alike(ours, theirs, pairs)
    contexts = [(pair[0] or "the river", {"until": ["e "], "max_gen_toks": 12}) for pair in pairs]
    requests = requests_of(contexts, "generate_until")
    assert ours.generate_until(requests) == theirs.generate_until(requests, disable_tqdm=True)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {}),
        ("mistral", {"tokenizer_class": "LlamaTokenizer"}),
        ("llama", {"tokenizer_class": None}),
    ],
)
def test_other_folders_have_the_spaces_of_their_own_file(family, settings, tmp_path):
    folder = save_kind(tmp_path, "prepend", family, **settings)
    assert read_tokenizer(folder / "tokenizer.json", reading_of(folder)).unlike_file == ""
    assert ours_of(folder).tok_encode(" the </s> river") == theirs_of(folder).tok_encode(
        " the </s> river"
    )


def test_a_text_spells_tokens_that_the_configuration_alone_calls_special(tmp_path):
    folder = save_kind(tmp_path, "has one, does not begin")
    told = json.loads((folder / "tokenizer.json").read_text())
    told["added_tokens"] = [told["added_tokens"][0]]
    (folder / "tokenizer.json").write_text(json.dumps(told))
    ours, theirs = ours_of(folder), theirs_of(folder)
    assert ours.tok_encode(f"the {BEGIN}river{END}") == theirs.tok_encode(f"the {BEGIN}river{END}")
    assert_alike(ours, theirs, PAIRS)


def test_a_template_that_ends_texts_keeps_what_begins_them(tmp_path):
    both = ours_of(save_kind(tmp_path / "both", "begins and ends"))
    begun = theirs_of(save_kind(tmp_path / "begun", "begins"))
    assert both.tok_encode("the river") == begun.tok_encode("the river")
    assert_alike(both, begun, [*PAIRS, *many_pairs()[:20]])


def test_a_continuation_that_merges_with_its_context_is_still_scored(tmp_path):
    ours = ours_of(save_kind(tmp_path, "begins"))
    both = ours.tok_encode("the river")
    assert len(ours.tok_encode("the riv")) == len(both) == 3
    (merged, _), (apart, _) = ours.loglikelihood(
        requests_of([("the riv", "er"), ("the", " river")])
    )
    assert merged == pytest.approx(apart, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_answers_are_those_of_hflm(kind, tmp_path):
    folder = save_kind(tmp_path, kind)
    ours, theirs = ours_of(folder), theirs_of(folder)
    if kind == "begins and ends":
        theirs = theirs_of(save_kind(tmp_path / "begun", "begins"))
    settings = {"until": ["e ", "\n"], "max_gen_toks": 12}
    contexts = [(pair[0] or "the river", settings) for pair in PAIRS]
    answers = ours.generate_until(requests_of(contexts, "generate_until"))
    expected = theirs.generate_until(requests_of(contexts, "generate_until"), disable_tqdm=True)
    assert answers == expected


def test_a_token_beyond_the_model_s_entries_is_an_error_of_one_line(tmp_path):
    ours = ours_of(save_kind(tmp_path, "begins"))
    size = ours.model.config.vocab_size
    ours.tokenizer.add_special_tokens(["<new>"])
    message = rf"a task's text the id {size} \('<new>'\), the model has {size} entries"
    with pytest.raises(DataError, match=message):
        ours.loglikelihood(requests_of([("the", " <new>")]))
    with pytest.raises(DataError, match=message):
        ours.generate_until(requests_of([("the <new>", {})], "generate_until"))
    assert ours.loglikelihood(requests_of([("the", " river")]))
