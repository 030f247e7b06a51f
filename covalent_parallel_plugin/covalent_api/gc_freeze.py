"""Spare the garbage collector what the process held before, while electrons are in flight; short, since that is all.

A server has a few hundred thousand objects that stay: modules, classes, Covalent's own. With a thousand electrons in
flight the collector would walk through all of them several times, and each walk would hold the server's event loop for
a fifth of a second. What is set aside comes back when nothing is in flight any more, so nothing is kept for good.
"""

from __future__ import annotations

import gc
import threading

_lock = threading.Lock()
_in_flight = 0
_is_ours = False


def begin() -> None:
    """An electron is in flight. A process that sets objects aside by itself is left as it is."""
    global _in_flight, _is_ours
    with _lock:
        _in_flight += 1
        if _in_flight == 1 and not gc.get_freeze_count():
            gc.freeze()
            _is_ours = True


def end() -> None:
    """Record that one electron has ended; unfreeze when none is left."""
    global _in_flight, _is_ours
    with _lock:
        _in_flight -= 1
        if _in_flight == 0 and _is_ours:
            gc.unfreeze()
            _is_ours = False
