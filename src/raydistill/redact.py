"""Nothing secret leaves this machine in a parameter, a tag, a note or a message."""

import re

HIDDEN = "***"

_WORDS = r"token|secret|password|passwd|pwd|credentials?|(?:api|access|private|secret)[_-]?key"
_SECRET_NAME = rf"(?:[\w.-]*[_.-])?(?:{_WORDS})"
_ASSIGNED = re.compile(rf"(?<![\w.-])({_SECRET_NAME}\s*=\s*)[^\s,;]+", re.IGNORECASE)
_FLAG = re.compile(rf"(?<!\S)(--{_SECRET_NAME}[\s=]+)\S+", re.IGNORECASE)
_USERINFO = re.compile(r"(://)\S*@")


def looks_secret(name: str) -> bool:
    """Whether a value of this name is one to hide.

    >>> [looks_secret(n) for n in ("HF_TOKEN", "api-key", "num_tokens", "tokenizer_sha256")]
    [True, True, False, False]
    """
    return re.fullmatch(_SECRET_NAME, name, re.IGNORECASE) is not None


def redact(text: str) -> str:
    """`text` without the passwords of its URLs and the values of secret-looking names.

    >>> redact("HF_TOKEN=hf_abc train --uri http://ann:pw@host:5000 --set num_tokens=4")
    'HF_TOKEN=*** train --uri http://***@host:5000 --set num_tokens=4'
    """
    for secret in (_ASSIGNED, _FLAG):
        text = secret.sub(rf"\g<1>{HIDDEN}", text)
    return _USERINFO.sub(rf"\g<1>{HIDDEN}@", text)


def redact_value(name: str, value: str) -> str:
    """The value of a parameter or tag, fit to be seen by others."""
    return HIDDEN if looks_secret(name) else redact(value)
