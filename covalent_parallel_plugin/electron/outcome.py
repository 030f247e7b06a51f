"""An outcome as the dispatcher reads it: header, streams and, for a value, its raw pickle; nothing is unpickled."""

from __future__ import annotations

import binascii
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ..batch.attempt_records import Measured
from ..errors import OutcomeError
from ..protocol.envelope import (
    EXCEPTION,
    OUTCOME,
    OUTCOME_KINDS,
    VALUE,
    Envelope,
    TruncatedError,
    WireError,
    read_header,
    read_part,
    view_part,
)
from ..protocol.identity import TaskAddress
from ..protocol.limits import DEEPEST_ARGUMENT, KEPT_BYTES
from .measured import measured_of

# Past this a number of bytes, attempts or kills means nothing, and arithmetic with it may fail
LARGEST_COUNT = 2**63
# wait(2): an exit status and a signal's number are a byte each
LARGEST_STATUS = 255
# What the runner keeps of a stream, with the lines of its own
LARGEST_OUTPUT_BYTES = 2 * KEPT_BYTES + 128 * 1024
# A value's text, where it is longer than the value's pickle
LARGEST_SHOWN_BYTES = 16 * 1024 * 1024
# What an exception's arguments may be: JSON carries these exactly, and no class can mistake them for something else
PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Origin:
    """Where the electron's function was written: its file, "" where none is known, and its text's first line."""

    file: str = ""
    first_line: int = 0


@dataclass(frozen=True)
class Frame:
    """One frame of a remote traceback; lines count from 1, columns from 0 in bytes of UTF-8.

    Attributes:
        line: the one that the traceback shows.
        first_line: the function's own.
        end_line, column, end_column: what of the lines is computed; None where Python does not say.
    """

    file: str
    function: str
    line: int
    first_line: int
    end_line: int | None = None
    column: int | None = None
    end_column: int | None = None


@dataclass(frozen=True)
class Raised:
    """An exception that the electron raised.

    Attributes:
        type_name, module: its class; message: its `str()`.
        arguments: its `args` where they are plain, else None.
        traceback: as Python prints it, from the user's first frame on, causes included.
        import_name: the module that an ImportError is about.
        frames: the traceback's, in the order of its text.
        origin: the electron's function.
    """

    type_name: str
    module: str
    message: str
    arguments: tuple[object, ...] | None
    traceback: str
    frames: tuple[Frame, ...] = ()
    origin: Origin = Origin()
    import_name: str | None = None

    @property
    def full_name(self) -> str:
        return self.type_name if self.module == "builtins" else f"{self.module}.{self.type_name}"


@dataclass(frozen=True)
class Outcome:
    """What a task reported.

    Attributes:
        kind: one of `protocol.envelope.OUTCOME_KINDS`.
        stdout, stderr: the electron's, at most 2 MiB each.
        pickle, shown, name, python, cloudpickle: of a value: raw pickle, `str()`, `__name__`, versions that made it.
        raised: the exception, if it raised one.
        signal, exit_status, reason, origin: of a process that ended without a report.
        reason, message: why the task was refused.
        seconds: how long each phase took; peak_memory_bytes: the electron's largest resident set.
        measured: what the trace of the dispatch is to have.
        object_sha256, object_size: of the whole object that holds it, where that was asked for.
        live: whether there are objects of its live output, "" for none; `LATE` where one may even come yet.
    """

    kind: str
    stdout: str
    stderr: str
    attempt: int = 0
    pickle: bytes | mmap.mmap | memoryview = field(default=b"", repr=False)
    shown: str = field(default="", repr=False)
    name: str = ""
    python: str = ""
    cloudpickle: str = ""
    raised: Raised | None = None
    signal: int | None = None
    exit_status: int | None = None
    reason: str = ""
    origin: Origin = Origin()
    message: str = ""
    peak_memory_bytes: int = 0
    out_of_memory_kills: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    live: str = ""
    object_sha256: str = ""
    object_size: int = 0


