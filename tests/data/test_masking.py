"""Which tokens a masked objective hides: how many, and that nothing but the window decides it."""

import subprocess
import sys

import numpy as np
import pytest

from raydistill.data.masking import mask_key, masked_places, num_targets

END = 0
RNG = np.random.default_rng(0)
IDS = RNG.integers(1, 500, size=(40, 128))


def keys(windows, *, seed=0, epoch=0):
    return [mask_key(seed, epoch, window) for window in windows]


@pytest.mark.parametrize(("tokens", "share", "count"), [
    (128, 0.15, 19), (64, 0.15, 10), (10, 0.15, 2), (3, 0.15, 0), (7, 1.0, 7), (128, 0.5, 64),
])  # fmt: skip
def test_exactly_the_rounded_share_of_a_window_is_hidden(tokens, share, count):
    assert num_targets(tokens, share) == count
    places = masked_places(IDS[:, :tokens], keys(range(40)), share, END)
    assert places.shape == (40, count)
    assert (np.diff(places, axis=1) > 0).all()
    assert ((places >= 0) & (places < tokens)).all()


def test_a_windows_places_do_not_depend_on_the_windows_beside_it():
    together = masked_places(IDS, keys(range(40)), 0.15, END)
    for windows in ([7], [39, 3], list(range(20, 40))):
        alone = masked_places(IDS[windows], keys(windows), 0.15, END)
        assert (alone == together[windows]).all()


def test_seed_epoch_and_window_each_decide_the_places():
    drawn = [
        tuple(masked_places(IDS[:1], [mask_key(*key)], 0.15, END)[0])
        for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (11, 1, 1), (1, 11, 1))
    ]
    assert len(set(drawn)) == len(drawn)


def test_every_place_is_hidden_as_often_as_any_other():
    """Of 128 places over 4,000 draws: chi-squared, whose mean is 127 and deviation 16."""
    places = masked_places(IDS[:1].repeat(4000, axis=0), keys(range(4000)), 0.15, END)
    counts = np.bincount(places.ravel(), minlength=128)
    expected = counts.sum() / 128
    # drawn without replacement, counts vary less than independent ones by 1 - 19/128
    assert 75 < ((counts - expected) ** 2 / expected).sum() / (1 - 19 / 128) < 180


def test_end_of_text_is_hidden_only_where_nothing_else_is_left():
    ids = IDS.copy()
    ids[:, ::3] = END
    for share in (0.15, 0.66):
        places = masked_places(ids, keys(range(40)), share, END)
        assert (np.take_along_axis(ids, places, axis=1) != END).all()
    hidden = np.take_along_axis(ids, masked_places(ids, keys(range(40)), 0.9, END), axis=1)
    assert hidden.shape[1] == 115
    assert ((hidden != END).sum(axis=1) == 85).all()


def test_the_places_are_those_of_every_machine_and_version():
    """A golden row: nobody's random number generator is asked."""
    ids = np.arange(1, 25)[None]
    places = masked_places(ids, [mask_key(0, 0, 0)], 0.25, END)
    assert places.tolist() == [[9, 12, 17, 18, 21, 23]]


def test_drawing_needs_no_torch():
    code = "import sys, raydistill.data.masking; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
