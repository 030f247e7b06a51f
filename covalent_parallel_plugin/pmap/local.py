"""The result of a map that no GCPBatchExecutor runs: its items one after the other, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import ElectronError, MapError
from ..protocol.exception_record import describe
from ..protocol.item_call import call_with, listed
from ..protocol.map_marker import earlier_map
from ..protocol.value_text import name_of, shortened


def map_locally(
    function: Callable[..., Any], items: Iterable[Any], constants: Mapping[str, Any], return_exceptions: bool
) -> list[Any]:
    """The result of a map on another executor: as on GCPBatchExecutor all items run, and MapError names the failed.

    Raises:
        MapError: items raised, and `return_exceptions` does not have errors in their places.
        TypeError: the items are those of another map, which is run again.
    """
    if earlier_map(items) is not None:
        raise TypeError(f"{items} are in a bucket: a map that is run again needs GCPBatchExecutor for its executor")
    values: list[Any] = []
    failures: dict[int, tuple[str, Exception]] = {}
    first: BaseException | None = None
    for index, item in enumerate(listed(items)):
        try:
            values.append(call_with(function, item, constants))
        except (Exception, SystemExit) as error:
            stands = error_for_item(error)
            values.append(stands)
            failures[index] = (f"({shortened(item)}): {str(stands).splitlines()[0][:220]}", stands)
            first = first or error
    if failures and not return_exceptions:
        name = name_of(function, "electron")
        returned = {index: value for index, value in enumerate(values) if index not in failures}
        raise MapError.of(f"electron {name!r}", len(values), failures, returned) from first
    return values


def error_for_item(error: BaseException) -> ElectronError:
    """What stands in the place of an item that raised, made where it is caught."""
    if error.__traceback__ is not None:
        # The first frame is that which caught it.
        error = error.with_traceback(error.__traceback__.tb_next)
    told = describe(error)
    name = str(told["type"]) if told["module"] == "builtins" else f"{told['module']}.{told['type']}"
    return ElectronError(name, str(told["message"]), str(told["traceback"]))