def read_outcome(stream: BinaryIO, address: TaskAddress, sha256: str = "", envelope: Envelope | None = None) -> Outcome:
    """Read and check an outcome; of a large value the pickle is a view of the stream, which then has to be a file.

    `sha256` is that of the last part's bytes, and `envelope` the stream's header, where they are known already.

    Raises:
        OutcomeError: it is not the one that the task of this call sealed, or makes no sense.
    """
    # Not in a context manager: its generator in the traceback, beside a view of the stream, crashes the garbage
    # collector of CPython 3.12.1.
    try:
        envelope = read_envelope(stream, address.call.key, address.binding(OUTCOME), envelope)
        return outcome_from(stream, envelope, sha256)
    except WireError as error:
        # Its traceback would hold on to the value.
        raise OutcomeError(f"the outcome in the bucket is refused: {error}") from error.with_traceback(None)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise OutcomeError(
            f"the outcome in the bucket makes no sense: {type(error).__name__}: {error!s:.300}"
        ) from error


def read_streams(stream: BinaryIO, key: bytes, bound_to: bytes) -> tuple[str, str]:
    """Stdout and stderr of an attempt that had no ending of its own.

    Raises:
        OutcomeError: they are not what a task of this call sealed.
    """
    return read_partial(stream, key, bound_to)[0]


def read_partial(stream: BinaryIO, key: bytes, bound_to: bytes) -> tuple[tuple[str, str], Measured]:
    """Stdout and stderr of an attempt that had no ending of its own, and what it measured.

    Raises:
        OutcomeError: they are not what a task of this call sealed.
    """
    try:
        envelope = read_envelope(stream, key, bound_to)
        streams = _text(stream, envelope, "stdout"), _text(stream, envelope, "stderr")
        return streams, measured_of(envelope.header)
    except WireError as error:
        raise OutcomeError(f"the output in the bucket is refused: {error}") from error


def read_envelope(stream: BinaryIO, key: bytes, bound_to: bytes, envelope: Envelope | None = None) -> Envelope:
    """The header, with the object's length compared to what it says: so no part is read that cannot be there."""
    envelope = envelope or read_header(stream, key, bound_to)
    size = stream.seek(0, 2)
    if size != envelope.size:
        raise TruncatedError(f"the object has {size} bytes, and its header tells of {envelope.size}")
    return envelope


def read_output(stream: BinaryIO, envelope: Envelope, part: str) -> bytes:
    """What was kept of a stream. Raises WireError."""
    if envelope.entry(part).size > LARGEST_OUTPUT_BYTES:
        raise WireError(f"{part} is longer than any that is kept")
    return read_part(stream, envelope, part)


def _text(stream: BinaryIO, envelope: Envelope, part: str) -> str:
    return decode_output(read_output(stream, envelope, part)) if envelope.has(part) else ""


def _shown(stream: BinaryIO, envelope: Envelope) -> str:
    """A value's text: short, but for that of a sublattice, which is its value."""
    if not envelope.has("string"):
        return ""
    if envelope.entry("string").size > max(LARGEST_SHOWN_BYTES, envelope.entry("value").size):
        raise WireError("the value's text is too long")
    return decode_output(read_part(stream, envelope, "string"))


def decode_output(data: bytes) -> str:
    """What a process wrote, as text."""
    return data.decode("utf-8", "replace")


