"""The probes that `--probes` names."""

from raydistill.core.errors import UsageError, unknown
from raydistill.core.parts import PROBE, part_names
from raydistill.evaluation.probing.glue import GLUE

NONE = "none"


def named_probes(text: str) -> tuple[str, ...]:
    """The probes that a text with commas names, each once; "none" names none.

    Raises:
        UsageError: if one is unknown; the message has the nearest name.

    >>> named_probes("paraphrase,glue-cola"), named_probes("none")
    (('paraphrase', 'glue-cola'), ())
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--probes {text!r} has an empty name: write names with commas")
    if names == [NONE]:
        return ()
    there_are = [*part_names(PROBE), *GLUE]
    for name in names:
        if name not in there_are:
            raise UsageError(unknown("probe", name, there_are))
    return tuple(dict.fromkeys(names))
