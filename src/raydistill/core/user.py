"""Who runs this, as lists and tables of several people name them."""

import getpass
import os

from raydistill.core.redaction import redact

VARIABLE = "RAYDISTILL_OWNER"


def owner() -> str:
    """`$RAYDISTILL_OWNER`, else this process's user, else its number: a container may have no name.

    >>> os.environ[VARIABLE] = "ada"
    >>> owner()
    'ada'
    """
    if named := os.environ.get(VARIABLE):
        return redact(named)
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
