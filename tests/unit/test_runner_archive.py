"""The runner as a job carries it."""

from __future__ import annotations

import ast
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from covalent_parallel_plugin import __version__
from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.protocol import exit_codes
from covalent_parallel_plugin.runner import bootstrap

# These run on machines whose Python is the dispatcher's


def test_the_bytes_are_the_same_whenever_they_are_made() -> None:
    other = subprocess.run(
        [
            sys.executable,
            "-c",
            "from covalent_parallel_plugin.batch import runner_archive as a; print(a.runner_archive().sha256)",
        ],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
    )
    assert other.stdout.strip() == runner_archive.runner_archive().sha256


def test_the_digest_is_that_of_the_bytes_and_part_of_the_name() -> None:
    runner = runner_archive.runner_archive()
    assert hashlib.sha256(runner.data).hexdigest() == runner.sha256
    assert runner.object_name == f"covalent-parallel-runner/{__version__}-{runner.sha256[:16]}.zip"


def test_the_command_pins_version_and_digest() -> None:
    assert runner_archive.command() == [
        "-c",
        runner_archive.bootstrap_source(),
        __version__,
        runner_archive.runner_archive().sha256,
    ]


def test_a_sweeps_command_names_another_module_of_a_larger_archive() -> None:
    archive = runner_archive.runner_archive(for_sweeps=True)
    assert runner_archive.command(for_sweeps=True)[2:] == [__version__, archive.sha256, "runner.sweep.prepare"]
    assert len(archive.data) > len(runner_archive.runner_archive().data)


def test_the_bootstrap_has_no_docstring_and_reads_on_old_pythons() -> None:
    source = runner_archive.bootstrap_source()
    assert ast.get_docstring(ast.parse(source)) is None
    ast.parse(source, feature_version=(3, 5))


def test_the_bootstraps_exit_statuses_are_the_packages() -> None:
    source = Path(bootstrap.__file__).read_text(encoding="utf-8")
    exits = re.findall(r"sys\.exit\((.*)\)\n", source)
    found = {int(number) for text in exits for number in re.findall(r"(?<!\d)\d\d(?!\d)", text)}
    defined = {value for name, value in vars(exit_codes).items() if name.startswith("EXIT_")}
    assert {exit_codes.EXIT_NO_RUNNER, exit_codes.EXIT_BAD_RUNNER} < found <= defined


def test_what_travels_for_electrons_reads_on_python_3_7() -> None:
    with zipfile.ZipFile(io.BytesIO(runner_archive.runner_archive().data)) as runner:
        ours = [name for name in runner.namelist() if name.endswith(".py") and not name.startswith("cloudpickle/")]
        for name in ours:
            ast.parse(runner.read(name), name, feature_version=(3, 7))


@pytest.mark.parametrize(
    ("for_sweeps", "rooms"), [(False, ("runner",)), (True, ("runner", "runner/sweep", "programs"))]
)
def test_every_module_of_the_runner_travels(for_sweeps: bool, rooms: tuple[str, ...]) -> None:
    folder = Path(runner_archive.__file__).parent.parent
    expected = {str(path.relative_to(folder)) for room in rooms for path in (folder / room).glob("*.py")}
    expected.remove("runner/bootstrap.py")
    with zipfile.ZipFile(io.BytesIO(runner_archive.runner_archive(for_sweeps).data)) as runner:
        prefix = f"{runner_archive.ARCHIVED_PACKAGE}/"
        names = {name.removeprefix(prefix) for name in runner.namelist() if name.startswith(prefix)}
    assert expected == {name for name in names if name.startswith(rooms) and name.endswith(".py")}


@pytest.mark.parametrize("for_sweeps", [False, True])
def test_the_archive_can_be_imported_without_anything_else(for_sweeps: bool, tmp_path: Path) -> None:
    path = tmp_path / "runner.zip"
    path.write_bytes(runner_archive.runner_archive(for_sweeps).data)
    with zipfile.ZipFile(path) as runner:
        modules = [
            name.removesuffix(".py").replace("/", ".")
            for name in runner.namelist()
            if name.startswith(f"{runner_archive.ARCHIVED_PACKAGE}/")
            and name.endswith(".py")
            and "__init__" not in name
        ]
    lines = [
        "import sys",
        f"sys.path.append({str(path)!r})",
        *(f"import {module}" for module in [*modules, "cloudpickle"]),
        "print(cloudpickle.__file__)",
    ]
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert str(path) in ended.stdout


def test_the_bytecode_along_with_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "runner.zip"
    path.write_bytes(runner_archive.runner_archive().data)
    source = "\n".join(
        [
            "import sys",
            f"sys.path.append({str(path)!r})",
            f"import {runner_archive.ARCHIVED_PACKAGE}.protocol.envelope as envelope",
            "print(envelope.__spec__.cached or envelope.__file__)",
        ]
    )
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, text=True, check=True)
    assert ended.stdout.strip().endswith(".pyc")
