"""What tasks that are processes find of Python: the standard library and pip, and what others have installed."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from covalent_parallel_plugin.emulator.model.user_cache import TodaysFolder, UserCache, make_once
from covalent_parallel_plugin.emulator.runtimes.plain_python import plain_python
from covalent_parallel_plugin.emulator.runtimes.task_python import TaskPython
from covalent_parallel_plugin.protocol.environment import ENV_PACKAGES


def cache(folder: Path) -> UserCache:
    return UserCache({"XDG_CACHE_HOME": str(folder)})


def test_an_image_stands_for_a_python_of_this_version_without_packages_made_once(tmp_path: Path) -> None:
    found = {TaskPython(cache=cache(tmp_path)).interpreter(image, tmp_path)[0] for image in ("python:3", "own")}
    (python,) = found
    code = (
        "import importlib.util, sys\n"
        "print(*sys.version_info[:2], *[importlib.util.find_spec(name) is not None\n"
        "  for name in ('pip', 'covalent', 'cloudpickle', 'covalent_parallel_plugin')])"
    )
    major, minor = sys.version_info[:2]
    commands = ([python, "-c", code], [str(Path(python).parent / "pip"), "--version"])
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.strip()
        for command in commands
    )
    assert first == f"{major} {minor} True False False False" and second.startswith("pip ")
    assert stat.S_IMODE((tmp_path / "covalent-parallel").stat().st_mode) == 0o700


def test_one_whose_own_python_has_gone_is_made_anew(tmp_path: Path) -> None:
    python = plain_python(tmp_path)
    python.unlink()
    python.symlink_to("/no/such/python3")
    assert plain_python(tmp_path) == python and python.exists()


def test_with_site_packages_it_is_the_one_that_runs_this(tmp_path: Path) -> None:
    chosen = TaskPython(site_packages=True, cache=cache(tmp_path))
    assert chosen.interpreter("python:3", tmp_path) == (sys.executable,)
    assert ENV_PACKAGES not in chosen.shared_variables(sys.executable, {}), "its packages may change at any time"


def test_requirements_are_shared_by_tasks_with_the_same_settings_of_pip_and_downloads_by_all(tmp_path: Path) -> None:
    chosen, other = TaskPython(cache=cache(tmp_path)), TaskPython(cache=cache(tmp_path))
    python = chosen.interpreter("python:3", tmp_path)[0]
    other.interpreter("python:3", tmp_path)
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = https://one/simple\n")
    given = {"PIP_CONFIG_FILE": str(settings)}
    mine = chosen.shared_variables(python, {**given, "PIP_TARGET": "/a"})
    assert other.shared_variables(python, {**given, "PIP_TARGET": "/b"}) == mine
    elsewhere = chosen.shared_variables(python, {**given, "PIP_INDEX_URL": "https://two/simple"})
    settings.write_text("[global]\nindex-url = https://three/simple\n")
    changed = chosen.shared_variables(python, given)
    assert len({folder[ENV_PACKAGES] for folder in (mine, elsewhere, changed)}) == 3
    assert mine["PIP_CACHE_DIR"] == elsewhere["PIP_CACHE_DIR"] == str(tmp_path / "covalent-parallel" / "pip")
    assert "PIP_CACHE_DIR" not in chosen.shared_variables(python, {"PIP_CACHE_DIR": "/own"})
    for runtime in (chosen, other):
        runtime.close()
    assert Path(mine[ENV_PACKAGES]).is_dir(), "no emulator's end removes it"


def test_what_the_user_removes_while_an_emulator_runs_is_made_anew(tmp_path: Path) -> None:
    chosen = TaskPython(cache=cache(tmp_path))
    python = chosen.interpreter("python:3", tmp_path)[0]
    shared = chosen.shared_variables(python, {})
    shutil.rmtree(tmp_path / "covalent-parallel")
    assert chosen.interpreter("python:3", tmp_path) == (python,) and Path(python).exists()
    assert chosen.shared_variables(python, {}) == shared
    assert all(Path(folder).is_dir() for folder in shared.values())
    chosen.close()


def test_folders_of_a_week_ago_go_unless_an_emulator_holds_them(tmp_path: Path) -> None:
    held = TodaysFolder(tmp_path, date(2026, 1, 1))
    (tmp_path / "2026-01-02").mkdir()
    (tmp_path / "2026-01-08").mkdir()
    (tmp_path / "mine").mkdir()
    today = TodaysFolder(tmp_path, date(2026, 1, 10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-01-01", "2026-01-08", "2026-01-10", "mine"]
    held.release()
    today.release()
    TodaysFolder(tmp_path, date(2026, 1, 10)).release()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-01-08", "2026-01-10", "mine"]


def test_where_there_is_no_folder_of_the_users_own_nothing_is_shared(tmp_path: Path) -> None:
    (tmp_path / "covalent-parallel").symlink_to(tmp_path)
    chosen = TaskPython(cache=cache(tmp_path))
    (tmp_path / "own").mkdir()
    python = Path(chosen.interpreter("python:3", tmp_path / "own")[0])
    assert python.exists() and python.is_relative_to(tmp_path / "own")
    assert chosen.shared_variables(str(python), {}) == {}


def test_what_fails_half_way_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    def fail(partial: Path) -> None:
        (partial / "half").touch()
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        make_once(tmp_path / "made", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["made.lock"]
    make_once(tmp_path / "made", lambda partial: (partial / "whole").touch())
    make_once(tmp_path / "made", fail)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["whole"]
