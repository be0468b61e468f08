"""The chat template of a tokenizer on disk, read without transformers, which renders it.

It is `chat_template.jinja` beside the tokenizer, else `chat_template` of `tokenizer_config.json`;
of several by name the one called `default`.
"""

from pathlib import Path

from raydistill.core.errors import DataError
from raydistill.data.tokenizer import load_tokenizer, read_settings, token_named, tokenizer_file
from raydistill.specs.corpus import CHAT, ChatTemplate

_TEMPLATE = "chat_template"
PACKED = (
    "conversations by the tokenizer's chat template: loss on the assistant's turns alone; windows "
    "pack several, and attention crosses from one to the next, as between documents"
)


def chat_template_at(path: Path) -> ChatTemplate | None:
    """The chat template of a tokenizer, a file or its folder; None if it has none.

    Raises:
        DataError: if there is no tokenizer, or its configuration or template cannot be read.
    """
    settings = read_settings(path)
    file = tokenizer_file(path).with_name(f"{_TEMPLATE}.jinja")
    text = settings.get(_TEMPLATE)
    if isinstance(text, list):
        named = {t.get("name"): t.get("template") for t in text if isinstance(t, dict)}
        text = named.get("default")
    if file.is_file():
        try:
            text = file.read_text(encoding="utf-8")
        except ValueError as error:
            raise DataError(f"{file} is not UTF-8: {error}") from None
    if not isinstance(text, str) or not text.strip():
        return None
    names = sorted(name for name in settings if name.endswith("_token"))
    tokens = ((name, token_named(settings, name)) for name in names)
    return ChatTemplate(text=text, tokens=tuple((n, token) for n, token in tokens if token))


def required_template(tokenizer: Path | None) -> ChatTemplate:
    """The chat template of a tokenizer that conversations are to be read with.

    Raises:
        DataError: if there is none.
    """
    template = None if tokenizer is None else chat_template_at(tokenizer)
    if template is None:
        whose = "this scale's tokenizer" if tokenizer is None else f"the tokenizer {tokenizer}"
        raise DataError(
            f"--text-form {CHAT}: {whose} has no chat template: name an instruct model with "
            "--model, or leave the flag out and train on plain text"
        )
    return template


def special_tokens(tokenizer: Path) -> tuple[str, ...]:
    """The special tokens of a tokenizer as they are spelled, sorted.

    Raises:
        DataError: if it is missing or unreadable.
    """
    added = load_tokenizer(tokenizer).get_added_tokens_decoder().values()
    return tuple(sorted(token.content for token in added if token.special))
