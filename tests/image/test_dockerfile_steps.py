"""What runs in the base image while it is built, and the wheel that it installs."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import pytest

from covalent_parallel_plugin import __version__
from covalent_parallel_plugin.cli.image.build_context import COPIED
from covalent_parallel_plugin.cli.image.dockerfile_steps import (
    NEEDED_OF_COVALENT,
    libraries,
    make_user,
    needed_requirements,
    trim,
)
from covalent_parallel_plugin.cli.image.wheel import write_wheel


def test_covalents_own_ranges_are_kept() -> None:
    declared = [
        "dask[distributed]>=2022.6.0",
        "sqlalchemy<2.0.0,>=1.4",
        "requests (>=2.24)",
        "boto3>=1; extra == 'aws'",
    ]
    rest = sorted(NEEDED_OF_COVALENT - {"dask", "requests"})
    chosen = needed_requirements([*declared, *rest])
    assert {"dask>=2022.6.0", "requests>=2.24"} <= set(chosen)
    assert len(chosen) == len(NEEDED_OF_COVALENT)


def test_the_covalent_that_is_installed_declares_all_that_is_needed() -> None:
    chosen = needed_requirements(importlib.metadata.requires("covalent") or [])
    assert len(chosen) == len(NEEDED_OF_COVALENT)


def test_a_covalent_that_declares_other_packages_is_refused() -> None:
    with pytest.raises(ValueError, match=r"does not declare .*dask"):
        needed_requirements(["requests"])


def test_tests_and_the_servers_parts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = ["dask/core.py", "other/tests/t.py", "covalent_ui/app.py", "covalent/executor/executor_plugins/local.py"]
    gone = ["dask/array/tests/t.py", "networkx/tests/x/t.py", "covalent_ui/webapp/a/b.js",
            "covalent/executor/executor_plugins/dask.py"]  # fmt: skip
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    trim(tmp_path)
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()) == sorted(kept)


def test_another_python_than_the_wanted_is_refused_before_anything_is_installed() -> None:
    with pytest.raises(SystemExit, match=r"the base image has Python 3.*, and Python 3\.2 is wanted"):
        libraries("3.2", "0", "0")


def test_the_user_is_entered_once_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/sh")
    make_user(tmp_path)
    make_user(tmp_path)
    assert (tmp_path / "passwd").read_text().splitlines() == [
        "root:x:0:0:root:/root:/bin/sh",
        "covalent:x:10001:10001::/home/covalent:/bin/sh",
    ]
    assert (tmp_path / "group").read_text() == "covalent:x:10001:\n"


def test_the_recipes_user_is_the_one_that_is_entered() -> None:
    recipe = COPIED["Dockerfile"].read_text()
    assert "\nUSER 10001:10001\n" in recipe
    assert "\nENV HOME=/home/covalent\n" in recipe


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the wheel, from an empty context."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = write_wheel(tmp_path_factory.mktemp("context"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return folder


def run(installed: Path, code: str, *packages: Path) -> str:
    # -S: no site-packages, as in a Python with nothing else
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": os.pathsep.join(map(str, (installed, *packages))), "PATH": os.environ["PATH"]},
        cwd=installed,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_pip_installs_the_wheel_and_its_version_is_ours(installed: Path) -> None:
    code = "import importlib.metadata as m; print(m.version('covalent-parallel-plugin'))"
    assert run(installed, code) == __version__


def test_the_runner_starts_from_the_wheel_with_the_standard_library_alone(installed: Path) -> None:
    code = "import covalent_parallel_plugin.runner.task_main as s; print(s.__file__)"
    assert run(installed, code).startswith(str(installed))


def test_covalent_finds_the_executor_in_the_wheel(installed: Path) -> None:
    code = (
        "import importlib.metadata as m;"
        "print([e.value for e in m.entry_points(group='covalent.executor.executor_plugins')])"
    )
    assert run(installed, code) == "['covalent_parallel_plugin.gcpbatch']"


def test_an_image_can_be_built_from_what_the_wheel_installed(installed: Path, tmp_path: Path) -> None:
    code = (
        "from covalent_parallel_plugin.cli.image.wheel import write_wheel; from pathlib import Path;"
        f"print(write_wheel(Path({str(tmp_path)!r})))"
    )
    # The command that builds it needs click
    again = Path(run(installed, code, Path(click.__file__).parent.parent))
    with zipfile.ZipFile(again) as archive:
        assert "covalent_parallel_plugin/assets/docker/Dockerfile" in archive.namelist()


def test_the_wheels_bytes_do_not_depend_on_when_it_is_made(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_wheel(tmp_path)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert [member.filename for member in archive.infolist() if "__pycache__" in member.filename] == []
