"""Decide who may call: programs of this emulator's own user, its own tasks, and no web page."""

from __future__ import annotations

import functools
import logging
import os
import pwd
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

_log = logging.getLogger(__name__)

Address = tuple[str, int]
ROOT = 0
UNKNOWN = -1
"""The user of a connection that its client has closed."""
# The engine lists the users of its containers in a tenth of a second
_REMEMBERED_SECONDS = 1.0
# Names of loopback, and those that containers have for it
_NAMES = ("localhost", "host.containers.internal", "host.docker.internal")
# sock_diag(7): the request and its answer, inet_diag_req_v2 and inet_diag_msg
_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _REQUEST = 4, 20, 1
_HEADER, _SOCKET_ID, _OWNER = struct.Struct("=IHHII"), struct.Struct("!HH16s16s4s8s"), struct.Struct("=II")
_ANY_STATE, _NO_COOKIE = 0xFFFFFFFF, b"\xff" * 8
_ANSWER_BYTES, _OWNER_OFFSET = 4096, _HEADER.size + 4 + _SOCKET_ID.size + 12


class Callers:
    """The users that may call: root, this process's own, who started it with sudo, and those that tasks run as.

    `task_users` gives the last, and may take its time: it is asked only about users that none of the others is.
    """

    def __init__(self, task_users: Callable[[], Collection[int]] = frozenset) -> None:
        self._own = {ROOT, os.getuid(), os.geteuid()}
        if os.geteuid() == ROOT and os.environ.get("SUDO_UID", "").isdecimal():
            self._own.add(int(os.environ["SUDO_UID"]))
        self._task_users = task_users
        _reports_users()  # the warning comes at the start
        self._lock = threading.Lock()
        self._runs_tasks: dict[int, tuple[float, bool]] = {}

    def is_own(self, user: int | None) -> bool:
        """Return at once whether a user may call; one that the system does not report may."""
        return user is None or user in self._own

    def why_not(self, user: int | None) -> str:
        """Return why a user may not call, "" if it may."""
        if user is None or self.is_own(user) or (user != UNKNOWN and self._is_task_user(user)):
            return ""
        return (
            f"this emulator belongs to {_name(os.geteuid())}, and {_name(user)} may not call it: start one of your "
            "own, covalent-parallel emulator, and set the variables that it prints"
        )

    def _is_task_user(self, user: int) -> bool:
        with self._lock:
            until, is_one = self._runs_tasks.get(user, (0.0, False))
            if until < time.monotonic():
                is_one = user in self._task_users()
                self._runs_tasks[user] = time.monotonic() + _REMEMBERED_SECONDS, is_one
            return is_one


def why_not_from(host: str, origin: str) -> str:
    """Say why a request with these headers (HTTP's Host or gRPC's :authority, and Origin) is refused, "" if it is not.

    A page of any site can send requests to loopback, and under its own name if that is made to lead there.
    """
    if host and not is_loopback(host):
        return (
            f"this emulator answers only under a name of this machine's loopback, and was called as {host!r}: use "
            "the address that it printed, or localhost"
        )
    if origin and not is_loopback(origin.partition("://")[2]):
        return (
            f"a web page of {origin!r} may not call this emulator: call it from a program, which sends no Origin header"
        )
    return ""


@functools.lru_cache(1024)
def is_loopback(authority: str) -> bool:
    """Return whether a host, with or without its port, is this machine's loopback."""
    try:
        name = (urlsplit(f"//{authority}").hostname or "").rstrip(".")
        return name in _NAMES or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:  # no address
        return False


def user_of(client: Address, server: Address) -> int | None:
    """Find the user of a connection's client on this machine; None where the system does not say (only Linux does)."""
    try:
        return _user_of(client, server) if _reports_users() else None
    except OSError:  # such as no descriptor left
        return UNKNOWN


def _user_of(client: Address, server: Address) -> int:
    """Ask the kernel for the client's own socket. Raises OSError."""
    ends = [socket.inet_aton(host) for host, _ in (client, server)]
    wanted = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY_STATE) + _SOCKET_ID.pack(
        client[1], server[1], *ends, bytes(4), _NO_COOKIE
    )
    with socket.socket(getattr(socket, "AF_NETLINK"), socket.SOCK_RAW, _SOCK_DIAG) as kernel:  # noqa: B009  # not macOS's
        kernel.send(_HEADER.pack(_HEADER.size + len(wanted), _SOCK_DIAG_BY_FAMILY, _REQUEST, 0, 0) + wanted)
        answer = kernel.recv(_ANSWER_BYTES)
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:  # an error: there is no such socket any more
        return UNKNOWN
    user, inode = _OWNER.unpack_from(answer, _OWNER_OFFSET)
    # a socket that was closed has no inode, and the user 0
    return int(user) if inode else UNKNOWN


@functools.lru_cache(1)
def _reports_users() -> bool:
    """Return whether the system reports a connection's user: try it with one of this process's own."""
    if sys.platform != "linux":
        return False
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as client,
        ):
            is_reported = _user_of(client.getsockname(), listener.getsockname()) == os.geteuid()
    except OSError:
        is_reported = False
    if not is_reported:
        _log.warning(
            "this system does not report the user of a connection: every user of this machine may call the emulator"
        )
    return is_reported


def _name(user: int) -> str:
    if user == UNKNOWN:
        return "an unknown user"
    try:
        return f"user {user} ({pwd.getpwuid(user).pw_name})"
    except KeyError:
        return f"user {user}"
