"""A call of the user's function, after which Python is as before: its builtins, limits and tracers, and no handlers.

What is put back here is what the standard library needs for a report. The program's end has the user's again.
"""

from __future__ import annotations

import builtins
import signal
import sys
from typing import Any, Callable, Set

from ..protocol.bounded_text import resource

# Taken now: the electron may put something else in their places.
_names = vars(builtins)
_builtins = dict(_names)
_tracers = (sys.setprofile, sys.settrace)
_limit_of, _set_limit, _recursion_limit = sys.getrecursionlimit, sys.setrecursionlimit, sys.getrecursionlimit()
_set_mask, _block, _set = signal.pthread_sigmask, signal.SIG_BLOCK, signal.SIG_SETMASK
# For which a program has handlers; not the one at which faulthandler shows the stack
_names_of_signals = ("ALRM", "VTALRM", "PROF", "CHLD", "HUP", "INT", "IO", "QUIT", "TERM", "USR1", "WINCH")
_signals = {getattr(signal, "SIG" + name) for name in _names_of_signals}
_signals_but_term = _signals - {signal.SIGTERM}
_held = None  # type: Any
_get_limits, _set_limits = getattr(resource, "getrlimit", None), getattr(resource, "setrlimit", None)  # type: Any, Any
_kinds = [getattr(resource, "RLIMIT_" + name) for name in ("AS", "DATA", "FSIZE", "NOFILE")] if resource else []
_limits = {kind: _get_limits(kind) for kind in _kinds}
# What the user had put into `builtins`, and the limits that the user had set
_replaced = {}  # type: Any
_lowered = {}  # type: Any


def call_user(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what the function returns, or raise what it raises; but for SIGTERM's, handlers wait from then on."""
    try:
        release_signals()
        return function(*args, **kwargs)
    finally:
        for switch_off in _tracers:
            try:
                switch_off(None)
            except BaseException:
                # A profiler that raises at this very call: Python removes it then.
                pass
        _put_back()


def _put_back() -> None:
    # First: even `pthread_sigmask` needs builtins.
    _replaced.update(
        {name: _names[name] for name in _builtins if name in _names and _names[name] is not _builtins[name]}
    )
    _names.update(_builtins)
    hold_signals(_signals_but_term)
    if _limit_of() < _recursion_limit:
        _set_limit(_recursion_limit)
    for kind, (soft, _) in _limits.items():
        found = _get_limits(kind)
        # -1 is none (RLIM_INFINITY).
        if found[0] not in (soft, found[1]) and found[0] != -1:
            _lowered.setdefault(kind, found)
            _set_limits(kind, (found[1] if soft == -1 or -1 < found[1] < soft else soft, found[1]))


def hold_signals(signals: "Set[Any]" = _signals) -> None:
    """Have no handler of the user's run in this thread until `release_signals`."""
    global _held
    before = _set_mask(_block, signals)
    if _held is None:
        _held = before


def release_signals() -> None:
    """Have handlers run again, those of signals that came meanwhile at once."""
    global _held
    held, _held = _held, None
    if held is not None:
        _set_mask(_set, held)


def give_back() -> None:
    """Have builtins and limits again as the user had set them."""
    for kind, limits in _lowered.items():
        _set_limits(kind, limits)
    _names.update(_replaced)
