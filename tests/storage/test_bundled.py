"""The bases that the package carries."""

import pytest

from raydistill.data.known_corpora import CorpusId
from raydistill.planning.artifacts import find_bases
from raydistill.specs.scale import load_scale, scale_names
from raydistill.storage.bundled import shipped_bases
from raydistill.storage.store import Store

FAMILY = {"laptop_family", *(f"laptop_family+width={width}" for width in (16, 32, 48, 96, 128))}
SHIPPED = {"laptop", "laptop_small", *FAMILY}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_what_the_package_ships_fits_its_scale(tmp_path, name):
    scale = load_scale(name)
    (shipped,) = shipped_bases(scale)
    corpus = CorpusId(
        corpus_sha256=shipped.corpus_sha256, tokenizer_sha256=shipped.tokenizer_sha256
    )
    bases = find_bases(scale, corpus, Store(tmp_path), scale.ages, [shipped])
    assert set(bases) == set(scale.ages)
    assert {a.age_tokens for a in shipped.ages.values()} == {
        scale.age_tokens(age) for age in scale.ages
    }


@pytest.mark.parametrize("name", sorted(set(scale_names()) - SHIPPED))
def test_other_scales_ship_none(name):
    assert shipped_bases(load_scale(name)) == []


@pytest.mark.parametrize("name", ["laptop+width=48", "laptop_family+width=80"])
def test_another_shape_of_a_scale_that_ships_bases_ships_none(name):
    assert shipped_bases(load_scale(name)) == []
