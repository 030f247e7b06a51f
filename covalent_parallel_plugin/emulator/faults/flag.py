"""Read a fault from one line of text: FAMILY:TARGET:WHAT[:FIELD=VALUE]..."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .fault import KINDS, Fault, FaultError

TARGETS: Mapping[str, str] = {
    "rpc": "method",
    "logging": "method",
    "storage": "request",
    "api": "request",
    "attempt": "job",
    "job": "job",
}
"""The field that a flag's second part fills, by family."""
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
    rule: dict[str, Any] = {"name": text, TARGETS[family]: target}
    if family in ("rpc", "logging") and what.isupper():
        rule.update(kind=f"{family}.error", code=what)
    elif family in ("storage", "api") and what.isdecimal():
        rule.update(kind=f"{family}.error", code=int(what))
    elif family == "attempt" and what.isdecimal():
        rule.update(kind="attempt.exit", exit_code=int(what))
    else:
        rule["kind"] = f"{family}.{what.replace('-', '_')}"
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise FaultError(f"fault {text!r}: {pair!r} must be FIELD=VALUE")
        if name.startswith("label."):
            rule.setdefault("labels", {})[name.removeprefix("label.")] = value
        else:
            rule[name] = _typed(text, rule["kind"], name, value)
    return Fault(**rule)


def _typed(text: str, kind: str, name: str, value: str) -> Any:
    value_type = KINDS[kind].types.get(name) if kind in KINDS else None
    if value_type is None:  # Fault says what is wrong
        return value
    try:
        return value_type.read(value)
    except ValueError as error:
        raise FaultError(f"fault {text!r}: {name} {value!r} must be {value_type.wanted}") from error
