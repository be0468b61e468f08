"""Conversations through a chat template as transformers renders it, with the assistant's turns.

A template with `{% generation %}` marks them itself. Any other tells them by what it adds for each:
the text before a turn, with the prompt for an answer, and the text up to its end must both begin
the whole. Where a template rewrites earlier turns, as by leaving earlier thinking out, they do not.
"""

import re
from collections.abc import Callable

from raydistill.specs.corpus import ChatTemplate, Messages, Render, RenderedChat

ASSISTANT = "assistant"
REWRITTEN = (
    "the template rewrites earlier turns, and marks none of the assistant's with {% generation %}"
)
_MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")
# Some templates write today's date, so that a text would be another one each day.
_FIXED_DATE = (
    '{% macro strftime_now(format) %}{{ format | replace("%d", "26") | replace("%b", "Jul") '
    '| replace("%B", "July") | replace("%m", "07") | replace("%Y", "2024") }}{% endmacro %}\n'
)


def chat_renderer(template: ChatTemplate) -> Render:
    """A function from a conversation to its text, or to why the template has none.

    Whatever the template raises is such a reason. A template that writes today's date writes
    26 July 2024.
    """
    from transformers.utils.chat_template_utils import render_jinja_template  # noqa: PLC0415  (seconds)

    dated = "strftime_now" in template.text
    text, tokens = _FIXED_DATE * dated + template.text, dict(template.tokens)

    def rendered(messages: Messages, **options: bool) -> tuple[str, list[tuple[int, int]]]:
        (whole,), turns = render_jinja_template(
            [list(messages)], chat_template=text, **options, **tokens
        )
        return str(whole), turns[0] if turns else []

    def render(messages: Messages) -> RenderedChat | str:
        try:
            if _MARKS.search(template.text):
                whole, turns = rendered(messages, return_assistant_tokens_mask=True)
                return RenderedChat(text=whole, turns=tuple(turns), is_marked=True)
            return _by_prefixes(messages, lambda *args, **kw: rendered(*args, **kw)[0])
        except Exception as error:  # noqa: BLE001  (a template is code, and raises anything)
            return (
                f"the template refuses it: {' '.join(str(error).split()) or type(error).__name__}"
            )

    return render


def _by_prefixes(messages: Messages, text_of: Callable[..., str]) -> RenderedChat | str:
    whole = text_of(messages)
    turns = []
    for number, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        before = text_of(messages[:number], add_generation_prompt=True)
        until = text_of(messages[: number + 1])
        if not (whole.startswith(until) and until.startswith(before)):
            return REWRITTEN
        turns.append((len(before), len(until)))
    return RenderedChat(text=whole, turns=tuple(turns), is_marked=False)
