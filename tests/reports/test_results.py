"""`raydistill.api.results` on storages: a folder, an object store, one of an older version."""

import subprocess
import sys

import pytest

from raydistill.api import UsageError, results
from raydistill.core.units import B
from raydistill.planning.history.sweep_record import record_of, save_record
from raydistill.storage.object_store import ObjectStore
from raydistill.storage.store import Store
from support import old_storage
from support.finished import finish_all, plan, prepare, prepared
from support.object_store import KEYS, object_store


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """Of version 0.1.0, with two sweeps."""
    folder = tmp_path_factory.mktemp("storage")
    old_storage.unpack(folder)
    return folder


def test_a_sweep_is_a_data_frame(storage):
    frame = results(storage, sweep="where_to_drop")
    assert frame.set_index("location").loc["input", "trial_id"] == "4952e1e6f31637ba"
    assert len(frame) == 4
    assert frame["perplexity"].dtype == "float64"
    assert (frame["age_paper_tokens"] == 320_000_000_000).all()
    assert (frame["age_tokens"] == 64_000).all()


def test_all_sweeps_are_one_table(storage):
    rows = results(str(storage), form="records")
    assert {row["sweep"] for row in rows} == {"where_to_drop", "teacher_free_vs_kd"}
    assert {row["arm"] for row in rows} >= {None, "kd", "scratch"}
    assert results(storage).shape == (len(rows), len(rows[0]))


def test_without_pandas_a_table_is_records(storage):
    """And neither torch nor Ray nor MLflow is imported."""
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from raydistill.api import results\n"
        f"rows = results({str(storage)!r}, 'where_to_drop')\n"
        "print(len(rows), type(rows[0]).__name__,"
        " sorted({'torch', 'ray', 'mlflow', 'transformers', 'lm_eval'} & set(sys.modules)))\n"
        f"results({str(storage)!r}, form='pandas')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "4 dict []\n"
    assert "pandas is not installed: pip install pandas" in done.stderr


def test_an_object_store_is_read_as_a_folder_is(storage, tmp_path, monkeypatch):
    for name, value in {**KEYS, "RAYDISTILL_LOCAL_COPIES": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with object_store() as url:
        ObjectStore(url, storage).push()
        assert results(url, form="records") == results(storage, form="records")


def test_an_axis_from_the_command_line_has_a_column_by_its_name(tmp_path):
    store = Store(tmp_path)
    prepare(store)
    flags = ("--age", "320B", "--location", "input", "--set", "lr=1e-4,3e-4", "--budget", "20B,40B")
    asked = plan("where_to_drop", store, *flags)
    finish_all(asked, store, lambda *_: 3.1)
    save_record(record_of(prepared(asked, store)), store)
    frame = results(tmp_path)
    assert set(zip(frame["lr"], frame["budget_paper_tokens"] / B, strict=True)) == {
        (lr, budget) for lr in (1e-4, 3e-4) for budget in (20, 40)
    }
    assert (frame["peak_lr"] == frame["lr"]).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sweep": "where_to_dorp"}, "Did you mean 'where_to_drop'?"),
        ({"form": "polars"}, "no form 'polars'"),
    ],
)
def test_a_wrong_name_is_refused(storage, given, message):
    with pytest.raises(UsageError, match=message):
        results(storage, **given)


def test_a_folder_without_a_sweep_is_named(tmp_path):
    with pytest.raises(UsageError, match=f"no sweep was run in {tmp_path}"):
        results(tmp_path)
