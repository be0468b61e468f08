"""Conversations, and tiny instruct models: a tokenizer with a chat template, made here."""

import json

from support.hub_models import fresh

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MARKED = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|im_end|>' }}{% endif %}"
    "{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""The same text, whose turns the template marks itself."""

SPECIAL = ("<|im_start|>", "<|im_end|>")
VOCABULARY = 2050  # of the shipped tokenizer, and these two

ASKED = ("Who built the ark?", "Name a river of Eden.", "How many loaves were there?")
ANSWERED = ("Noah built it.", "One is called Pison.", "Five, and two fishes.")


def chat(*contents, system=""):
    """Turns of a user and an assistant, one after the other."""
    roles = [("user", "assistant")[i % 2] for i in range(len(contents))]
    turns = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]
    return [{"role": "system", "content": system}] * bool(system) + turns


def chats(size=20):
    """Conversations of one to three questions, all different."""
    return [
        chat(*(f"{text} {n}" for k in range(1 + n % 3) for text in (ASKED[k], ANSWERED[k])))
        for n in range(size)
    ]


def write_chats(path, rows, key="messages"):
    """JSON lines of conversations; returns the file."""
    lines = (json.dumps({key: row}) for row in rows)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def save_chat_tokenizer(folder, template=CHATML, **settings):
    """The shipped tokenizer with two special tokens and a chat template; returns the folder."""
    from tokenizers import AddedToken

    from raydistill.data.tokenizer import load_tokenizer, shipped_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(shipped_tokenizer())
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    about |= ({"chat_template": template} if template else {}) | settings
    (folder / "tokenizer_config.json").write_text(json.dumps(about), "utf-8")
    return folder


def save_instruct_model(folder, template=CHATML):
    """A tiny model with that tokenizer; returns the folder."""
    fresh("llama", vocab_size=VOCABULARY).save_pretrained(folder)
    return save_chat_tokenizer(folder, template)