def outcome_from(stream: BinaryIO, envelope: Envelope, sha256: str = "") -> Outcome:
    """The outcome in an envelope whose seal was checked. Raises WireError, KeyError, TypeError, ValueError."""
    header: Mapping[str, Any] = envelope.header
    kind = header["outcome"]
    if kind not in OUTCOME_KINDS:
        raise ValueError(f"there is no kind {kind!r:.50}")

    is_value = kind == VALUE
    return Outcome(
        kind=kind,
        stdout=_text(stream, envelope, "stdout"),
        stderr=_text(stream, envelope, "stderr"),
        attempt=parse_count(header["attempt"]),
        pickle=_value(stream, envelope, sha256) if is_value else b"",
        shown=_shown(stream, envelope) if is_value else "",
        name=storable_text(header.get("name", "")),
        python=storable_text(header["python"]),
        cloudpickle=storable_text(header.get("cloudpickle", "")),
        raised=raised_of(header["exception"]) if kind == EXCEPTION else None,
        signal=_status(header.get("signal")),
        exit_status=_status(header.get("exit_status")),
        reason=storable_text(header.get("reason", "")),
        origin=_origin(header.get("origin")),
        message=storable_text(header.get("message", "")),
        peak_memory_bytes=parse_count(header.get("peak_memory_bytes") or 0),
        out_of_memory_kills=parse_count(header.get("out_of_memory_kills") or 0),
        seconds={
            storable_text(phase): _duration(seconds) for phase, seconds in dict(header.get("seconds", {})).items()
        },
        measured=measured_of(header),
        live=storable_text(header.get("live", "")),
    )


def _value(stream: BinaryIO, envelope: Envelope, sha256: str) -> bytes | memoryview:
    is_last = envelope.entry("value") == envelope.parts[-1]
    return view_part(stream, envelope, "value", sha256 if is_last else "")


def raised_of(header: Mapping[str, Any]) -> Raised:
    """An exception as the runner described it. Raises KeyError, TypeError, ValueError."""
    arguments = header["args"]
    if arguments is not None and not isinstance(arguments, list):
        raise TypeError("the exception's arguments are not a list")
    return Raised(
        type_name=storable_text(header["type"]),
        module=storable_text(header["module"]),
        message=storable_text(header["message"]),
        arguments=None if arguments is None else tuple(_carried(value) for value in arguments),
        traceback=storable_text(header["traceback"]),
        import_name=None if header.get("import_name") is None else storable_text(header["import_name"]),
        frames=tuple(_frame(*frame) for frame in header.get("frames", ())),
        origin=_origin(header.get("origin")),
    )


def _frame(file: object, function: object, line: object, first_line: object, *span: object) -> Frame:
    names = storable_text(file), storable_text(function)
    columns = (None if number is None else parse_count(number) for number in span)
    # A line is None where an instruction belongs to none.
    return Frame(*names, parse_count(line or 0), parse_count(first_line), *columns)


def _origin(header: Mapping[str, Any] | None) -> Origin:
    return Origin(storable_text(header["file"]), parse_count(header["first_line"])) if header else Origin()


def parse_count(value: object) -> int:
    """A whole number from 0 on. Raises ValueError."""
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise ValueError(f"{value!r:.50} is not a count")
    return value


def _status(value: object) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value <= LARGEST_STATUS):
        raise ValueError(f"{value!r:.50} is neither an exit status nor a signal")
    return value


def _duration(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]  # it is a number here
        raise ValueError(f"{value!r:.50} is not a number of seconds")
    return value  # type: ignore[return-value]  # the same


def _carried(value: object, depth: int = 0) -> object:
    """An argument as the runner carried it: JSON's own, or a list of a kind's name and what it holds."""
    if isinstance(value, str):
        return storable_text(value)
    if type(value) in PLAIN:
        return value
    if not isinstance(value, list):
        raise TypeError(f"no argument is carried as a {type(value).__name__}")
    kind, held = value
    if kind == "bytes":
        return binascii.a2b_base64(held)
    if kind not in ("tuple", "list") or depth > DEEPEST_ARGUMENT:
        raise ValueError(f"no argument is carried as {kind!r}")
    items = [_carried(item, depth + 1) for item in held]
    return tuple(items) if kind == "tuple" else items


def storable_text(text: object) -> str:
    """The text with lone surrogates spelled out: they come from file names that are not UTF-8, and Covalent, which has
    to store the text, would leave the electron RUNNING for ever.
    """
    if not isinstance(text, str):
        raise TypeError(f"a {type(text).__name__} stands where text belongs")
    return text.encode("utf-8", "backslashreplace").decode()
