"""What a loss says in its file: its settings are its function's keywords."""

import pytest

from raydistill.core.errors import UsageError
from raydistill.core.parts import LOSS, part_file
from raydistill.distillation.loss_file import FEATURE_TERMS, read_loss_file
from raydistill.distillation.loss_name import canonical_loss, temperature_of

MINE = """
TEACHER = "whole"
RANGES = {"alpha": (0.25, 1), "steps": (1, 8)}

def loss(logits_BTV, targets_BT, ask, *, alpha: float = 0.5, steps: int = 2, shift=-1.0): ...
"""


FREE = 'TEACHER = "none"\ndef loss(a, b, ask, *, x=1): ...\n'


@pytest.fixture
def read(tmp_path):
    def read(text):
        file = tmp_path / f"mine{len(list(tmp_path.iterdir()))}.py"
        file.write_text(text)
        return read_loss_file(file)

    return read


def test_the_settings_of_a_loss_are_the_keywords_of_its_function(read):
    file = read(MINE)
    assert file.teacher == "whole"
    defaults = {name: setting.default for name, setting in file.settings.items()}
    assert defaults == {"alpha": 0.5, "steps": 2, "shift": -1.0} | dict.fromkeys(FEATURE_TERMS, 0)


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        ("alpha", "0.25", 0.25),
        ("alpha", "0.2", "a number from 0.25 to 1"),
        ("alpha", "nan", "a number from 0.25 to 1"),
        ("steps", "8", 8),
        ("steps", "8.0", 8),
        ("steps", "2.5", "a whole number from 1 to 8"),
        ("steps", "9", "a whole number from 1 to 8"),
        ("shift", "-1e9", -1e9),
        ("shift", "inf", "a number"),
        ("hidden", "1", 1.0),
        ("hidden", "1.5", "a number from 0 to 1"),
    ],
)
def test_a_setting_is_a_number_in_its_range(read, setting, text, value):
    allowed = read(MINE).settings[setting]
    assert allowed.value(text) == (None if isinstance(value, str) else value)
    assert type(allowed.value(text)) in (type(value), type(None))
    if isinstance(value, str):
        assert allowed.allowed == value


def test_a_loss_without_a_teacher_says_so_and_has_its_own_settings_alone(read):
    free = read('TEACHER = "none"\ndef loss(a, b, ask, *, smoothing=0.1): ...')
    assert (free.teacher, list(free.settings)) == ("none", ["smoothing"])
    assert read("def loss(a, b, ask): ...").teacher == "known"


def test_settings_of_a_view_are_settings_of_the_loss(read):
    file = read(f"{FREE}def view(batch, *, share=0.5, x=1): ...")
    assert (file.has_view, read(FREE).has_view) == (True, False)
    assert list(file.settings) == ["x", "share"]
    assert (file.of_loss, file.of_view) == ({"x"}, {"x", "share"})
    assert file.settings["share"].allowed == "a number above 0, at most 1"
    assert [file.settings["share"].value(text) for text in ("0", "1", "1.1")] == [None, 1.0, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score = 1", "there is no def loss"),
        ("def loss(a, b): ...", "py:1: loss takes logits_BTV, targets_BT, ask"),
        ("def loss(a, b, ask, **more): ...", "py:1: loss takes logits_BTV"),
        ("\ndef loss(a, b, ask, *, x): ...", "py:2: setting x has no number as default"),
        ("def loss(a, b, ask, *, x='a'): ...", "setting x has no number as default"),
        ("def loss(a, b, ask, *, x=True): ...", "setting x has no number as default"),
        ("def loss(a, b, ask, *, x=1 / 3): ...", "x is read, not run"),
        ("def loss(a, b, ask, *, hidden=1): ...", "every loss with a teacher has hidden"),
        ("TEACHER = 'all'\ndef loss(a, b, ask): ...", "TEACHER is 'all', it must be one of none,"),
        ("\nRANGES = {'x': (0, 1)}\ndef loss(a, b, ask): ...", "py:2: RANGES: no setting 'x'."),
        ("RANGES = {'x': 1}\ndef loss(a, b, ask, *, x=1): ...", "RANGES gives settings a lowest"),
        (
            "RANGES = {'x': (2, 3)}\ndef loss(a, b, ask, *, x=1): ...",
            "py:1: RANGES gives x 2 to 3, and its default is 1",
        ),
        ("\ndef loss(a, b, ask:\n    ...", "py:2: SyntaxError: "),
        (
            "def loss(a, b, ask): ...\ndef view(batch): ...",
            "py:2: a loss with a view of its own has no teacher: TEACHER must be 'none'",
        ),
        (f"{FREE}def view(): ...", "py:3: view takes batch, then settings after a *"),
        (f"{FREE}def view(batch, *, x): ...", "py:3: setting x has no number as default"),
        (
            f"{FREE}def view(batch, *, x=2): ...",
            "py:3: loss and view give x different defaults",
        ),
        (
            "from raydistill.api import Ask, cross_entrpy\ndef loss(a, b, ask): ...",
            "py:1: no name of raydistill.api 'cross_entrpy'. Did you mean 'cross_entropy'?",
        ),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_its_place(read, text, message):
    with pytest.raises(UsageError, match=r"mine0\.py:[0-9]") as error:
        read(text)
    assert message in str(error.value)


def test_shipped_losses_have_the_settings_that_they_had():
    names = {"lm", "kl", "temperature", *FEATURE_TERMS}
    for loss in ("kd", "minima", "logits-only"):
        assert read_loss_file(part_file(LOSS, loss)).settings.keys() == names
    assert not read_loss_file(part_file(LOSS, "lm")).settings


def test_a_canonical_name_keeps_every_digit():
    assert canonical_loss("kd+temperature=1.23456789") == "kd+temperature=1.23456789"
    assert canonical_loss("kd+temperature=1e+30") == canonical_loss(f"kd+temperature=1{'0' * 30}")
    assert canonical_loss("kd+temperature=2.50+lm=1e-1") == "kd+lm=0.1+temperature=2.5"
    assert (temperature_of("kd+temperature=3"), temperature_of("lm")) == (3, 1)


def test_a_setting_that_is_given_twice_is_refused():
    with pytest.raises(UsageError, match="gives a setting twice"):
        canonical_loss("kd+temperature=1+temperature=2")
