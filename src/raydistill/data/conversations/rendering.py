"""The conversations of a corpus as text, written once into its draft, before anything reads them.

    corpora/drafts/<key>/chat-<source>.jsonl   unit, text, the characters of the assistant's turns
    corpora/drafts/<key>/chat-<source>.json    notes on what was left out, written last

One process renders, as the text streams by; all that follows reads these files as any documents.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.core.progress import tracked
from raydistill.data.conversations.rows import ConversationFile, Row, conversation_files
from raydistill.data.conversations.template import PACKED, required_template, special_tokens
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.documents import Document
from raydistill.data.sources.cleaning import TextCleaner
from raydistill.data.sources.source import files_of, name_of, sources_of
from raydistill.specs.corpus import Render, RenderedChat, Renderer
from raydistill.storage.manifest import write_text
from raydistill.storage.store import Store

HELDOUT = "heldout"  # the name of the text that is measured on, where it is apart
NO_MESSAGE, NO_TURN = "no message", "no turn of the assistant"
_REASONS = 3  # why conversations are left out, at most, in a note


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A file of conversations as text."""

    path: Path

    @property
    def num_bytes(self) -> int:
        """The file's size."""
        return self.path.stat().st_size

    def documents(self, cleaner: TextCleaner) -> Iterator[Document]:
        """The conversations in order; they are clean."""
        del cleaner
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                unit, text, turns = json.loads(line)
                assistant = tuple((start, end) for start, end in turns)
                yield Document(collection="own", unit=unit, text=text, assistant=assistant)


def rendered_files(request: CorpusRequest, draft: Path) -> list[tuple[RenderedFile, ...]]:
    """The files of each source of a corpus whose conversations are rendered."""
    numbers = range(len(sources_of(request.text)))
    return [(RenderedFile(draft / f"chat-{number}.jsonl"),) for number in numbers]


def rendered_heldout(draft: Path) -> tuple[RenderedFile, ...]:
    """The files of the text that is measured on, where it is apart."""
    return (RenderedFile(draft / f"chat-{HELDOUT}.jsonl"),)


def rendered_notes(draft: Path) -> list[str]:
    """What was left out or noticed while the conversations of a draft were rendered."""
    files = sorted(draft.glob("chat-*.json"))
    return [PACKED, *(note for f in files for note in json.loads(f.read_text(encoding="utf-8")))]


def render_conversations(
    request: CorpusRequest, draft: Path, store: Store, renderer: Renderer
) -> None:
    """Render what a draft lacks of the conversations of a corpus.

    Raises:
        DataError: if a text is not of conversations, or none of one can be learned.
    """
    texts = {str(n): source.text for n, source in enumerate(sources_of(request.text))}
    texts |= {HELDOUT: request.heldout} if request.heldout else {}
    missing = {n: text for n, text in texts.items() if not (draft / f"chat-{n}.json").is_file()}
    if not missing:
        return
    assert request.tokenizer is not None, "no template without a tokenizer"
    render = renderer(required_template(request.tokenizer))
    special = special_tokens(request.tokenizer)
    draft.mkdir(parents=True, exist_ok=True)
    for name, text in missing.items():
        own = conversation_files(files_of(text, request.text_field, store), text)
        notes = _write(draft / f"chat-{name}.jsonl", name_of(text), own, render, special)
        write_text(draft / f"chat-{name}.json", json.dumps(notes))


def _write(
    to: Path,
    name: str,
    files: Iterable[ConversationFile],
    render: Render,
    special: Sequence[str],
) -> list[str]:
    """Write the conversations that can be learned; the notes on the others."""
    left_out: Counter[str] = Counter()
    written, spelling, ended, tools = 0, 0, 0, 0
    cleaner = TextCleaner()
    with to.open("w", encoding="utf-8") as out:
        opened = tracked(list(files), "rendering conversations", "bytes", size=_bytes_of)
        for row in (row for file in opened for row in file.rows(cleaner)):
            chat = _rendered(row, render)
            if isinstance(chat, str):
                left_out[chat] += 1
                continue
            turns = [_with_its_end(chat, turn, special) for turn in chat.turns]
            written += 1
            ended += chat.is_marked and any(
                e > end for (_, e), (_, end) in zip(turns, chat.turns, strict=True)
            )
            spelling += _spells(row, special)
            tools += row.has_tools
            out.write(json.dumps([row.unit, chat.text, turns]) + "\n")
    if not written:
        raise DataError(f"{name}: no conversation can be learned from: {_reasons(left_out)}")
    notes = [cleaner.note(name)] if cleaner.note(name) else []
    if left_out:
        total = left_out.total()
        notes.append(
            f"{name}: {total:,} of {total + written:,} conversations left out: {_reasons(left_out)}"
        )
    if ended:
        notes.append(
            f"{name}: the template's marks leave out the token that ends a turn; it is learned too"
        )
    if tools:
        notes.append(f"{name}: {tools:,} conversations have tools, which are not written into them")
    if spelling:
        notes.append(
            f"{name}: {spelling:,} conversations have text that spells a special token, and it is "
            "read as one"
        )
    return notes


def _bytes_of(file: ConversationFile) -> int:
    return file.num_bytes


def _rendered(row: Row, render: Render) -> RenderedChat | str:
    if not row.messages:
        return NO_MESSAGE
    chat = render(row.messages)
    if isinstance(chat, RenderedChat) and not any(end > start for start, end in chat.turns):
        return NO_TURN
    return chat


def _reasons(left_out: Counter[str]) -> str:
    most = left_out.most_common(_REASONS)
    others = left_out.total() - sum(count for _, count in most)
    texts = [f"{reason} ({count:,})" for reason, count in most]
    return (
        ", ".join([*texts, *([f"other reasons ({others:,})"] if others else [])]) or "it is empty"
    )


def _with_its_end(
    chat: RenderedChat, turn: tuple[int, int], special: Sequence[str]
) -> tuple[int, int]:
    """A turn of the assistant up to the special token that ends it, without what follows that.

    What a template marks itself is never cut.
    """
    start, end = turn
    own = chat.text[start:end].rstrip()
    if any(own.endswith(token) for token in special):
        return start, end if chat.is_marked else start + len(own)
    following = [token for token in special if chat.text.startswith(token, end)]
    return start, end + max(map(len, following), default=0)


def _spells(row: Row, special: Sequence[str]) -> bool:
    contents = [str(message.get("content", "")) for message in row.messages]
    return any(token in content for token in special for content in contents)
