"""What a plan expects to be truncated is what is counted when a model reads it."""

import pytest

from raydistill.data.tokenizer import shipped_tokenizer
from raydistill.evaluation.lm_harness.paper13 import PAPER13
from raydistill.evaluation.lm_harness.task_data import ITEMS
from raydistill.evaluation.lm_harness.truncation import paper_truncation
from raydistill.evaluation.lm_harness.zeroshot import score_source
from raydistill.specs.evaluation import TaskSource
from support import task_samples


@pytest.mark.parametrize("name", sorted(PAPER13))
def test_items_of_a_task_are_counted_as_a_model_counts_them(folder, model, tmp_path, name):
    data = task_samples.write(tmp_path) / f"{name}.jsonl"
    data.rename(tmp_path / ITEMS)
    source = TaskSource(task=name, data_sha256="")
    counts = set()
    for max_length in (8, 12, 16, 24, 32, 48, 64):
        expected = paper_truncation(name, tmp_path / ITEMS, shipped_tokenizer(), max_length)
        scores = score_source(model, folder, source, tmp_path, max_length)
        assert scores.truncation == expected
        counts.add(expected.truncated)
    assert {0, expected.items} & counts
    assert len(counts) > 1
