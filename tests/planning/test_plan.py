"""Which cells of a plan have probes."""

import re

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.units import B
from raydistill.storage.store import Store
from support import finished


@pytest.fixture
def plan(tmp_path):
    return lambda *flags: finished.plan("where_to_drop", Store(tmp_path), *flags)


def probes_by_age(plan):
    return {cell.request.age: cell.scale.evaluation.probes for cell in plan.cells}


def test_each_scale_has_its_probes_at_the_oldest_of_its_bases_alone(plan):
    both = plan("--age", "80B,320B", "--probes", "paraphrase, book-kind")
    assert probes_by_age(both) == {80 * B: (), 320 * B: ("paraphrase", "book-kind")}
    young = plan("--age", "80B", "--probes", "paraphrase")
    assert probes_by_age(young) == {80 * B: ("paraphrase",)}
    assert set(probes_by_age(plan("--probes", "none")).values()) == {()}


def test_a_trial_has_the_id_that_it_has_without_probes(plan):
    flags = ("--age", "320B", "--location", "input,output")
    with_probes, without = plan(*flags, "--probes", "paraphrase"), plan(*flags)
    assert [c.request for c in with_probes.cells] == [c.request for c in without.cells]
    ids = [
        [trial.trial_id for trial in finished.prepared(p, Store(p.options.storage)).trials]
        for p in (with_probes, without)
    ]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("paraphrases", "no probe 'paraphrases'. Did you mean 'paraphrase'"),
        ("paraphrase,", "--probes 'paraphrase,' has an empty name"),
        ("glue-cola", "--probes glue-cola: name a folder with glue-cola.train.jsonl, glue-cola.va"),
        ("glue-stsb", "no probe 'glue-stsb'"),
    ],
)
def test_a_probe_that_is_not_there_is_told_in_one_line(plan, names, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        plan("--probes", names)
