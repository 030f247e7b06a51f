"""Packages that an electron imports and its image is known to lack: the stock image has Python and nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata

from ...protocol.envelope import python_minor
from ...settings import Settings
from ...settings.container_rules import stock_image
from ..call import Call
from .import_paths import NEVER_OWN
from .own_modules import NeededModules
from .pickled_names import RUNNING_PYTHON

# The name that a requirement begins with (PEP 508)
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def unbrought_names(call: Call, needed: NeededModules, settings: Settings) -> frozenset[str]:
    """Return the modules that the stock image lacks; none if that is not known.

    Nobody can where the image is another one, where a hook may install something, and where another Python pickled it.
    """
    minor = python_minor(call.python)
    if settings.container_image_uri not in ("", stock_image(minor)) or call.before or minor != RUNNING_PYTHON:
        return frozenset()
    own = needed.own if settings.own_modules else frozenset()
    names = needed.imported - own - NEVER_OWN - sys.stdlib_module_names - set(sys.builtin_module_names)
    return frozenset(name for name in names if name.isidentifier())


def missing_packages(call: Call, needed: NeededModules, settings: Settings) -> tuple[str, ...]:
    """Return the distributions, or modules where none is known, that nothing brings. What is installed here is read."""
    names = unbrought_names(call, needed, settings)
    brought = _with_dependencies(settings.requirements) if names else None
    if brought is None:
        return ()
    found = {name: _distributions().get(name, [name]) for name in names}
    missing = {held[0] for held in found.values() if not brought.intersection(map(_plain, held))}
    return tuple(sorted(missing))


def warning_text(packages: Iterable[str]) -> str:
    """Say what the image lacks, and the remedy."""
    return (
        f"the function imports {', '.join(packages)}, and the stock image has nothing but Python: name it in"
        " `requirements`, or use an image that has it"
    )


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _with_dependencies(requirements: Iterable[str]) -> set[str] | None:
    """Return the plain names of distributions and of what they need, as installed here; None where one is not."""
    found: set[str] = set()
    todo = [match[1] for requirement in requirements if (match := _NAME.match(requirement))]
    while todo:
        name = todo.pop()
        if _plain(name) in found:
            continue
        found.add(_plain(name))
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            return None
        todo += [match[1] for need in needs if "extra ==" not in need and (match := _NAME.match(need))]
    return found


def _plain(name: str) -> str:
    """Return a distribution's name as names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
