"""Tokenizers of each kind that checkpoints come with, tiny, beside a model of random weights."""

import json

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from support.hub_models import fresh

LINES = [
    "a boat went down the river in the morning , and the old man went with it",
    "the road to the old mill was long and cold ; nobody went there in the night",
    "in the beginning there was the word , and the word was with the river",
] * 4
BEGIN, END = "<s>", "</s>"


def byte_level():
    """GPT-2's kind: bytes, a space before a word belongs to it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, pre_tokenizers.ByteLevel.alphabet())


def metaspace(scheme):
    """Sentencepiece's kind: spaces are ▁, and `scheme` says where one is put before a text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme=scheme)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return trained(tokenizer, [])


def prepend():
    """Llama 2's own file: a normalizer puts ▁ before every text and for every space."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return trained(tokenizer, [])


def unigram():
    """T5's and XGLM's kind: the likeliest pieces."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace("▁", prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>", BEGIN, END], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def wordpiece():
    """BERT's kind: words are split at spaces and signs, and what is not known is one token."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=160, special_tokens=["<unk>", BEGIN, END], show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def trained(tokenizer, alphabet):
    byte_tokens = [] if alphabet else [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<unk>", BEGIN, END, *byte_tokens],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    if byte_tokens:  # entries, not tokens that a text can spell
        told = json.loads(tokenizer.to_str())
        told["added_tokens"] = told["added_tokens"][:3]
        tokenizer = Tokenizer.from_str(json.dumps(told))
    return tokenizer


def begins(tokenizer, ends=False):
    """The tokenizer with `<s>` before every text, and `</s>` after it if it `ends`."""
    names = [BEGIN, END] if ends else [BEGIN]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}" if ends else f"{BEGIN} $A",
        pair=f"{BEGIN} $A {BEGIN} $B",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in names],
    )
    return tokenizer


KINDS = {
    "begins": (lambda: begins(byte_level()), BEGIN),
    "has one, does not begin": (byte_level, BEGIN),
    "has none": (byte_level, None),
    "begins and ends": (lambda: begins(byte_level(), ends=True), BEGIN),
    "one token for both": (byte_level, END),
    "first": (lambda: begins(metaspace("first")), BEGIN),
    "always": (lambda: begins(metaspace("always")), BEGIN),
    "prepend": (lambda: begins(prepend()), BEGIN),
    "unigram": (unigram, BEGIN),
    "unigram, begins": (lambda: begins(unigram()), BEGIN),
    "wordpiece": (lambda: begins(wordpiece()), BEGIN),
}
"""The tokenizer of each kind and its `bos_token`; the `eos_token` is `</s>`."""

OF_PIECES = {"first", "always", "prepend", "unigram", "unigram, begins", "wordpiece"}
BEGUN = {"begins", "begins and ends", *OF_PIECES} - {"unigram"}
"""Those that are not of bytes; those that put `<s>` before every text."""


def save_kind(folder, kind, family="llama", positions=64, **settings):
    """A folder of a model of `family` with a tokenizer of that kind; returns the folder."""
    make, bos = KINDS[kind]
    tokenizer = make()
    sizes = {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": positions}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    fresh(family, **sizes, **ids).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "bos_token": bos}
    (folder / "tokenizer_config.json").write_text(json.dumps(about | settings), "utf-8")
    return folder
