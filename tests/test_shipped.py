"""The bases that the package carries."""

import pytest

from raydistill.resolve import CorpusId, find_bases
from raydistill.scales import load_scale, scale_names
from raydistill.shipped import shipped_bases
from raydistill.store import Store


def test_what_the_package_ships_fits_its_scale(tmp_path):
    laptop = load_scale("laptop")
    for shipped in shipped_bases(laptop):
        corpus = CorpusId(
            corpus_sha256=shipped.corpus_sha256, tokenizer_sha256=shipped.tokenizer_sha256
        )
        found = find_bases(laptop, corpus, Store(tmp_path), laptop.ages, [shipped])
        assert set(found) == set(laptop.ages)
        assert {a.age_tokens for a in shipped.ages.values()} == {
            laptop.age_tokens(age) for age in laptop.ages
        }


@pytest.mark.parametrize("name", sorted(set(scale_names()) - {"laptop"}))
def test_other_scales_ship_none(name):
    assert shipped_bases(load_scale(name)) == []
