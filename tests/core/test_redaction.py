"""What is hidden as a secret, in whatever form it is written, and what looks like one and stays."""

import json
import logging
import shlex

import pytest

from raydistill.core.text.redaction import MIN_SECRET_CHARACTERS, looks_secret, redact, redact_value
from raydistill.runners.cluster.connection import _logging_into

AWKWARD = """pl,an"ted's; 98 7=6"""


@pytest.mark.parametrize(
    "name",
    [
        "PGPASSWORD", "SSHPASS", "DB_PASS", "MYSQL_PASSWD", "MY_KEY", "AZURE_STORAGE_KEY", "CI_PAT",
        "passphrase", "SSH_PASSPHRASE", "x-api-key", "AccountKey", "HF_TOKEN",
    ],
)  # fmt: skip
def test_a_name_of_a_secret_is_known(name):
    assert looks_secret(name)
    assert redact(f"{name}=planted --scale laptop") == f"{name}=*** --scale laptop"


@pytest.mark.parametrize(
    "text",
    [
        "tokens=4, num_tokens=5, train_tokens: 6, max_tokens=7", "--train-tokens 20B --scale smoke",
        "key=value cell_key=abc sort_key: 1 {'key': 'cell'}", f"sha256={'0a' * 32} d{'ab' * 31}",
        "eos_token='<|endoftext|>', \"unk_token\": null", '"bytes_per_token": 4.2', "token == 4",
        "--set num_tokens=5 --tokenizer x.json",
        "tokenizer=/data/tokenizer.json", "sk-learn, task-sk-7, hf_hub_download, hf_transformers",
        "bearer authentication required; Authorization: none", "--token --scale laptop",
        "BYPASS=1 COMPASS=north PATH=/bin keyboard=us monkey=2", "['--tasks', 'arc,piqa']",
        '{"from":"http://host/x","owner":"ann@home"}', "kd+temperature=2+hidden=0.1", "passed: 4",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("API_KEY=a,b;c\"d'e rest", "API_KEY=*** rest"),
        ('token="a\\"b,c" rest', "token=*** rest"),
        ("HF_TOKEN=a,train_tokens=4", "HF_TOKEN=***,train_tokens=4"),
        ("AccountKey=ab/c==;Suffix=core", "AccountKey=***;Suffix=core"),
        ("--password 'a b, c' --x", "--password *** --x"),
        ("['--password', 'a, b', '--x']", "['--password', ***, '--x']"),
        ('["--token",\n "a"]', '["--token",\n ***]'),
        ("('--api-key=a b', 1)", "('--api-key=***', 1)"),
        ("run '--token abc'", "run '--token ***'"),
        ("PGPASSWORD: planted", "PGPASSWORD: ***"),
        ("authorization: bearer x", "authorization: bearer ***"),
        ("{'authorization': 'Basic eDp5'}", "{'authorization': 'Basic ***'}"),
        ("AUTHORIZATION: token abc, next", "AUTHORIZATION: token ***, next"),
        ("sent bearer abcdef012345", "sent bearer ***"),
        ("x-amz-security-token: abc", "x-amz-security-token: ***"),
        ("http://ann:p'w@host, http://b:c@h/x", "http://***@host, http://***@h/x"),
        ("http://ann:p@ss@host:5000/x", "http://***@host:5000/x"),
        ("a+ann:pw@host.x b/+ann:pw@host.x", "***@host.x b/+***@host.x"),
        ("HF_TOKEN=abc run", "HF_TOKEN=*** run"),
        ("run --api-key abc --scale laptop", "run --api-key *** --scale laptop"),
    ],
)
def test_a_secret_is_hidden_whole_and_nothing_beside_it(text, redacted):
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "token",
    [
        "hf_" + "aB" * 17, "ghp_" + "a1" * 18, "github_pat_" + "1a_" * 20, "AKIA" + "A1B2" * 4,
        "AKIA" + "A1B2" * 4 + ", " + "aB/+" * 10, "sk-" + "a1" * 24, "sk-proj-" + "a_-1" * 10,
        "dapi" + "0f" * 16, "glpat-" + "a1" * 10,
    ],
)  # fmt: skip
def test_a_well_known_token_is_hidden_wherever_it_stands(token):
    assert redact(f"refused ({token}): x") == "refused (***): x"


@pytest.mark.parametrize("name", ["PGPASSWORD", "MY_KEY", "GIT_PAT", "HF_TOKEN"])
def test_what_the_environment_holds_is_hidden_whole_in_any_text(monkeypatch, name):
    monkeypatch.setenv(name, AWKWARD)
    for form in (AWKWARD, repr(AWKWARD), json.dumps(AWKWARD), shlex.join([f"--x={AWKWARD}"])):
        redacted = redact(f"{name}={AWKWARD} said {form} and tokens=4")
        assert "***" in redacted
        assert not any(part in redacted for part in ("pl,", "ted", "98", "7=6")), redacted
        assert redacted.endswith("and tokens=4")


def test_a_secret_that_begins_another_leaves_no_rest_of_it(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "planted-short")
    monkeypatch.setenv("B_TOKEN", "planted-short-and-its-tail")
    assert redact("sent planted-short-and-its-tail, planted-short") == "sent ***, ***"


def test_where_a_secret_lies_is_told(monkeypatch, tmp_path):
    path = tmp_path / "credentials.json"
    path.touch()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert redact(f"chmod 600 {path}") == f"chmod 600 {path}"
    monkeypatch.setenv("SOME_KEY", "a" * (MIN_SECRET_CHARACTERS - 1))
    assert redact("aaaaaaa") == "aaaaaaa"
    monkeypatch.setenv("SOME_KEY", " " + "b" * MIN_SECRET_CHARACTERS)
    assert redact("bbbbbbbb") == "***"


def test_a_password_is_hidden_though_a_file_is_named_like_it(monkeypatch, tmp_path):
    """Only an absolute path says where a secret lies."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planted-name").touch()
    monkeypatch.setenv("SOME_KEY", "planted-name")
    monkeypatch.setenv("OTHER_KEY", too_long := "/" + "a" * 5_000)
    assert redact(f"planted-name {too_long}") == "*** ***"


def test_the_working_directory_is_no_secret_and_neither_is_a_short_word(monkeypatch):
    for name in ("PWD", "OLDPWD"):
        monkeypatch.setenv(name, "/home/ann/storage")
    assert redact("in /home/ann/storage") == "in /home/ann/storage"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("HF_TOKEN", "abc", "***"), ("num_tokens", "4", "4"), ("uri", "http://a:b@h", "http://***@h")],
)
def test_a_parameter_is_hidden_by_its_name_or_by_its_form(name, value, shown):
    assert redact_value(name, value) == shown


def test_long_text_without_a_space_takes_no_time():
    for piece in ("://", "sk-", "a_", "--", "'", "token=", '"a-'):
        assert "***" in redact(piece * 30_000 + " HF_TOKEN=abc")


def test_rays_log_hides_secrets_of_messages_exceptions_and_stacks(tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", AWKWARD)
    with _logging_into(tmp_path / "ray.log"):
        try:
            raise ValueError(f"no login with {AWKWARD} at http://ann:planted@host")
        except ValueError:
            logging.getLogger("ray.tune").exception("HF_TOKEN=%s", "planted", stack_info=True)
    written = (tmp_path / "ray.log").read_text()
    assert "Traceback" in written
    assert "Stack (most recent call last)" in written
    assert "HF_TOKEN=***\n" in written
    assert "ValueError: no login with *** at http://***@host" in written
    assert AWKWARD not in written
