"""A run in a notebook: the table of a terminal as HTML, updated in place; a saved notebook keeps the last one."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console

from .interruption import Interruption
from .live_table import RunTable, rendered
from .run_progress import RunProgress

LEAST_SECONDS = 0.25
WIDTH_COLUMNS = 100
# Without a background, and with the notebook's colour of text
_HTML = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace\">{code}</pre>"
)

Bundle = Mapping[str, str]
"""One thing to show in several types: MIME type -> text."""


def in_notebook() -> bool:
    """Return whether this runs in a notebook's kernel; nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    # A terminal's IPython has no kernel
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class NotebookTable(RunTable):
    """Shows a run while it is entered: once, then in place of that, now and then and where something has changed.

    Args:
        show: displays a bundle, each in place of the one before; else the notebook's output does.
        clock: s, from any start.
    """

    def __init__(
        self,
        progress: RunProgress,
        interruption: Interruption,
        show: Callable[[Bundle], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(progress, interruption)
        self._show_bundle = show if show is not None else in_place()
        self._clock = clock
        self._next = 0.0
        self._shown: Bundle = {}

    def __enter__(self) -> NotebookTable:
        self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()

    def tick(self) -> None:
        """Show it again, if it is time."""
        self._interruption.poll()
        if self._clock() >= self._next:
            self._show()

    def _show(self) -> None:
        self._next = self._clock() + LEAST_SECONDS
        bundle = _bundle(self._progress, self._interruption.note)
        if bundle != self._shown:
            self._shown = bundle
            self._show_bundle(bundle)


def in_place() -> Callable[[Bundle], None]:
    """Return what shows bundles in the notebook's output, each in place of the one before."""
    from IPython.display import DisplayHandle

    handle = DisplayHandle()
    show = handle.display

    def show_or_update(bundle: Bundle) -> None:
        nonlocal show
        show(dict(bundle), raw=True)
        show = handle.update

    return show_or_update


def _bundle(progress: RunProgress, note: str) -> Bundle:
    console = Console(file=io.StringIO(), record=True, width=WIDTH_COLUMNS, force_jupyter=False, highlight=False)
    console.print(rendered(progress, note))
    html = console.export_html(code_format=_HTML, inline_styles=True, clear=False)
    return {"text/html": html, "text/plain": console.export_text().rstrip()}
