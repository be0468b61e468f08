"""Nothing secret leaves this machine in a parameter, a tag, a note or a message."""

import logging
import os
import re

HIDDEN = "***"
FOLDERS = ("PWD", "OLDPWD")
"""Where a shell keeps the working directory, which is no password."""

SHORTEST = 8
"""Characters; a shorter value might be a word."""

_WORDS = r"token|pwd|credentials?|(?:api|access|private|secret)[_-]?key"
_ENDINGS = r"secret|password|passwd|passphrase|sshpass"  # whatever stands before: PGPASSWORD
_LOUD = r"(?-i:[A-Z][A-Z0-9_]*_(?:KEY|PAT|PASS))"  # as variables are named; a cell's key is none
_SECRET_NAME = rf"(?:(?:[\w.-]*[_.-])?(?:{_WORDS})|[\w.-]*(?:{_ENDINGS})|{_LOUD})"
_VALUE = r"""'[^']*'|"[^"]*"|[^\s,;]+"""
_ASSIGNED = re.compile(rf"""(?<![\w.-])({_SECRET_NAME}["']?\s*=\s*)(?:{_VALUE})""", re.IGNORECASE)
_MAPPED = re.compile(  # JSON, YAML and headers; of a bare `token: x` nobody knows what it is
    rf"""((?i:["']{_SECRET_NAME}["'])\s*:\s*|"""
    rf"""\b(?:[A-Z][A-Z0-9_]*_(?i:{_WORDS})|[A-Z][A-Z0-9_]*(?i:{_ENDINGS})|{_LOUD})\s*:\s*)"""
    rf"""(?:{_VALUE})"""
)
_BEARER = re.compile(
    r"""((?:\bBearer|\bAuthorization["']?\s*[:=]\s*["']?\w+)\s+)[^\s"']{8,}""", re.IGNORECASE
)
_FLAG = re.compile(  # in a line, and in a list of words
    rf"""(?<![\w-])(--{_SECRET_NAME}["']?[\s=,]+["']?)[^\s"',]+""", re.IGNORECASE
)
_KNOWN = re.compile(  # tokens that say what they are: of Hugging Face, GitHub, GitLab, AWS, …
    r"\b(?:hf_\w{20,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|sk-[\w-]{20,}"
    r"|dapi[0-9a-f]{32}|AKIA[0-9A-Z]{16}|xox[abprs]-[\w-]{10,})"
)
_USERINFO = re.compile(r"(://)\S*@")
_LOGIN = re.compile(r"""(?<![\w/:.@-])[\w.+-]+:[^\s:@/(){}<>;"']+@(?=[\w-]+[.:])""")


def looks_secret(name: str) -> bool:
    """Whether a value of this name is one to hide.

    >>> [looks_secret(n) for n in ("HF_TOKEN", "api-key", "num_tokens", "tokenizer_sha256")]
    [True, True, False, False]
    """
    return re.fullmatch(_SECRET_NAME, name, re.IGNORECASE) is not None


def redact(text: str) -> str:
    """`text` without the passwords of its URLs and the values of secret-looking names.

    What the environment holds under such a name is hidden wherever it stands.

    >>> redact("HF_TOKEN=hf_abc train --uri http://ann:pw@host:5000 --set num_tokens=4")
    'HF_TOKEN=*** train --uri http://***@host:5000 --set num_tokens=4'
    """
    for value in _secrets_here():  # first, for a pattern may end inside one
        text = text.replace(value, HIDDEN)
    for secret in (_ASSIGNED, _MAPPED, _FLAG, _BEARER):
        text = secret.sub(rf"\g<1>{HIDDEN}", text)
    text = _KNOWN.sub(HIDDEN, text)
    text = _USERINFO.sub(rf"\g<1>{HIDDEN}@", text)
    return _LOGIN.sub(f"{HIDDEN}@", text)


def _secrets_here() -> list[str]:
    """What this process's environment keeps under secret-looking names; longest first."""
    named = (n for n in os.environ if looks_secret(n) and n not in FOLDERS)
    found = {v for v in map(os.environ.__getitem__, named) if len(v) >= SHORTEST}
    return sorted(found, key=len, reverse=True)


class Redacting(logging.Formatter):
    """Hides secrets in whatever a handler writes, tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record, redacted."""
        return redact(super().format(record))


def redact_value(name: str, value: str) -> str:
    """The value of a parameter or tag, fit to be seen by others."""
    return HIDDEN if looks_secret(name) else redact(value)
