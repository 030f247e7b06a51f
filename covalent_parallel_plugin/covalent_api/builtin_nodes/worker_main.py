"""The process that runs nodes: loads a function and its arguments, calls it, and reports the outcome.

Started by `worker_process` with `python -m`. It reads requests on its stdin and answers on its stdout, one at a time;
what a node prints goes to files and comes with the answer. It ends when nobody is there to ask any more.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO

from ...protocol.code_files import restore_files
from ...protocol.exception_record import describe
from ...protocol.limits import KEPT_BYTES
from ...protocol.value_text import name_of, shown_text
from .worker_protocol import Buffer, frame_head, read_frame

# How a node ended: with a value, with an exception of its own, or in a way that another place may do better
VALUE, RAISED, RUN_ON_BATCH = "value", "raised", "elsewhere"
# What an expression such as `value[key]`, `value.name` or `a + b` raises of itself
OWN_EXCEPTIONS = (LookupError, ArithmeticError, AttributeError, TypeError, ValueError)
COVALENTS_MODULES = "covalent._workflow."
PARENT_LOOK_MILLISECONDS = 2000

Answer = tuple[dict[str, object], dict[str, Buffer]]


def answer_to(header: dict[str, Any], parts: dict[str, bytes]) -> Answer:
    """Run a node.

    The header has `args`, how many positional arguments there are, and `kwargs`, the names of the others; the parts
    are called "function", "arg0", "kwarg:NAME", and are emptied as they are loaded.
    """
    try:
        import cloudpickle

        restore_files(cloudpickle)
        function = cloudpickle.loads(parts.pop("function"))
        args = [cloudpickle.loads(parts.pop(f"arg{index}")) for index in range(header["args"])]
        kwargs = {name: cloudpickle.loads(parts.pop(f"kwarg:{name}")) for name in header["kwargs"]}
    except BaseException as error:
        # Whatever a value's class raises while it is made, SystemExit too: Batch may do better.
        return _run_on_batch("was not loaded", error)
    try:
        value = function(*args, **kwargs)
    except BaseException as error:
        error.__traceback__ = _behind_this_module(error.__traceback__)
        if not is_own(error):
            return _run_on_batch("was not run", error)
        return {"kind": RAISED, "exception": describe(error)}, {}
    try:
        data = cloudpickle.dumps(value)
    except BaseException as error:
        return _run_on_batch("has a value that was not packed", error)
    told = {"kind": VALUE, "cloudpickle": cloudpickle.__version__, "name": name_of(value)}
    text = shown_text(value, whole=False).encode("utf-8", "replace")
    return told, {"value": data, "shown": text}


def is_own(error: BaseException) -> bool:
    """Whether an exception is the node's own ending: raised by Covalent's expression itself, in no code of others.

    What other code raises, of a class or a library, may depend on where it runs.
    """
    trace = error.__traceback__
    while trace is not None:
        if not str(trace.tb_frame.f_globals.get("__name__", "")).startswith(COVALENTS_MODULES):
            return False
        trace = trace.tb_next
    return isinstance(error, OWN_EXCEPTIONS) and error.__cause__ is None and error.__context__ is None


def _behind_this_module(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    return trace


def _run_on_batch(what: str, error: BaseException) -> Answer:
    try:
        text = str(error)
    except BaseException as broken:
        # A message that raises, SystemExit too, is no reason to end.
        text = f"<its str() raised {type(broken).__name__}>"
    return {"kind": RUN_ON_BATCH, "reason": f"it {what}: {type(error).__name__}: {text:.1000}"}, {}


def main() -> None:
    """Answer requests until there are no more."""
    folder, parent = str(Path.cwd()), os.getppid()
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        with (Path(folder) / "stdout").open("w+b") as stdout, (Path(folder) / "stderr").open("w+b") as stderr:
            os.dup2(stdout.fileno(), 1)
            os.dup2(stderr.fileno(), 2)
            # Not before all files of its own are there, which it takes away.
            threading.Thread(target=_end_with_parent, args=(requests.fileno(), parent, folder), daemon=True).start()
            with contextlib.suppress(EOFError, BrokenPipeError):
                while True:
                    header, parts = read_frame(lambda size: _read(requests, size))
                    told, found = answer_to(header, parts)
                    found |= {"stdout": _taken(stdout, sys.stdout, 1), "stderr": _taken(stderr, sys.stderr, 2)}
                    for part in (frame_head(told, found), *found.values()):
                        _write(answers, part)
                    del parts, found
                    os.chdir(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _taken(file: BinaryIO, stream: IO[str] | None, descriptor: int) -> bytes:
    """What was written to a stream since it was last asked for."""
    with contextlib.suppress(ValueError, OSError, AttributeError):
        # A node may have closed it, or put something else in its place.
        stream.flush()  # type: ignore[union-attr]  # the same
    # Its descriptor as well
    os.dup2(file.fileno(), descriptor)
    file.seek(0)
    text = file.read(KEPT_BYTES)
    file.seek(0)
    file.truncate()
    return text


def _read(file: BinaryIO, size: int) -> bytes:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]  # an unbuffered file
        if not count:
            raise EOFError
        view = view[count:]
    # Not copied: loading takes any buffer.
    return data  # type: ignore[return-value]  # the same


def _write(file: BinaryIO, data: Buffer) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _end_with_parent(requests: int, parent: int, folder: str) -> None:
    """End when the server does, whatever runs here; other processes of the server's may hold its end of the pipe."""
    poll = select.poll()
    poll.register(requests, 0)
    while os.getppid() == parent and not poll.poll(PARENT_LOOK_MILLISECONDS):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
