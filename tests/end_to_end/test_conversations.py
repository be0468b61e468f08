"""An instruct model healed on conversations, by the documented command, on Ray."""

import re
import shlex

from raydistill.data.corpus.heldout_documents import read_info
from support import sweeping
from support.chats import chats, save_instruct_model, write_chats

PAGE = (sweeping.ROOT / "docs" / "corpora.md").read_text("utf-8")
COMMAND = re.search(r"```console\n(python .*?)```", PAGE, re.DOTALL).group(1)


def test_the_documented_command_heals_on_twenty_conversations(run_sweep, tmp_path):
    named = {
        "tiny-instruct": save_instruct_model(tmp_path / "tiny-instruct"),
        "conversations.jsonl": write_chats(tmp_path / "conversations.jsonl", [*chats(20), []]),
    }
    words = shlex.split(COMMAND.replace("\\\n", " "))
    assert words[:2] == ["python", "sweeps/where_to_drop.py"]
    flags = [str(named.get(word, word)) for word in words[2:]]
    storage = tmp_path / "storage"
    done = run_sweep("where_to_drop", storage, *flags)
    assert done.returncode == 0, done.stderr
    printed = " ".join(done.stdout.split())
    assert "1 of 21 conversations left out: no message (1)" in printed
    assert "perplexity of the assistant's turns" in printed
    (corpus,) = storage.glob("corpora/*/corpus.json")
    assert read_info(corpus.parent).text_form == "chat"
    results = sweeping.results(storage)
    assert len(results) == 2
    for trained, _ in results.values():
        losses = [point["loss"] for point in trained["curve"]]
        assert losses[-1] < losses[0]
    runs = sweeping.cells(storage)
    assert all("assistant_perplexity_drop_pct" in run.data.metrics for run in runs)
    assert not any("perplexity_drop_pct" in run.data.metrics for run in runs)
    again = run_sweep("where_to_drop", storage, *flags)
    assert "nothing is trained" in again.stdout
