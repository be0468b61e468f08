"""How often a text is read, and one that is too short: a plan says so, before anything starts."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raydistill.data.corpus.length import COUNTED_BYTES, length_of
from raydistill.data.corpus.preparation import build_corpus
from raydistill.data.corpus.request import CorpusRequest
from raydistill.data.sources import embedded, hub
from raydistill.data.tokenizer import count_tokens, load_tokenizer, shipped_tokenizer
from raydistill.planning.preview.first_budget import first_budget
from raydistill.planning.preview.repeats import Repeats
from raydistill.storage.store import Store
from support import sweeping
from support.hub_models import save_tokenizer
from support.texts import essays, write_jsonl, write_parquet, write_txt
from support.tokenizer_kinds import save_kind

SHORT = "The king went up to the river."


def dry_run(tmp_path, *flags):
    return sweeping.here("where_to_drop", tmp_path / "storage", "--dry-run", *flags)


TASK = ("--tasks", "continuation")  # such text gives no items for the others


@pytest.mark.parametrize(
    "of", ["trained", "shipped", "folder", "begins", "mix", "heldout", "parquet"]
)
def test_a_short_text_is_counted_as_it_will_be_tokenised(of, tmp_path):
    text, other = (
        write_txt(tmp_path / "a.txt", essays()),
        write_jsonl(tmp_path / "b.jsonl", essays(9)),
    )
    if of == "parquet":
        text = write_parquet(tmp_path / "a.parquet", essays())
    folder = tmp_path / of
    folder.mkdir()
    if of == "begins":
        save_kind(folder, "begins")
    else:
        save_tokenizer(folder)
    tokenizer = {"trained": None, "folder": folder, "begins": folder}.get(of, shipped_tokenizer())
    request = CorpusRequest(
        text=f"{text}=0.7,{other}=0.3" if of == "mix" else text,
        tokenizer=tokenizer,
        heldout=other if of == "heldout" else "",
        vocab_size=2048,
    )
    store = Store(tmp_path / "storage")
    length = length_of(request, store)
    info = json.loads((build_corpus(request, store) / "corpus.json").read_text())
    assert (length.train_tokens, length.is_exact) == (info["train_tokens"], True)
    assert len(length.heldout) == info["heldout_documents"] or of == "mix"


@pytest.mark.parametrize("name", embedded.SHIPPED)
def test_the_embedded_texts_have_as_many_tokens_as_is_said(
    name, prepared, with_embedded_text, tmp_path
):
    fill = with_embedded_text if name == embedded.EMBEDDED else prepared
    fill(tmp_path / "storage")
    (info,) = (json.loads(p.read_text()) for p in tmp_path.glob("storage/corpora/*/corpus.json"))
    assert info["name"] == name
    assert embedded.TRAIN_TOKENS[name] == info["train_tokens"]


@pytest.mark.parametrize("letter", ["e", "é", "界"])  # one, two and three bytes
def test_a_long_text_is_estimated(letter, tmp_path):
    texts = [text.replace("e", letter) for text in essays(60, lines=300)]
    text = write_txt(tmp_path / "a.txt", texts)
    request = CorpusRequest(text=text, tokenizer=shipped_tokenizer())
    store = Store(tmp_path / "storage")
    assert (tmp_path / "a.txt").stat().st_size > COUNTED_BYTES
    length = length_of(request, store)
    info = json.loads((build_corpus(request, store) / "corpus.json").read_text())
    assert not length.is_exact
    assert length.train_tokens == pytest.approx(info["train_tokens"], rel=0.03)


@pytest.mark.parametrize("repeats", [1, 40])  # a dictionary in the file keeps each text once
def test_long_text_in_parquet_is_estimated(repeats, tmp_path):
    texts = essays(60 // repeats + 1, lines=300) * repeats
    text = write_parquet(tmp_path / "a.parquet", texts)
    request = CorpusRequest(text=text, tokenizer=shipped_tokenizer())
    store = Store(tmp_path / "storage")
    assert sum(len(text.encode()) for text in texts) > COUNTED_BYTES
    length = length_of(request, store)
    tokens = count_tokens("".join(texts), load_tokenizer(shipped_tokenizer())) * 15 / 16
    assert not length.is_exact
    assert length.train_tokens == pytest.approx(tokens, rel=0.03)


CARD = {
        "dataset_info": [
            {"config_name": "en", "splits": [
                {"name": "test", "num_bytes": 7, "num_examples": 1},
                {"name": "train", "num_bytes": 4_000_000, "num_examples": 2_000},
            ]},
            {"config_name": "de"},
        ]
    }  # fmt: skip


class Hub(BaseHTTPRequestHandler):
    """Shows one data set of two configurations."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"id": "a/b", "cardData": CARD}).encode())

    def log_message(self, *_):
        """Nothing is printed."""


