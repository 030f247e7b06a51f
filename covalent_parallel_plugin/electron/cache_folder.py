"""The folder for large payloads: made, and known to be usable, before anything is uploaded that might need it later."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from pathlib import Path

import aiofiles.os

from ..cloud.per_loop import PerLoop
from ..errors import SettingsError

# When a folder was seen to be usable, on the monotonic clock
_usable_folders: dict[str, float] = {}
USABLE_SECONDS = 5.0
# One look at a time in each event loop: electrons that start together need one
_locks = PerLoop(asyncio.Lock)


async def require_folder(path: str) -> None:
    """Have the folder; what was found usable a moment ago is not looked at again.

    Raises:
        SettingsError: it cannot be made or written to.
    """
    if _was_usable(path):
        return
    async with _locks.here():
        if _was_usable(path):
            return
        try:
            await aiofiles.os.makedirs(path, exist_ok=True)
            is_usable = await aiofiles.os.access(path, os.W_OK | os.X_OK)
        except (OSError, ValueError) as error:
            raise SettingsError([f"cache_dir = {path!r} cannot be made: {error}: name a folder that can"]) from error
        if not is_usable:
            raise SettingsError([f"cache_dir = {path!r} cannot be written to: name a folder that can"])
        _usable_folders[path] = time.monotonic()


def remake_folder(path: str) -> None:
    """Make the folder again if somebody removed it; where that fails, a value may still fit into memory. Blocks."""
    with contextlib.suppress(OSError):
        Path(path).mkdir(parents=True, exist_ok=True)


def _was_usable(path: str) -> bool:
    return time.monotonic() - _usable_folders.get(path, -math.inf) < USABLE_SECONDS
