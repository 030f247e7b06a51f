"""A call of the user's function, after which Python is as before: its modules, limits and tracers, and no handlers.

What is put back here is what the standard library needs for a report. The next call, and the program's end, have the
user's again.
"""

from __future__ import annotations

import operator
import signal
import sys
from typing import Any, Callable, Set

from ..protocol.bounded_text import resource

# Taken now: the electron may put something else in their places.
_module_names = "builtins json.encoder json.decoder traceback linecache contextlib warnings"
_modules = [vars(sys.modules[name]) for name in _module_names.split() if name in sys.modules]
# What each of them has; last comes what is loaded, as it is before each call
_loaded = sys.modules
_own = [(names, dict(names)) for names in (*_modules, _loaded)]
_all, _map, _len, _same = all, map, len, operator.is_
_tracers = (sys.setprofile, sys.settrace)
_limit_of, _set_limit, _recursion_limit = sys.getrecursionlimit, sys.setrecursionlimit, sys.getrecursionlimit()
_set_mask, _block, _set = signal.pthread_sigmask, signal.SIG_BLOCK, signal.SIG_SETMASK
# For which a program has handlers; not the one at which faulthandler shows the stack
_names_of_signals = ("ALRM", "VTALRM", "PROF", "CHLD", "HUP", "INT", "IO", "QUIT", "TERM", "USR1", "WINCH")
_signals = {getattr(signal, "SIG" + name) for name in _names_of_signals}
_signals_but_term = _signals - {signal.SIGTERM}
_held = None  # type: Any
_are_all_held = False
_get_limits, _set_limits = getattr(resource, "getrlimit", None), getattr(resource, "setrlimit", None)  # type: Any, Any
_kinds = [getattr(resource, "RLIMIT_" + name) for name in ("AS", "DATA", "FSIZE", "NOFILE")] if resource else []
_limits = {kind: _get_limits(kind) for kind in _kinds}
# Stands for a name that the user had deleted
_deleted = object()
# What the user had put into these modules, and the limits that the user had set
_replaced = []  # type: Any
_lowered = {}  # type: Any


def call_user(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what the function returns, or raise what it raises; but for SIGTERM's, handlers wait from then on."""
    try:
        give_back()
        _own[-1] = _loaded, _loaded.copy()
        return function(*args, **kwargs)
    finally:
        for switch_off in _tracers:
            try:
                switch_off(None)
            except BaseException:
                # A profiler that raises at this very call: Python removes it then.
                pass
        try:
            _put_back()
        except BaseException:
            # A handler's, which came before it was held
            _put_back()
            raise


def _put_back() -> None:
    # First, and with nothing of `builtins`: all else needs them.
    for names, own in _own:
        if _len(names) == _len(own) and _all(_map(_same, names.values(), own.values())):
            continue
        changed = {name: names.get(name, _deleted) for name in own if names.get(name, _deleted) is not own[name]}
        _replaced.append((names, changed))
        names.update(own)
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
    """Have no handler of the user's run in this thread until `give_back`."""
    global _held, _are_all_held
    if not _are_all_held:
        before = _set_mask(_block, signals)
        _held = before if _held is None else _held
        _are_all_held = signals is _signals


def give_back() -> None:
    """Have modules, limits and handlers again as the user had set them."""
    global _held, _are_all_held
    for kind, limits in _lowered.items():
        _set_limits(kind, limits)
    _lowered.clear()
    held, _held, _are_all_held = _held, None, False
    try:
        if held is not None:
            # Those of signals that came meanwhile run at once.
            _set_mask(_set, held)
    finally:
        while _replaced:
            names, changed = _replaced.pop()
            names.update(changed)
            for name in changed:
                if changed[name] is _deleted:
                    del names[name]
