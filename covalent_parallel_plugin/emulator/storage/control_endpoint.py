"""Answer the stand-in's own addresses, /_emulator/counts and /_emulator/faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..faults.plan import FaultPlan
from ..faults.rule import FaultError, Faults
from .routes import Reply
from .rules import StorageRefusal

EMULATOR_CALLS = frozenset({"emulator.counts", "emulator.faults", "emulator.set_faults"})


def answer_emulator_call(kind: str, body: bytes, plan: FaultPlan, counts: Mapping[str, Any]) -> Reply:
    """Give the counters, or the faults, which a PUT replaces first. Raises StorageRefusal: 400."""
    if kind == "emulator.counts":
        return Reply(200, dict(counts))
    if kind == "emulator.set_faults":
        try:
            plan.set(Faults.from_text(body.decode()))
        except (FaultError, UnicodeDecodeError) as error:
            raise StorageRefusal(400, "invalid", str(error)) from error
    return Reply(200, {"faults": plan.faults.to_json(), "consumed": plan.consumed})
