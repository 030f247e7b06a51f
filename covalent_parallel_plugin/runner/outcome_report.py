"""From what the electron's process left behind to the header and parts of an outcome: no process, no network."""

from __future__ import annotations

import errno
import os
from typing import Dict, Mapping, NamedTuple, Optional, Tuple, cast

from ..protocol.ending_event import RAN_ITEMS, RETURNED
from ..protocol.envelope import EXCEPTION, ITEMS, KILLED, PARTIAL, REFUSED, VALUE, Part, file_part
from ..protocol.identity import TaskAddress
from ..protocol.limits import KEPT_BYTES
from .electron_files import ElectronFiles

# The kept output of a pip that does not end
PIP_BYTES = 16 * 1024

# What pip says while it runs
PIP_FILE = "pip"
# The part of an exception's message in a status event
LONGEST_ENDING = 200
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
CGROUP_FOLDER = "/sys/fs/cgroup"
_code_of = vars(SystemExit)["code"].__get__

Packed = Tuple[Dict[str, object], Dict[str, Part]]


class Ending(NamedTuple):
    """How the electron's process ended.

    `reason` is "" for an ending of its own, else "time_limit", "terminated" or "refused"; `peak_bytes` is its largest
    resident set; `left_behind` are the processes of its own that still ran, and were killed; `cpu_seconds` is what it
    and its processes used; `ended` is when, in seconds since 1970.
    """

    exit_status: Optional[int]
    signal: Optional[int]
    reason: str = ""
    peak_bytes: int = 0
    left_behind: Tuple[str, ...] = ()
    cpu_seconds: float = 0.0
    ended: Optional[float] = None


def exit_status(error: BaseException) -> int:
    """The status with which Python ends a program that raised this."""
    # Not what the exception's class may put in their places
    code = _code_of(error) if issubclass(type(error), SystemExit) else 1
    return 0 if code is None else code if issubclass(type(code), int) else 1


def outcome_of(files: ElectronFiles, ending: Ending, refusal: Optional[Dict[str, object]] = None) -> Packed:
    """Header and parts of the outcome of an electron that ended so, and left these files."""
    report = dict(outcome=REFUSED, **refusal) if refusal is not None else files.report.read()
    parts = {
        "stdout": head_and_tail(files.stdout.path),
        "stderr": head_and_tail(files.stderr.path) + _pip_tail(files.folder),
    }  # type: Dict[str, Part]
    if report is None:
        report = {
            "outcome": KILLED,
            "signal": ending.signal,
            "exit_status": ending.exit_status,
            "reason": ending.reason,
            "memory_limit_bytes": _cgroup_number("memory.max"),
            "out_of_memory_kills": out_of_memory_kills(),
            "origin": files.origin.read(),
        }
    elif report["outcome"] == EXCEPTION:
        report["exception"] = dict(report["exception"], origin=files.origin.read())  # type: ignore[call-overload]  # it is one
    elif report["outcome"] == VALUE and "count" not in report:
        parts["string"] = file_part(files.text.path)
        parts["value"] = file_part(files.value.path)
    times = dict(files.times.read() or {}, **cast(Dict[str, object], report.get("times", {})))
    if "ran_from" in times and "ran_to" not in times and ending.ended is not None:
        times["ran_to"] = ending.ended
    report.update(peak_memory_bytes=ending.peak_bytes, cpu_seconds=ending.cpu_seconds, times=times)
    return report, parts


def ending_text(header: Mapping[str, object]) -> str:
    """Return how an electron ended, continuing "electron 'f' (node 1) ...", in one line."""
    kind = header["outcome"]
    if kind == VALUE:
        return RETURNED
    if kind == EXCEPTION:
        return "raised " + exception_text(cast(Dict[str, object], header["exception"]))
    if kind == REFUSED:
        return "was not run: %s" % header.get("message", "")
    if kind == ITEMS:
        ended = header.get("ended")
        return ending_text(cast(Dict[str, object], ended)) if ended else RAN_ITEMS
    if header.get("reason") == "time_limit":
        return "ran past its time_limit"
    if header.get("out_of_memory_kills"):
        return "was killed: it took more memory than it has"
    signal = header.get("signal")
    return "was killed by signal %s" % signal if signal else "left Python with exit status %s" % header["exit_status"]


def exception_text(exception: Mapping[str, object]) -> str:
    """Return an exception's type and the first line of its message."""
    lines = str(exception["message"]).strip().splitlines()
    return "%s: %s" % (exception["type"], lines[0][:LONGEST_ENDING]) if lines else str(exception["type"])


def partial_of(
    files: ElectronFiles,
    address: TaskAddress,
    attempt: int,
    since: Tuple[int, int] = (0, 0),
    measured: Optional[Mapping[str, object]] = None,
) -> Packed:
    """Header and parts of the output so far, from `since` on, of an attempt that is being taken away.

    `measured` is what else its header says.
    """
    header = {
        **(measured or {}),
        "kind": PARTIAL,
        "call_id": address.call.call_id,
        "task_index": address.task,
        "attempt": attempt,
    }  # type: Dict[str, object]
    return header, {
        "stdout": head_and_tail(files.stdout.path, since[0]),
        "stderr": head_and_tail(files.stderr.path, since[1]) + _pip_tail(files.folder),
    }


def head_and_tail(path: str, start: int = 0, end: Optional[int] = None) -> bytes:
    """The first and the last megabyte of a file, or of a part of it, and between them how much is left out."""
    try:
        with open(path, "rb") as file:
            size = (os.fstat(file.fileno()).st_size if end is None else end) - start
            file.seek(start)
            if size <= 2 * KEPT_BYTES:
                return file.read(size)
            head = file.read(KEPT_BYTES)
            file.seek(start + size - KEPT_BYTES)
            tail = file.read(KEPT_BYTES)
    except FileNotFoundError:
        return b""
    left_out = size - 2 * KEPT_BYTES
    return head + b"\n... %d bytes left out ...\n" % left_out + tail


def _pip_tail(folder: str) -> bytes:
    """The last words of a pip that was at work when the electron's process was ended; else nothing."""
    try:
        with open(os.path.join(folder, PIP_FILE), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - PIP_BYTES))
            said = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return b""
    # Loaded here only: hardly a task needs it.
    from ..errors import without_passwords

    return ("\ncovalent-parallel: pip was still installing; its last words:\n" + without_passwords(said)).encode()


def _cgroup_number(name: str) -> Optional[int]:
    try:
        with open(os.path.join(CGROUP_FOLDER, name), encoding="ascii") as file:
            text = file.read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def out_of_memory_kills() -> Optional[int]:
    """How often the kernel killed a process of this container for want of memory; None where it does not report."""
    # Version 2 of cgroups, version 1
    for name in ("memory.events", "memory/memory.oom_control"):
        try:
            with open(os.path.join(CGROUP_FOLDER, name), encoding="ascii") as file:
                return int(dict(line.split() for line in file)["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return None
