"""A user's file, run as a script would be, except that `__name__` is not "__main__" and that nothing is dispatched."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar

import cloudpickle
import covalent

from ...errors import MistakeError
from ...protocol.code_files import restore_files

# A name that no module of the user's has: another file may import this one under its own name, as it may a script
MODULE = "planned_workflow"

HERE = Path(__file__).resolve().parents[2]
COVALENT = Path(str(covalent.__file__)).resolve().parent

REQUESTS = ("get", "patch", "put", "post", "delete")
"""The methods of Covalent's client through which all reaches its server."""

T = TypeVar("T")


class WorkflowError(MistakeError):
    """The user's file, or the lattice in it, raised; the text ends with the traceback from that file on."""


class DispatchRefusedError(RuntimeError):
    """The file asked something of Covalent's server while its Jobs were planned."""


class _ScriptLoader(SourceFileLoader):
    """Compiles every time and leaves no bytecode beside the file, as Python does for a script."""

    def get_code(self, fullname: str) -> CodeType:
        """The file's code."""
        return self.source_to_code(self.get_data(self.path), self.path)


def load(path: Path) -> ModuleType:
    """Run the file, with its folder first on sys.path and `sys.argv` as for a script without arguments.

    Raises:
        WorkflowError: it cannot be read or compiled, it raised, or it ended the program.
    """
    sys.path.insert(0, str(path.parent))
    sys.argv = [str(path)]
    spec = ModuleSpec(MODULE, _ScriptLoader(MODULE, str(path)), origin=str(path))
    spec.has_location = True
    module = module_from_spec(spec)
    sys.modules[MODULE] = module
    # What a script defines is pickled by value, and that is what Covalent does with a lattice's function.
    cloudpickle.register_pickle_by_value(module)
    restore_files(cloudpickle)

    def execute() -> ModuleType:
        assert spec.loader is not None
        spec.loader.exec_module(module)
        return module

    return guarded(execute, f"{path} could not be imported", path)


def guarded(code: Callable[[], T], what: str, path: Path) -> T:
    """What the user's code returns; nothing is dispatched from then on.

    Raises:
        WorkflowError: it raised; `what` begins the message, and the traceback begins in the file at `path`.
    """
    try:
        _stop_dispatching()
        return code()
    except SystemExit as end:
        raise WorkflowError(f"{what}: it ended the program (SystemExit: {end.code})") from end
    except Exception as error:
        # Anything at all may come out of a user's file.
        raise WorkflowError(f"{what}:\n\n{_own_traceback(error, path)}") from error


def _stop_dispatching() -> None:
    """Have Covalent's client refuse for as long as this process lives: a thread of the user's may outlive the load."""
    client: Any = import_module("covalent._api.apiclient").CovalentAPIClient
    for name in REQUESTS:
        setattr(client, name, _refuse)


def _refuse(*_: object, **__: object) -> None:
    raise DispatchRefusedError(
        "`plan` dispatches nothing: put what dispatches the workflow under `if __name__ == '__main__':`"
    )


def _own_traceback(error: Exception, path: Path) -> str:
    """The traceback from the user's file on, without what Covalent and this package did with a call from there."""
    shown = traceback.TracebackException.from_exception(error)
    files = [frame.filename for frame in shown.stack]
    if str(path) not in files:
        return "".join(traceback.format_exception_only(type(error), error)).rstrip()
    start, end = files.index(str(path)), len(files)
    while end > start + 1 and _is_inner(files[end - 1]):
        end -= 1
    shown.stack = traceback.StackSummary.from_list(list(shown.stack)[start:end])
    return "".join(shown.format()).rstrip()


def _is_inner(file: str) -> bool:
    return any(Path(file).is_relative_to(folder) for folder in (HERE, COVALENT))
