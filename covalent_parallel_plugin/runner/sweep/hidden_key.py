"""Take the sweep's key out of this process's environment, and out of the reach of the programs that it starts."""

from __future__ import annotations

import ctypes
import os

from ...protocol import environment as variables

_PR_SET_DUMPABLE = 4
# proc_pid_stat(5): where the environment that this process was started with lies, counted behind its name
_ENV_START, _ENV_END = 47, 48


def take_key() -> bytes:
    """Return the key; neither /proc/PID/environ nor a debugger shows it to a program of the same user afterwards."""
    key = variables.remove_key(os.environ)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    name = (variables.ENV_KEY + "=").encode()
    at = ctypes.string_at(start, end - start).find(b"\0" + name) if start else -1
    if at >= 0:
        ctypes.memset(start + at + 1 + len(name), ord("0"), 2 * len(key))
    elif start and ctypes.string_at(start, len(name)) == name:
        ctypes.memset(start + len(name), ord("0"), 2 * len(key))
    return key
