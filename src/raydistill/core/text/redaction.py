"""Secrets are hidden in every parameter, tag, note and message that leaves this machine."""

import functools
import json
import logging
import os
import re
import shlex
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path

HIDDEN = "***"
WORKING_DIRECTORIES = ("PWD", "OLDPWD")  # of a shell: no passwords
MIN_SECRET_CHARACTERS = 8  # a shorter value might be a word

# Tokens that are no secrets: a tokenizer's own, a page's, and rates by token.
_TEXT_TOKEN = r"(?:[\w.-]*[_.-])?(?:bos|cls|eos|mask|next|pad|page|per|sep|unk)_token(?![\w.-])"  # noqa: S105

_WORDS = (
    r"token|secret|pwd|sshpass|credentials?"
    r"|(?:access|account|api|encryption|private|secret|signing)[_-]?key"
)
_SECRET_NAME = (
    rf"(?!{_TEXT_TOKEN})(?:(?:[\w.-]*[_.-])?(?:{_WORDS})|[\w.-]*(?:password|passwd|passphrase)"
    r"|(?-i:[A-Z][A-Z0-9_]*_(?:KEY|PASS|PAT)))"  # of an environment; `cell_key` is none
)

# A quoted value is as Python, JSON or a shell writes it. A bare one ends at a space; a comma,
# semicolon or quote belongs to it if more than a space or `x=1` follows.
_DOUBLE, _SINGLE = r"""(?:\\.|[^"\\])*""", r"""(?:'"'"'|\\.|[^'\\])*"""
_QUOTED = f"""(?:"{_DOUBLE}"|'{_SINGLE}')"""
_BARE = r"""(?:[^\s,;"']|[,;"'](?=[^\s,;"'()\[\]{}])(?![A-Za-z_]\w*=[^\s,;=]))+"""
_VALUE = rf"(?:{_QUOTED}|{_BARE})"
_HEADER = r"""\bauthorization["']?\s*[:=]\s*["']?"""

# A group that stays, and the secret after it. A bare `token: x` may be anything, and stays.
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"""((?<!\w)'--?{_SECRET_NAME}=){_SINGLE}(?=')""",  # a whole word of a command
        rf"""((?<!\w)"--?{_SECRET_NAME}=){_DOUBLE}(?=")""",
        rf"""(?<![\w.-])({_SECRET_NAME}["']?[ \t]*=[ \t]*)(?!=){_VALUE}""",
        rf"""(["']{_SECRET_NAME}["'][ \t]*:[ \t]*){_VALUE}""",  # JSON
        rf"(?<![\w.-])((?-i:(?=[A-Z0-9_]+[ \t]*:)){_SECRET_NAME}[ \t]*:[ \t]*){_VALUE}",
        rf"(?<![\w.-])(x-{_SECRET_NAME}:[ \t]*){_VALUE}",  # a header
        rf"(?<![\w-])(--{_SECRET_NAME}[ \t]+)(?!-){_VALUE}",
        rf"""(["']--?{_SECRET_NAME}["']\s*,\s*){_QUOTED}""",  # a list of words
        rf"""({_HEADER}(?:apikey|basic|bearer|digest|negotiate|token)\s+)[^\s"',;]+""",
        rf"""({_HEADER})[^\s"',;]{{16,}}""",
        r"""(\bbearer\s+)(?:(?=\S{0,100}\d)[^\s"',;]{8,}|[^\s"',;]{20,})""",
    )
)

# Hugging Face, GitHub, GitLab, AWS (with its secret), OpenAI and those like it, Databricks.
_KNOWN_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{16,}"
    r"|gh[opsru]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])(?:[\s,:;\"']{1,4}[A-Za-z0-9/+]{40}(?![\w/+]))?"
    r"|sk-(?=[\w-]{0,100}\d)[\w-]{20,}"
    r"|dapi[0-9a-f]{32}(?:-\d+)?)"
)
_USERINFO = re.compile(r"""(://)(?:[^\s"'<>]|["'](?=[^\s"'<>,;:)\]}])){0,300}@""")
# Ray names the largest processes of a node that ran out of memory, whoever runs them.
_COMMAND_LINES = re.compile(
    r"(memory users: PID.{1,2}MEM\(GB\).{1,2}COMMAND)"
    r".*?(?=(?:\n|\\n)Refer to the documentation|\Z)",
    re.DOTALL,
)
_LOGIN = re.compile(  # what follows a `+` is tried with what is before it: base64 is full of them
    r"""(?:(?<![\w/:.@+-])|(?<=[/:@]\+))[\w.+-]++:[^\s:@/(){}<>;"']++@(?=[\w-]+[.:])"""
)


