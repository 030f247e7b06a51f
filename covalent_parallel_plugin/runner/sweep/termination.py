"""Notice SIGTERM: the machine is being taken away, or the job ended."""

from __future__ import annotations

import contextlib
import os
import signal


class Termination:
    """From when it is made on, SIGTERM makes its descriptor readable, and nothing more."""

    def __init__(self) -> None:
        self.descriptor, self._writer = os.pipe()
        self.has_come = False
        os.set_blocking(self._writer, False)
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.has_come = True
        with contextlib.suppress(OSError):  # it was signalled several times
            os.write(self._writer, b"x")
