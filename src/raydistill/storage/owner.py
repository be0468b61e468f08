"""Who runs this, by the name that shared lists and tables show."""

import getpass
import os

from raydistill.core.text.redaction import redact

VARIABLE = "RAYDISTILL_OWNER"


def owner() -> str:
    """`$RAYDISTILL_OWNER`, else the user's name, else its number, as in a container without names.

    >>> os.environ[VARIABLE] = "ada"
    >>> owner()
    'ada'
    """
    if name := os.environ.get(VARIABLE):
        return redact(name)
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
