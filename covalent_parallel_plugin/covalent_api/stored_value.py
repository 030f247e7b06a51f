"""The value of a dispatch, loaded from what Covalent's server has of it."""

from __future__ import annotations

import platform
from typing import Any

from covalent._workflow.transportable_object import TransportableObject

from ..errors import OutcomeError


def load_value(archive: bytes, title: str) -> Any:
    """Return the value in Covalent's form of it; `title` says whose it is.

    Raises:
        OutcomeError: it cannot be loaded here; the message says why, and what to do.
    """
    python = ""
    try:
        stored = TransportableObject.deserialize(archive)
        python = str(stored.python_version)
        return stored.get_deserialized()
    except ModuleNotFoundError as error:
        module = (error.name or "").split(".")[0] or "a module"
        remedy = f"install it, or have the electron return plain values ({error})"
        raise OutcomeError(f"the value of {title} needs {module}, which is not here: {remedy}") from error
    except MemoryError as error:
        size = f"{len(archive) / 2**20:.0f} MB"
        remedy = "return a smaller one, such as the name of a file in a bucket"
        raise OutcomeError(f"the value of {title} ({size}) does not fit into the memory here: {remedy}") from error
    except Exception as error:
        here = platform.python_version()
        versions = f"; it was made with Python {python}, and this is {here}" if python and python != here else ""
        remedy = "use the same versions of Python and of the value's packages here"
        what = f"{type(error).__name__}: {error}"
        raise OutcomeError(f"the value of {title} cannot be loaded here ({what}){versions}: {remedy}") from error
