"""A sweep whose sizes read texts of their own: made, trained and told apart, and resumed."""

import json

import pytest

from raydistill.core.serialization import from_json, to_json
from raydistill.planning.history.state import read_state
from raydistill.planning.history.sweep_record import all_records
from raydistill.reports.results.records import BaseRecord
from raydistill.reports.sources.from_state import records_of, report_of
from raydistill.specs.corpus import bits_per_byte
from raydistill.storage.store import Store

NAMES = ("smoke", "smoke+text=bbe-1000")
FLAGS = ("--size", ",".join(NAMES), "--age", "320B", "--count", "0,1")


@pytest.fixture(scope="module")
def swept(prepared, run_sweep, tmp_path_factory):
    storage = prepared(tmp_path_factory.mktemp("texts") / "storage")
    before = {path.name for path in storage.glob("corpora/*/corpus.json")}
    done = run_sweep("how_many_to_drop", storage, *FLAGS)
    assert done.returncode == 0, done.stderr
    assert before
    return storage, done.stdout


def report_at(storage):
    store = Store(storage)
    return report_of(read_state(*all_records(store), store))


def test_each_size_is_trained_and_measured_on_its_own_text(swept):
    storage, _ = swept
    report = report_at(storage)
    corpora = {base.scale: base.text.corpus_sha256 for base in report.bases}
    assert tuple(sorted(corpora)) == NAMES
    assert len(set(corpora.values())) == 2
    assert all(cell.train.corpus_sha256 == corpora[cell.scale] for cell in report.cells)
    tokenizers = {cell.scale: cell.train.tokenizer_sha256 for cell in report.cells}
    assert len(set(tokenizers.values())) == 2
    units = [set(base.documents.nll.units) for base in report.bases]
    assert units[0] != units[1]


def test_the_table_does_not_compare_their_losses(swept):
    _, table = swept
    assert "Tokenizers differ between tables: their nats per token are not comparable." in table
    assert "bbe-1000: 12,091 of 31,044 verses" in table


def test_facts_of_the_texts_reach_the_report_and_its_records(swept):
    storage, _ = swept
    for base in report_at(storage).bases:
        name = base.scale.partition("text=")[2] or "smoke"
        assert base.text.name == name
        assert 0.5 < bits_per_byte(base.scores.nll, base.text) < 8
        assert base.text.unigram_nats > 5
    store = Store(storage)
    records = records_of(read_state(*all_records(store), store))
    for record in records.bases:
        text = to_json(record)
        assert from_json(BaseRecord, text) == record
        without = json.loads(text)
        del without["base"]["text"]  # as an older version wrote it
        assert from_json(BaseRecord, json.dumps(without)).base.text is None


def test_a_second_run_makes_nothing(swept, run_sweep):
    storage, _ = swept
    again = run_sweep("how_many_to_drop", storage, *FLAGS)
    assert again.returncode == 0
    assert "tokenising" not in again.stdout
    assert "pretraining" not in again.stdout.partition("Go on")[0].partition("parameter")[0]


def test_a_text_that_was_tokenised_without_facts_gets_them_with_the_next_run(swept, run_sweep):
    storage, _ = swept
    facts = {path.name: path.read_text() for path in storage.glob("text_facts/*.json")}
    assert len(facts) == 2
    for name in facts:
        (storage / "text_facts" / name).unlink()
    assert {base.text for base in report_at(storage).bases} == {None}
    assert run_sweep("how_many_to_drop", storage, *FLAGS[:-1], "2").returncode == 0
    assert {p.name: p.read_text() for p in storage.glob("text_facts/*.json")} == facts
