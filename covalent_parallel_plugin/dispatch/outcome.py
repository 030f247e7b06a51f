"""An outcome as the dispatcher reads it: header, streams and, for a value, its raw pickle; nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .. import wire
from ..errors import OutcomeError


@dataclass(frozen=True)
class Raised:
    """An exception that the electron raised.

    Attributes:
        type_name, module: its class; message: its `str()`.
        arguments: its `args` where they are plain, else None.
        traceback: as Python prints it, from the user's first frame on, causes included.
        first_lines: the line at which each function of the traceback starts, by file and function.
    """

    type_name: str
    module: str
    message: str
    arguments: tuple[object, ...] | None
    traceback: str
    first_lines: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return self.type_name if self.module == "builtins" else f"{self.module}.{self.type_name}"


@dataclass(frozen=True)
class Outcome:
    """What a task reported.

    Attributes:
        kind: one of `wire.OUTCOME_KINDS`.
        stdout, stderr: the electron's, at most 2 MiB each.
        pickle, shown, name, python, cloudpickle: of a value: raw pickle, `str()`, `__name__`, versions that made it.
        raised: of an exception.
        signal, exit_status, reason: of a process that ended without a report.
        reason, message: of a refusal.
        seconds: how long each phase took; peak_memory_bytes: the electron's largest resident set.
    """

    kind: str
    stdout: str
    stderr: str
    attempt: int = 0
    pickle: bytes = field(default=b"", repr=False)
    shown: str = field(default="", repr=False)
    name: str = ""
    python: str = ""
    cloudpickle: str = ""
    raised: Raised | None = None
    signal: int | None = None
    exit_status: int | None = None
    reason: str = ""
    message: str = ""
    peak_memory_bytes: int = 0
    out_of_memory_kills: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


def read_outcome(stream: BinaryIO, key: bytes, call_id: str, task_index: int = 0) -> Outcome:
    """Read and check an outcome.

    Raises:
        OutcomeError: it is not the one that the task of this call sealed, or makes no sense.
    """
    try:
        envelope = wire.read_header(stream, key, wire.binding(wire.OUTCOME, call_id, task_index))
        size = stream.seek(0, 2)
        if size != envelope.size:
            raise wire.TruncatedError(f"the object has {size} bytes, and its header tells of {envelope.size}")
        return _outcome(stream, envelope)
    except wire.WireError as error:
        raise OutcomeError(f"the outcome in the bucket is refused: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise OutcomeError(f"the outcome in the bucket makes no sense: {type(error).__name__}: {error}") from error


def read_streams(stream: BinaryIO, key: bytes, bound_to: bytes) -> tuple[str, str]:
    """Stdout and stderr of an attempt that had no ending of its own.

    Raises:
        OutcomeError: they are not what a task of this call sealed.
    """
    try:
        envelope = wire.read_header(stream, key, bound_to)
        return _text(stream, envelope, "stdout"), _text(stream, envelope, "stderr")
    except wire.WireError as error:
        raise OutcomeError(f"the output in the bucket is refused: {error}") from error


def _text(stream: BinaryIO, envelope: wire.Envelope, part: str) -> str:
    return wire.read_part(stream, envelope, part).decode("utf-8", "replace") if envelope.has(part) else ""


def _outcome(stream: BinaryIO, envelope: wire.Envelope) -> Outcome:
    header: Mapping[str, Any] = envelope.header
    kind = header["outcome"]
    if kind not in wire.OUTCOME_KINDS:
        raise ValueError(f"there is no kind {kind!r}")

    is_value = kind == wire.VALUE
    return Outcome(
        kind=kind,
        stdout=_text(stream, envelope, "stdout"),
        stderr=_text(stream, envelope, "stderr"),
        attempt=int(header["attempt"]),
        pickle=wire.read_part(stream, envelope, "value") if is_value else b"",
        shown=_text(stream, envelope, "string") if is_value else "",
        name=_writable(header.get("name", "")),
        python=str(header["python"]),
        cloudpickle=str(header.get("cloudpickle", "")),
        raised=_raised(header["exception"]) if kind == wire.EXCEPTION else None,
        signal=header.get("signal"),
        exit_status=header.get("exit_status"),
        reason=str(header.get("reason", "")),
        message=_writable(header.get("message", "")),
        peak_memory_bytes=int(header.get("peak_memory_bytes") or 0),
        out_of_memory_kills=int(header.get("out_of_memory_kills") or 0),
        seconds=dict(header.get("seconds", {})),
    )


def _raised(header: Mapping[str, Any]) -> Raised:
    arguments = header["args"]
    return Raised(
        type_name=_writable(header["type"]),
        module=_writable(header["module"]),
        message=_writable(header["message"]),
        arguments=None if arguments is None else tuple(arguments),
        traceback=_writable(header["traceback"]),
        first_lines={(str(file), str(name)): int(line) for file, name, line in header.get("first_lines", ())},
    )


def _writable(text: object) -> str:
    """The text with lone surrogates spelled out: they come from file names that are no UTF-8, and Covalent, which has
    to store the text, would leave the electron RUNNING for ever.
    """
    return str(text).encode("utf-8", "backslashreplace").decode()
