"""Say who has a port that the emulator was to take, and what to do."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Mapping
from typing import Any

import click

DEFAULT_PORTS = {"storage": 48010, "batch": 48011, "logging": 48012}
ANSWER_SECONDS = 2.0
_FREE_PORTS = " ".join(f"--{service}-port 0" for service in DEFAULT_PORTS)


def port_error(service: str, port: int) -> click.ClickException:
    """Return the error for a port that is taken, after asking what is there."""
    other = _emulator_with(port)
    if other is None:
        holder, remedies = "another program", f"end that one, or give --{service}-port 0, which takes a free port"
    else:
        number = other.get("process")
        holder = f"another emulator of this package (process {number})"
        remedies = f"use that one, end it (kill {number}), or start this one beside it: {_FREE_PORTS}"
    return click.ClickException(f"port {port} of the {service} service is taken by {holder}: {remedies}")


def _emulator_with(port: int) -> Mapping[str, Any] | None:
    """Return what an emulator of this user tells of itself that has the port, for whichever service."""
    # Only the storage service answers over HTTP; it knows the others' addresses
    for asked in dict.fromkeys((port, DEFAULT_PORTS["storage"])):
        # No proxy leads to this machine
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{asked}/_emulator/runtime", timeout=ANSWER_SECONDS) as answer:
                told = json.loads(answer.read(1 << 16))
        except (OSError, ValueError, http.client.HTTPException):
            continue
        if isinstance(told, dict) and port in _ports(told):
            return told
    return None


def _ports(told: Mapping[str, Any]) -> list[int]:
    addresses = told.get("services")
    if not isinstance(addresses, Mapping):
        return []
    ports = (str(address).rpartition(":")[2] for address in addresses.values())
    return [int(port) for port in ports if port.isdecimal()]
