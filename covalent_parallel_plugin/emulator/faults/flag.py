"""Read a fault from one line of text: FAMILY:TARGET:WHAT[:FIELD=VALUE]..."""

from __future__ import annotations

from typing import Any

from .catalogue import TARGETS
from .rule import Fault, FaultError

_WHOLE = ("first", "skip", "every", "exit_code", "per_minute")
_DECIMAL = ("rate", "seconds", "after_seconds", "notice_seconds", "window_seconds")
_YES_OR_NO = ("before_run", "goes_on", "concurrent", "keeps_hash", "spares_running")
_FORM = "FAMILY:TARGET:WHAT[:FIELD=VALUE]..., such as rpc:GetJob:UNAVAILABLE:rate=0.1"


def parse_flag(text: str) -> Fault:
    """Read one rule; TARGET is a method, a kind of request or a job's pattern. Raises FaultError.

    WHAT is a kind without its family, or just the code: a gRPC status, an HTTP status, a task's exit code.
    """
    family, *rest = text.split(":")
    if len(rest) < 2 or not rest[0] or not rest[1]:
        raise FaultError(f"fault {text!r} must be {_FORM}")
    if family not in TARGETS:
        raise FaultError(f"fault {text!r}: there is no family {family!r}: use one of {', '.join(TARGETS)}")
    target, what, *pairs = rest
    given: dict[str, Any] = {"name": text, TARGETS[family]: target}
    if family in ("rpc", "logging") and what.isupper():
        given.update(kind=f"{family}.error", code=what)
    elif family in ("storage", "api") and what.isdecimal():
        given.update(kind=f"{family}.error", code=int(what))
    elif family == "attempt" and what.isdecimal():
        given.update(kind="attempt.exit", exit_code=int(what))
    else:
        given["kind"] = f"{family}.{what.replace('-', '_')}"
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise FaultError(f"fault {text!r}: {pair!r} must be FIELD=VALUE")
        if name.startswith("label."):
            given.setdefault("labels", {})[name.removeprefix("label.")] = value
        else:
            given[name] = _typed(text, name, value)
    unknown = next((name for name in given if name not in Fault.__dataclass_fields__), None)
    if unknown is not None:
        raise FaultError(f"fault {text!r}: it has no field {unknown!r}")
    return Fault(**given)


def _typed(text: str, name: str, value: str) -> str | int | float | bool:
    if name in _YES_OR_NO:
        if value not in ("true", "false"):
            raise FaultError(f"fault {text!r}: {name} {value!r} must be true or false")
        return value == "true"
    for names, read, wanted in ((_WHOLE, int, "a whole number"), (_DECIMAL, float, "a number")):
        if name in names:
            try:
                return read(value)
            except ValueError as error:
                raise FaultError(f"fault {text!r}: {name} {value!r} must be {wanted}") from error
    return value
