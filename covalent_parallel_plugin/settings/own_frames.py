"""Tracebacks of mistakes in what a user gives: they end at the user's line, without this package's frames."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

from ..errors import ParallelError

P = ParamSpec("P")
T = TypeVar("T")
PACKAGE = __name__.partition(".")[0]


def hide_own_frames(function: Callable[P, T]) -> Callable[P, T]:
    """Have what this package raises of a mistake in the arguments end at the caller's line.

    What somebody else's code raises keeps its traceback. Python 3.10 shows the line that calls `function` besides.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (ParallelError, TypeError) as error:
            frames = error.__traceback__
            if frames is not None and _is_own(frames):
                # From Python 3.11 on a bare `raise` adds no frame of its own, and takes the traceback from the error.
                frames.tb_next = None
                error.__traceback__ = None
            raise

    return call


def _is_own(frames: TracebackType) -> bool:
    """Whether it was raised in this package."""
    while frames.tb_next is not None:
        frames = frames.tb_next
    return str(frames.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == PACKAGE
