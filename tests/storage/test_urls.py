"""Which storages are object stores, and where the copy of one lies."""

import pytest

from raydistill.core.errors import UsageError
from raydistill.storage.urls import copy_of, is_url, url_of


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://host/x", "no storage is at ftp://; write a folder, s3://bucket/folder"),
        ("s3://me:secret@bucket/x", "keys come from the environment, not the URL"),
    ],
)
def test_row_31_a_storage_of_another_kind_is_refused(text, message):
    with pytest.raises(UsageError) as refusal:
        is_url(text)
    assert message in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_copy_knows_its_store_and_has_a_place_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("RAYDISTILL_LOCAL_COPIES", str(tmp_path))
    one, other = copy_of("s3://b/one"), copy_of("s3://b/other")
    assert one != other
    assert url_of(one / "sweeps" / "x") == "s3://b/one"
    assert url_of(tmp_path) == ""
