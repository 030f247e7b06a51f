"""What `dev` refuses before it starts anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from dev_command import Dev


@pytest.fixture
def dev(tmp_path: Path) -> Dev:
    return Dev(tmp_path)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("nosuch",), 127, "there is no program 'nosuch': give its path, or install it"),
        (("./nosuch",), 127, "there is no program './nosuch'"),
        (("program.py",), 126, "run it with Python: covalent-parallel dev -- python program.py"),
        (("./notes.txt",), 126, "make it executable: chmod +x ./notes.txt"),
        (("/",), 126, "it is a folder"),
        (("python", "programm.py"), 2, "there is no file 'programm.py': did you mean program.py?"),
        (("python3", "folder/other.py", "--flag"), 2, "no file 'folder/other.py': correct the name, or go"),
    ],
)
def test_a_program_that_cannot_run_is_named_with_the_status_that_a_shell_has(
    words: tuple[str, ...], status: int, message: str, dev: Dev
) -> None:
    for name in ("program.py", "notes.txt"):
        (dev.folder / name).touch()
    ended = dev.run("--", *words)
    assert ended.status == status
    assert ended.stderr.startswith("Error: ") and message in ended.stderr
    assert ended.stdout == "" and len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["a folder", "ä", "100%"])
def test_a_folder_for_temporary_files_that_covalent_cannot_use_is_refused(name: str, dev: Dev) -> None:
    folder = dev.temporary / name
    folder.mkdir()
    dev.environment["TMPDIR"] = str(folder)
    ended = dev.run("--runtime=process", "--", "true")
    assert ended.status == 1
    assert str(folder) in ended.stderr and "TMPDIR=/tmp covalent-parallel dev" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1 and list(folder.iterdir()) == []


def test_stop_takes_nothing_else(dev: Dev) -> None:
    ended = dev.run("--stop", "--keep")
    assert ended.status == 2 and "--stop ends what is kept, and nothing else" in ended.stderr


def test_an_emulator_that_cannot_start_is_one_error_and_leaves_nothing(dev: Dev) -> None:
    ended = dev.run("--runtime=process", "--fault", "nonsense", "--", "true")
    assert ended.status == 1
    assert ended.stderr.splitlines()[-1].startswith("Error: ") and "nonsense" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert dev.processes() == [] and dev.folders() == []


def test_a_session_that_cannot_be_noted_is_one_error_and_leaves_nothing(dev: Dev) -> None:
    (dev.folder / "file").touch()
    dev.environment["XDG_STATE_HOME"] = str(dev.folder / "file")
    ended = dev.run("--keep", "--runtime=process", "--", "true")
    assert ended.status == 1
    error = ended.stderr.splitlines()[-1]
    assert error.startswith("Error: --keep notes the session in ") and "XDG_STATE_HOME" in error
    assert dev.processes() == [] and dev.folders() == []
    assert dev.run("--runtime=process", "--", "true").status == 0
