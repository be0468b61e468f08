"""Conversations through a template: text as transformers has it, and the assistant's turns."""

import pytest
from transformers import AutoTokenizer

from raydistill.data.conversations.template import chat_template_at
from raydistill.models.huggingface.chat_rendering import REWRITTEN, chat_renderer
from support.chats import CHATML, MARKED, chat, save_chat_tokenizer

TURNS = chat("Who built the ark?", "Noah.", "And who sailed?", "His sons too.", system="Be brief.")
FORGETS = (
    "{% for message in messages %}"
    "{{ message['role'] + ': ' }}"
    "{% if message['role'] == 'assistant' and not loop.last %}{{ '(…)' }}"
    "{% else %}{{ message['content'] }}{% endif %}{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
ALTERNATES = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' if message['role'] == 'user' "
    "else message['content'] + eos_token }}{% endfor %}"
)


def render(folder, template, messages, **settings):
    save_chat_tokenizer(folder, template, **settings)
    return chat_renderer(chat_template_at(folder))(messages)


@pytest.mark.parametrize("template", [CHATML, MARKED, FORGETS.replace("'(…)'", "'x'")])
def test_the_text_is_that_of_transformers(template, tmp_path):
    rendered = render(tmp_path, template, TURNS[:3])
    stock = AutoTokenizer.from_pretrained(tmp_path)
    assert rendered.text == stock.apply_chat_template(TURNS[:3], tokenize=False)


@pytest.mark.parametrize("template", [CHATML, MARKED])
def test_turns_are_what_the_assistant_says(template, tmp_path):
    rendered = render(tmp_path, template, TURNS)
    end = "<|im_end|>" if template == MARKED else "<|im_end|>\n"
    assert [rendered.text[a:b] for a, b in rendered.turns] == [f"Noah.{end}", f"His sons too.{end}"]
    assert rendered.is_marked == (template == MARKED)


def test_a_template_that_rewrites_earlier_turns_has_none(tmp_path):
    assert render(tmp_path, FORGETS, TURNS) == REWRITTEN
    assert render(tmp_path, FORGETS, TURNS[:3]).turns, "one turn alone stays as it is"


def test_what_a_template_refuses_is_told_in_its_words(tmp_path):
    named = {"bos_token": "<|endoftext|>"}
    assert "roles must alternate" in render(tmp_path, ALTERNATES, TURNS, **named)
    rendered = render(tmp_path, ALTERNATES, chat("Why?", "So."), **named)
    assert rendered.text == "<|endoftext|>[INST] Why? [/INST]So.<|endoftext|>"
    assert [rendered.text[a:b] for a, b in rendered.turns] == ["So.<|endoftext|>"]


def test_a_template_that_writes_todays_date_writes_the_same_one_each_day(tmp_path):
    dated = "\n  {% set day = strftime_now('%d %b %Y') %}{{ 'Today: ' + day + '\\n' }}" + CHATML
    rendered = render(tmp_path, dated, TURNS)
    assert rendered.text.startswith("\nToday: 26 Jul 2024\n<|im_start|>system")


def test_a_template_may_lie_in_a_file_of_its_own_or_have_a_name(tmp_path):
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": CHATML}]
    assert chat_template_at(save_chat_tokenizer(tmp_path, named)).text == CHATML
    (tmp_path / "chat_template.jinja").write_text(MARKED)
    assert chat_template_at(tmp_path).text == MARKED
    assert chat_template_at(save_chat_tokenizer(tmp_path / "base", "")) is None
