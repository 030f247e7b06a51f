"""How electrons ended, as their tasks report it in status events: read, and named in a few words; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...protocol.ending_event import RAN_ITEMS, reports_failure

_EVENT = re.compile(r"""electron (?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*") \(node -?\d+\) (.*)""", re.DOTALL)
_RAISED = re.compile(r"(has errors in place of |.*?, of which )(\d+)( values, | raised, )the first ")
_RAN = re.compile(rf"{RAN_ITEMS}\b|has errors in place of \d+ values, the first ")


def ending_of(event: str) -> str:
    """Return how an electron ended, as in "raised ValueError: no data", of an event's text; "" of another event."""
    found = _EVENT.fullmatch(event)
    return found[1] if found else ""


def raised_items(ending: str) -> int:
    """Return how many items of a task of a map raised."""
    found = _RAISED.match(ending)
    return int(found[2]) if found else 0


def did_run_items(ending: str) -> bool:
    """Whether a task of a map came to the end of its items."""
    return _RAN.match(ending) is not None


def joint_ending(events: Iterable[str]) -> tuple[str, bool]:
    """Return how an electron ended whose tasks report these events, and whether it failed; "" where none reports it.

    It ended as a task that did not come to the end of its items, else as one of which items raised, else as any other;
    items that raised are counted over all tasks.
    """
    told = [(ending, reports_failure(event)) for event in events if (ending := ending_of(event))]
    if not told:
        return "", False
    chosen, has_failed = min(told, key=lambda one: (not one[1], did_run_items(one[0]), not raised_items(one[0])))
    if did_run_items(chosen):
        count = sum(raised_items(ending) for ending, _ in told)
        chosen = _RAISED.sub(lambda found: f"{found[1]}{count}{found[3]}the first ", chosen, count=1)
    return chosen, has_failed


def short_ending(ending: str) -> str:
    """Return an ending's name, without packages and messages: "raised ValueError", or "3 items raised" of a map."""
    if did_run_items(ending):
        count = raised_items(ending) if ending.startswith(RAN_ITEMS) else 0
        return f"{count} item{'' if count == 1 else 's'} raised" if count else RAN_ITEMS
    name = ending.split(", of which ")[0].split(":", 1)[0]
    return f"raised {name.rpartition('.')[2]}" if name.startswith("raised ") and "." in name else name
