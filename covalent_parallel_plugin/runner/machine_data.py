"""What this task's machine is, as its metadata server says; asked beside the electron, and never waited for."""

from __future__ import annotations

import http.client
import time
from typing import Callable, Dict, Optional

# https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys; a value is the last part of a path
PATH = "/computeMetadata/v1/instance/"
SECONDS = 2.0
# No value is as long
LONGEST_VALUE = 1000


def machine_of(host: str, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> Dict[str, object]:
    """Return the machine's "type", "zone", "instance" and "spot", as far as `host` says them in time."""
    deadline = clock() + seconds
    connection = http.client.HTTPConnection(host, timeout=seconds)
    found = {}  # type: Dict[str, object]
    try:

        def ask(key: str) -> Optional[str]:
            left = deadline - clock()
            if left <= 0:
                raise OSError("the metadata server takes too long")
            connection.timeout = left
            if connection.sock is not None:
                connection.sock.settimeout(left)
            connection.request("GET", PATH + key, headers={"Metadata-Flavor": "Google"})
            answer = connection.getresponse()
            text = answer.read(LONGEST_VALUE).decode("utf-8", "replace").strip()
            if not answer.isclosed():
                connection.close()
            return text.rsplit("/", 1)[-1] if answer.status == 200 and text else None

        for name, key in (("type", "machine-type"), ("zone", "zone"), ("spot", "scheduling/preemptible")):
            value = ask(key)
            if value is not None:
                found[name] = value.upper() == "TRUE" if name == "spot" else value
        # The number, which is what Batch's events have; an emulator's machines have names alone.
        instance = ask("id") or ask("name")
        if instance is not None:
            found["instance"] = instance
    except (OSError, http.client.HTTPException):
        # What is known by now is known.
        pass
    finally:
        connection.close()
    return found