@functools.lru_cache(4096)  # of every variable for every text
def looks_secret(name: str) -> bool:
    """Whether the value of a variable, key or flag of this name is to be hidden.

    >>> [looks_secret(n) for n in ("HF_TOKEN", "PGPASSWORD", "num_tokens", "bytes_per_token")]
    [True, True, False, False]
    """
    return re.fullmatch(_SECRET_NAME, name, re.IGNORECASE) is not None


def holds_token(text: str) -> bool:
    """Whether `text` holds a token that its form alone gives away.

    >>> holds_token("hf_0123456789abcdefghij"), holds_token("hf_hub_download")
    (True, False)
    """
    return _KNOWN_TOKEN.search(text) is not None


def without_tokens(text: str) -> str:
    """`text`, a file's name say, without tokens that their form alone gives away.

    >>> without_tokens("hf_0123456789abcdefghij.txt")
    '***.txt'
    """
    return _KNOWN_TOKEN.sub(HIDDEN, text)


def redact(text: str) -> str:
    """`text` without the passwords of its URLs, the values of secret-looking names, and tokens.

    What the environment holds under such a name is hidden wherever it stands, and so are the
    command lines of other programs that Ray lists where memory ran out.

    >>> redact("HF_TOKEN=hf_abc train --uri http://ann:pw@host:5000 --set num_tokens=4")
    'HF_TOKEN=*** train --uri http://***@host:5000 --set num_tokens=4'
    """
    for value in _environment_secrets():  # first: a pattern may see only half of one
        text = text.replace(value, HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    text = _COMMAND_LINES.sub(rf"\g<1> {HIDDEN}", text)
    text = without_tokens(text)
    text = _USERINFO.sub(rf"\g<1>{HIDDEN}@", text)
    return _LOGIN.sub(f"{HIDDEN}@", text)


def printed_command(words: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """A command as a shell takes it, without its secrets; where one is hidden, that is said.

    >>> printed_command(["mlflow", "gc"], {"MLFLOW_TRACKING_URI": "sqlite:////a b/mlflow.db"})
    "MLFLOW_TRACKING_URI='sqlite:////a b/mlflow.db' mlflow gc"
    >>> printed_command(["raydistill", "ui", "--tracking-uri", "http://ann:pw@host"])
    'raydistill ui --tracking-uri http://***@host  # *** hides a secret: write it there'
    """
    variables = [f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items()]
    text = " ".join([*variables, shlex.join(words)])
    hidden = redact(text)
    return hidden if hidden == text else f"{hidden}  # {HIDDEN} hides a secret: write it there"


def _environment_secrets() -> list[str]:
    """The secrets of the environment in every form, longest first."""
    names = {name for name in os.environ if looks_secret(name)}.difference(WORKING_DIRECTORIES)
    values = {os.environ[name].strip() for name in names}
    secrets = {v for v in values if len(v) >= MIN_SECRET_CHARACTERS and not _is_file(v)}
    return sorted((form for v in secrets for form in _forms(v)), key=len, reverse=True)


def _is_file(value: str) -> bool:
    """Whether a value only says where a secret is, as `GOOGLE_APPLICATION_CREDENTIALS` does."""
    try:
        return value.startswith("/") and Path(value).exists()
    except (OSError, ValueError):  # too long for a name
        return False


def _forms(value: str) -> set[str]:
    """A value as it is, and as Python, JSON, a shell and a URL write it."""
    return {
        value,
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        value.replace("'", """'"'"'"""),
        urllib.parse.quote(value, safe=""),
    }


class RedactingFormatter(logging.Formatter):
    """Hides secrets in whatever a handler writes: the message, its exception and its stack."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, redacted."""
        return redact(super().format(record))


def redact_value(name: str, value: str) -> str:
    """The value of a parameter or tag of this name, redacted."""
    return HIDDEN if looks_secret(name) else redact(value)
