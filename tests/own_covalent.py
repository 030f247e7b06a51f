"""Covalent, imported with a configuration and folders of its own, so that tests touch nothing of the user's.

Covalent reads its configuration once, when it is imported: `load()` comes before any other import of it.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
import warnings


def load() -> None:
    """Import Covalent, unless it is there already."""
    if "covalent" in sys.modules:
        return
    folder = tempfile.mkdtemp(prefix="tests-covalent-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    before = dict(os.environ)
    os.environ.update(
        HOME=folder,
        COVALENT_CONFIG_DIR=f"{folder}/covalent",
        XDG_CACHE_HOME=f"{folder}/cache",
        XDG_CONFIG_HOME=f"{folder}/config",
        XDG_DATA_HOME=f"{folder}/data",
    )
    try:
        with warnings.catch_warnings():
            # Covalent's own, and those of what it brings
            warnings.simplefilter("ignore")
            importlib.import_module("covalent")
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
