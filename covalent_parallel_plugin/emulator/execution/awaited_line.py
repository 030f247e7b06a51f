"""Wait for a line of a task's output that holds a text."""

from __future__ import annotations

from collections.abc import Callable


class AwaitedLine:
    """Calls `then` once: at the first line that holds `text`, or at `start` where the text is empty."""

    def __init__(self, text: str, then: Callable[[], object]) -> None:
        self._text = text
        self._then: Callable[[], object] | None = then

    def start(self) -> None:
        """Begin to wait."""
        if not self._text:
            self.hear("")

    def hear(self, line: str) -> None:
        """Take a line."""
        if self._then is not None and self._text in line:
            then, self._then = self._then, None
            then()
