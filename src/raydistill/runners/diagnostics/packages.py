"""Whether the packages that this one needs are installed, in versions that go with it."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from raydistill import __version__
from raydistill.runners.diagnostics.finding import Finding, Level, ok

SHOWN = ("ray", "torch", "mlflow", "lm-eval", "transformers")


def diagnose_packages() -> Iterator[Finding]:
    """The versions, and one finding for every package that is missing or of a wrong version."""
    names = " · ".join(f"{name} {installed(name) or 'missing'}" for name in SHOWN)
    yield ok(f"raydistill {__version__} · Python {platform.python_version()} · {names}")
    for need in _needs(""):
        has = installed(need.name)
        if has is None or not need.specifier.contains(has, prereleases=True):
            what = f"{need.name} {has or 'is missing'}: raydistill needs {need.specifier}"
            yield Finding(Level.WRONG, what, f"pip install '{requirement_of(need)}'")
    if any(installed(need.name) is None for need in _needs("laptop")):
        what = "the laptop scale's text is not here: give --corpus, or install it"
        yield Finding(Level.NOTE, what, "pip install 'raydistill[laptop]'")


def requirement_of(need: Requirement) -> str:
    """What pip is to install, with its extras.

    >>> requirement_of(Requirement('ray[tune,train]>=2.60; extra == "x"'))
    'ray[train,tune]>=2.60'
    """
    extras = f"[{','.join(sorted(need.extras))}]" if need.extras else ""
    return f"{need.name}{extras}{need.specifier}"


def installed(name: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """What has to be the same on every node, by name."""
    return {
        "Python": platform.python_version(),
        "raydistill": __version__,
        **{name: installed(name) or "missing" for name in ("ray", "torch")},
    }


def _needs(extra: str) -> Iterator[Requirement]:
    """What this package requires on this platform; with an `extra`, what that adds."""
    for text in requires("raydistill") or ():
        need = Requirement(text)
        plain = need.marker is None or need.marker.evaluate({"extra": ""})
        if plain != bool(extra) and (plain or need.marker.evaluate({"extra": extra})):  # type: ignore[union-attr]
            yield need
