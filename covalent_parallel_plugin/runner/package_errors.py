"""This package's exceptions where the package is not installed: what another electron returned may hold some.

A map with `return_exceptions` has an ElectronError in the place of each item that raised, and a stock image has nothing
of this package but the runner.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import pkgutil
import sys
from types import ModuleType

PACKAGE = "covalent_parallel_plugin"
ERRORS = PACKAGE + ".errors"


class _Source(importlib.abc.InspectLoader):
    """Makes a module of a text."""

    def __init__(self, text: str):
        self._text = text

    def get_source(self, fullname: str) -> str:
        return self._text


def provide_errors() -> bool:
    """Have the exceptions be found under their own name, from the source that came along; False if none did."""
    runner = __name__.split(".")[0]
    source = pkgutil.get_data(runner, "errors.py") if runner != PACKAGE and PACKAGE not in sys.modules else None
    if source is None:
        return False
    loader = _Source(source.decode())
    spec = importlib.util.spec_from_loader(ERRORS, loader)
    assert spec is not None
    errors = importlib.util.module_from_spec(spec)
    loader.exec_module(errors)
    package = ModuleType(PACKAGE)
    package.__path__ = []
    sys.modules.update({PACKAGE: package, ERRORS: errors})
    return True