@pytest.fixture
def hub_here(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        hub._info.cache_clear()
        yield
        server.shutdown()
    hub._info.cache_clear()


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("a/b:en#500", "1 MB in all columns"),
        ("a/b:en", "4 MB in all columns"),
        ("a/b:de", "a length it does not say"),
        ("a/b", "a length it does not say"),
    ],
)
def test_of_a_data_set_of_the_hub_a_plan_says_what_its_card_does(hub_here, tmp_path, text, known):
    done = dry_run(tmp_path, "--corpus", text, *TASK)
    assert done.returncode == 0, done.stderr
    line = (
        f"text {text} has {known} by its card; its tokens are not counted before it is downloaded"
    )
    assert line in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([SHORT], "needs at least 65 training tokens, has "),
        (
            [SHORT] * 5,
            "held-out document(s): add text, or name other text to measure on with --heldout",
        ),
        ([SHORT * 40], "nothing can be held out: add text, "),
        ([f"{SHORT} {n}" for n in range(40)], "name other text to measure on with --heldout"),
    ],
)
def test_a_text_that_is_too_short_is_refused_by_a_dry_run(texts, message, tmp_path):
    corpus = write_jsonl(tmp_path / "a.jsonl", texts)
    done = dry_run(tmp_path, "--corpus", corpus)
    assert (done.returncode, done.stdout) == (3, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "storage").exists()


def test_text_in_parquet_that_is_too_short_is_refused_too(tmp_path):
    done = dry_run(tmp_path, "--corpus", write_parquet(tmp_path / "a.parquet", [SHORT]))
    assert (done.returncode, done.stdout) == (3, "")
    assert "needs at least 65 training tokens, has " in done.stderr


def test_with_text_to_measure_on_a_short_one_will_do(tmp_path):
    corpus = write_txt(tmp_path / "a.txt", [f"{SHORT} {n}" for n in range(40)])
    heldout = write_txt(tmp_path / "b.txt", essays(4))
    done = dry_run(tmp_path, "--corpus", corpus, "--heldout", heldout, *TASK)
    assert done.returncode == 0, done.stderr


def test_a_plan_says_how_often_its_text_repeats_and_warns_of_many_times(tmp_path):
    corpus = write_txt(tmp_path / "a.txt", essays(64))
    plan = " ".join(
        dry_run(tmp_path, "--corpus", corpus, "--budget", "1000B", *TASK).stdout.split()
    )
    assert "training tokens, which the longest trial reads " in plan
    assert "warning: more than 4 times" in plan
    assert "(Muennighoff et al., 2023): take a longer --corpus or a smaller --budget" in plan
    plan = " ".join(dry_run(tmp_path).stdout.split())
    assert "text 129.245K training tokens, of which the longest trial reads 6.73 %" in plan


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (25, "100 training tokens, of which the longest trial reads 25 %"),
        (100, "of which the longest trial reads 100 %"),
        (400, "which the longest trial reads 4 times"),
        (410, "which the longest trial reads 4.1 times; warning: more than 4 times"),
    ],
)
def test_epochs_are_told(read, words):
    sentence = Repeats(text_tokens=100, is_exact=True, read_tokens=read).sentence
    assert words in sentence
    assert ("warning" in sentence) == (read > 400)


@pytest.mark.parametrize(
    ("text_tokens", "tokens_per_s", "tokens"),
    [
        (300_000, 1e9, 1_190_400),  # four times, in steps of 100 windows
        (300_000, 1_950, 358_400),  # an hour: 3600 * 1950 / 3 / 6.5
        (1_000, 1e9, 12_800),  # what a trial needs
        (10**12, 1e12, 2_000_000_000),  # the default
    ],
)
def test_a_first_budget_fits_text_and_machine(text_tokens, tokens_per_s, tokens):
    budget = first_budget(
        text_tokens=text_tokens, context=128, tokens_per_s=tokens_per_s, cells=5, arms=2
    )
    assert budget.tokens == tokens
    assert ("Muennighoff" in budget.sentence) == (tokens > 4 * text_tokens)
    assert budget.seconds == pytest.approx(tokens * 6.5 * 3 / tokens_per_s)


def test_nothing_heavy_is_imported_to_count_a_text(tmp_path):
    import subprocess
    import sys

    corpus = write_txt(tmp_path / "a.txt", essays(64))
    script = str(sweeping.ROOT / sweeping.SCRIPT)
    words = [script, "--dry-run", "--corpus", corpus, *TASK]
    code = (
        f"import runpy, sys; sys.argv = {words!r}\n"
        f"try: runpy.run_path({script!r}, run_name='__main__')\n"
        "except SystemExit as end: print(end.code, {'torch', 'numpy', 'ray'} & set(sys.modules))"
    )
    environment = sweeping.environment(tmp_path / "storage")
    out = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert out.splitlines()[-1] == "0 set()"
