"""The trials of a plan in any width."""

from hypothesis import given
from hypothesis import strategies as st

from raydistill.planning.preview.trial_table import UNKNOWN, Row, layer_map, trial_table

HEADS = ("age", "peak_lr", "tokens", "FLOPs", "time", "id")
LOCATIONS = ("input", "max-gap", "angular-distance-last", "random-0, random-2", "1,2,5-8")


@st.composite
def rows(draw):
    """Trials of one model; each field is the same for all, or one of two values for each."""
    num_layers = draw(st.sampled_from((4, 12, 24, 80)))
    choices = [
        draw(st.sampled_from((values, values[:1])))
        for values in (("80B", "320B"), ("3e-05", "0.001"), ("340K", "21B"), ("1.2e12",), ("?",))
    ]
    layers = st.lists(st.integers(0, num_layers - 1), max_size=num_layers, unique=True)
    maps = layers.map(lambda removed: layer_map(num_layers, removed))
    trial_ids = st.sampled_from(("17f2eea8422c235b", "after pretraining", "8892d443e270a98f"))
    row = st.builds(
        Row,
        layers=maps | st.just(UNKNOWN * num_layers),
        location=st.sampled_from(LOCATIONS),
        values=st.tuples(*map(st.sampled_from, choices), trial_ids),
    )
    return draw(st.lists(row, min_size=1, max_size=6))


@given(rows(), st.integers(60, 200))
def test_every_line_fits_and_breaks_nothing(trials, width):
    lines = list(trial_table(HEADS, trials, width))
    assert max(map(len, lines)) <= width
    text = " ".join(lines)
    words = set(text.replace(",", " ").split())
    for row in trials:
        assert set(row.location.replace(",", " ").split()) <= words
        for value in row.values[:-1]:
            assert value in words, value
        trial_id = row.values[-1]
        assert trial_id in text or trial_id[:8] in words or "later" in words


@given(rows())
def test_a_wide_line_has_one_trial_and_what_all_share_is_told_once(trials):
    lines = list(trial_table(HEADS, trials, 200))
    (shared,) = [line for line in lines if line.startswith("every trial: ")]
    assert "FLOPs 1.2e12" in shared
    assert "time ?" in shared
    assert len(lines) == 3 + len(trials)
    for row, line in zip(trials, lines[3:], strict=True):
        assert line.startswith(f"{row.layers}  {row.location}")


def test_a_narrow_line_has_shorter_ids_and_then_layers_by_number():
    trials = [
        Row(layers=layer_map(24, layers), location="input", values=("3e-05", trial_id))
        for layers, trial_id in (((1, 2, 3, 9), "17f2eea8422c235b"), ((), "after scoring"))
    ]

    def table(width):
        return list(trial_table(("peak_lr", "id"), trials, width))[2:]

    assert table(80)[1] == f"{layer_map(24, (1, 2, 3, 9))}  input    17f2eea8422c235b"
    assert table(50)[1:] == [
        f"{layer_map(24, (1, 2, 3, 9))}  input    17f2eea8",
        f"{layer_map(24, ())}  input       later",
    ]
    assert table(30)[1:] == ["1-3 9  input    17f2eea8", "       input       later"]


def test_many_columns_are_in_several_tables():
    heads = ("start", "tokens", "time", "id")
    scratch, base = ("scratch-with-age", "16.3M", "1.3s"), ("base", "340K", "9.0s")
    trials = [
        Row(layers="■□■", location="kd", values=(*scratch, "17f2eea8422c235b")),
        Row(layers="■□■", location="lm", values=(*scratch, "8892d443e270a98f")),
        Row(layers="■■■", location="none", values=(*base, "after scoring")),
    ]
    assert list(trial_table(heads, trials, 40))[1:] == [
        "     location            start",
        "■□■  kd       scratch-with-age",
        "■□■  lm       scratch-with-age",
        "■■■  none                 base",
        "     location tokens time       id",
        "■□■  kd        16.3M 1.3s 17f2eea8",
        "■□■  lm        16.3M 1.3s 8892d443",
        "■■■  none       340K 9.0s    later",
    ]
