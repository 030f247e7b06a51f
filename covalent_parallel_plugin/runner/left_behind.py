"""What an electron leaves behind when it ends: its processes that still run, and the message about what was cut off."""

from __future__ import annotations

import os
import signal
from typing import List, Mapping, Optional, Tuple, cast

from .outcome_report import Ending

LONGEST_COMMAND = 80
MOST_PROCESSES = 10


def running_processes(group: int) -> Tuple[str, ...]:
    """The processes of a group that still run, such as "123 (sleep 45)", without its leader; () without /proc."""
    found: List[str] = []
    for name in _process_numbers():
        try:
            with open("/proc/%s/stat" % name, "rb") as file:
                # Behind the name, which may hold anything: state, parent, group (proc(5))
                state, _, its_group = file.read().rsplit(b")", 1)[1].split()[:3]
            if int(its_group) == group and int(name) != group and state not in (b"Z", b"X"):
                with open("/proc/%s/cmdline" % name, "rb") as file:
                    words = file.read(LONGEST_COMMAND).rstrip(b"\0").replace(b"\0", b" ")
                found.append("%s (%s)" % (name, words.decode("utf-8", "backslashreplace").replace("\n", " ")))
        except (OSError, ValueError, IndexError):
            # It has ended meanwhile.
            continue
    return tuple(found)


def _process_numbers() -> List[str]:
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def ending_note(ending: Ending, report: Optional[Mapping[str, object]], time_limit_seconds: float) -> str:
    """A message that says what of the electron's program was cut off, or how it answered SIGTERM; "" for nothing.

    Args:
        report: how the electron's function ended, if it had returned or raised before.
    """
    sentences = []
    has_report = report is not None
    traceback = ""
    if ending.reason == "terminated":
        sentences.append(_answer(ending))
        traceback = _raised(report or {})
    if has_report and ending.signal is not None:
        cause = "by signal %d" % ending.signal
        if ending.reason == "time_limit":
            cause = "at its time_limit of %g s, where the trace above shows it" % time_limit_seconds
        sentences.append(
            "its function had ended, and what it had left to the end of the program (threads, pools, atexit handlers)"
            " was cut off %s" % cause
        )
    if has_report and ending.left_behind:
        shown = ", ".join(ending.left_behind[:MOST_PROCESSES])
        more = len(ending.left_behind) - MOST_PROCESSES
        sentences.append(
            "the processes that it had started and not waited for were killed: %s%s"
            % (shown, " and %d more" % more if more > 0 else "")
        )
    told = [sentence for sentence in sentences if sentence]
    return traceback + ("the electron has ended: %s" % "; ".join(told) if told else "")


def _raised(report: Mapping[str, object]) -> str:
    """The traceback of what the electron raised at SIGTERM, which is not its outcome; "" for sys.exit."""
    exception = cast(Mapping[str, object], report.get("exception") or {"type": "SystemExit"})
    return "" if exception["type"] == "SystemExit" else "%s\n" % str(exception["traceback"]).rstrip("\n")


def _answer(ending: Ending) -> str:
    if ending.exit_status is not None:
        return "it answered SIGTERM with exit status %d" % ending.exit_status
    if ending.signal == signal.SIGTERM:
        return ""
    if ending.signal == signal.SIGKILL:
        return "it had not ended in time after SIGTERM, and was killed"
    return "signal %d ended it after SIGTERM" % ending.signal if ending.signal is not None else ""
