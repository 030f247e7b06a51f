"""The folder for large payloads, before anything is uploaded that might need it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from covalent_parallel_plugin.electron.cache_folder import require_folder
from covalent_parallel_plugin.errors import SettingsError


def test_a_folder_that_is_not_there_is_made_for_all_who_ask_together(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"

    async def ask() -> None:
        await asyncio.gather(*(require_folder(str(folder)) for _ in range(40)))

    asyncio.run(ask())
    assert folder.is_dir()


@pytest.mark.parametrize("name", ["file", "file/folder", "a\0b"])
def test_a_folder_that_cannot_be_made_is_refused_each_time_it_is_asked_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"cache_dir = .* cannot be made: .*: name a folder that can"):
            asyncio.run(require_folder(str(tmp_path / name)))
