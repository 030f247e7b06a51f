"""The error with which an electron failed, as its output on Covalent's server: `wait` raises it again elsewhere.

Covalent keeps the text of a failed electron's streams, and no output. So the error takes the output's place, in
Covalent's own form, and is recognized by the header's name.
"""

from __future__ import annotations

import base64
from itertools import islice
from typing import Any, cast

from covalent._workflow.transportable_object import TransportableObject

from ..errors import MapError, RemoteTraceback

NAME = "covalent_parallel_failure"
# Of so many items of a map the tracebacks of builtin exceptions are kept; all others have type and message
MOST_TRACEBACKS = 1000


def failed_output(error: Exception) -> TransportableObject:
    """Return the output of an electron that failed with this error, which is a builtin one or this package's."""
    # Pickles of exceptions leave their causes out
    parts: dict[int | None, Exception] = {None: error}
    if isinstance(error, MapError):
        parts.update(islice(error.errors.items(), MOST_TRACEBACKS))
    tracebacks = {
        key: part.__cause__.text for key, part in parts.items() if isinstance(part.__cause__, RemoteTraceback)
    }
    # Here, so that reading does not load Google's clients
    from ..electron.map.progress import pickle_of_error

    output = TransportableObject(None)
    output._object = base64.b64encode(pickle_of_error((error, tracebacks))).decode()
    output._object_string = str(error)
    output._header["attrs"] = {"doc": "", "name": NAME}
    return output


def read_failure(archive: bytes) -> Exception | None:
    """Return the error in an electron's output, with its traceback as the cause; None where there is none.

    Raises:
        Exception: whatever loading it raises, as for a class that this version of Python lacks.
    """
    if not archive:
        return None
    stored = TransportableObject.deserialize(archive)
    if stored.attrs.get("name") != NAME:
        return None
    error: Exception
    tracebacks: dict[int | None, str]
    error, tracebacks = cast(Any, stored.get_deserialized())
    for key, text in tracebacks.items():
        item = error.errors[key] if isinstance(error, MapError) and key is not None else error
        item.__cause__ = RemoteTraceback(text)
    return error
