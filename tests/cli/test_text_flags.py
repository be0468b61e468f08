"""`--text-form chat`: what it makes of a plan, and what does not go with it, in a line."""

import contextlib
import io

import pytest

from raydistill.core.errors import UsageError
from raydistill.planning.artifacts import base_command
from raydistill.planning.prepared import prepare
from raydistill.planning.preview.dry_run import describe
from raydistill.storage.store import Store
from support import trained_here
from support.chats import chats, save_instruct_model, write_chats

CHAT = ("--text-form", "chat")


@pytest.fixture(scope="module")
def instruct(tmp_path_factory):
    with contextlib.redirect_stderr(io.StringIO()):
        return save_instruct_model(tmp_path_factory.mktemp("models") / "tiny-instruct")


@pytest.fixture
def flags(instruct, tmp_path):
    rows = write_chats(tmp_path / "conversations.jsonl", chats())
    return ("--model", str(instruct), "--seq-len", "32", "--corpus", str(rows))


def text_of(storage, *flags):
    planned = trained_here.plan(storage, *flags)
    return " ".join(describe(prepare(planned, Store(storage))).split())


def test_a_plan_says_what_is_learned_and_how_conversations_are_packed(flags, tmp_path):
    text = text_of(tmp_path, *flags, *CHAT, "--location", "input")
    assert (
        "loss on the assistant's turns alone; windows pack several, and attention crosses" in text
    )
    assert "measured perplexity of the assistant's turns in 16 windows of 32 tokens" in text
    assert "tasks none" in text
    assert "text about " in text
    assert "warning: the model has a chat template" not in text


def test_a_plan_says_what_an_instruct_model_loses_on_plain_text(flags, tmp_path):
    text = text_of(tmp_path, *flags[:4], "--location", "input")
    assert (
        "warning: the model has a chat template, and this is plain text: it is healed as a text "
        "model, and may forget the form of conversations and what it refuses; --text-form chat"
    ) in text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--heldout-general smoke", "--heldout-general names plain text"),
        ("--loss masked-lm", "loss 'masked-lm' has targets of its own"),
        ("--tasks continuation", "--tasks continuation: its items are made of held-out plain text"),
        ("--probes paraphrase", "--probes paraphrase: bases are probed on plain text"),
        ("--text-form chats", "argument --text-form: invalid choice: 'chats'"),
    ],
)
def test_what_does_not_go_with_conversations_is_refused(more, message, flags, tmp_path):
    with pytest.raises(UsageError) as error:
        trained_here.plan(tmp_path, *flags, *CHAT, *more.split())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_commands_that_are_printed_name_the_form(flags, tmp_path):
    scale = trained_here.plan(tmp_path, *flags, *CHAT).scale
    assert (scale.text_form, scale.text_field) == ("chat", "messages")
    own = trained_here.plan(tmp_path, "--text-form", "plain").scale
    assert "--text-form" not in base_command(own)
