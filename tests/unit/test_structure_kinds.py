"""The same functions and values have one key, whatever process, folder and version pickled them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import warm_python

from covalent_parallel_plugin.electron.structure.call_structure import part_structure

SCRIPT = Path(__file__).parent / "structure_kinds" / "kinds.py"
SECONDS = 120
VERSIONS = ("3.1.1", "3.1.2")
Keys = dict[str, str]


def start(script: Path, how: str, hash_seed: int, *path: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(map(str, path))}
    command = [sys.executable, str(script), how]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def result(process: subprocess.Popen[bytes]) -> tuple[str, dict[str, bytes]]:
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors.decode()
    pickles = json.loads(output)
    return pickles.pop("version"), {name: bytes.fromhex(digits) for name, digits in pickles.items()}


def keys_of(pickles: dict[str, bytes]) -> Keys:
    return {name: part_structure(pickle) for name, pickle in pickles.items()}


def with_more_lines(folder: Path, script: Path = SCRIPT) -> Path:
    """The script under another name, with all its functions on other lines."""
    folder.mkdir()
    moved = folder / "moved.py"
    moved.write_text("\n" * 57 + script.read_text().replace("# more lines", "\n" * 13))
    return moved


def cloudpickle_folder(version: str) -> Path:
    """Where a version of cloudpickle is, installed at the first call."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "covalent-parallel"
    folder = caches / f"cloudpickle-{version}"
    if not folder.exists():
        caches.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=caches))
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(made)]
        done = subprocess.run([*install, f"cloudpickle=={version}"], capture_output=True, text=True, timeout=SECONDS)
        if done.returncode != 0:
            shutil.rmtree(made)
            pytest.skip(f"no package index has cloudpickle {version}: {done.stderr[-500:]}")
        try:
            made.rename(folder)
        except OSError:
            # Another worker was sooner.
            shutil.rmtree(made)
    return folder


@pytest.fixture(scope="module")
def plain() -> Keys:
    _, pickles = result(start(SCRIPT, "plain", 0))
    return keys_of(pickles)


def test_the_structure_of_every_kind_is_read(plain: Keys) -> None:
    assert len(plain) > 25
    assert [name for name, key in plain.items() if not key.startswith("structure ")] == []
    assert len(set(plain.values())) == len(plain)


def test_a_key_is_the_same_over_processes_folders_lines_and_what_was_done_before(plain: Keys, tmp_path: Path) -> None:
    """Also after the pickle was loaded and pickled again."""
    moved = with_more_lines(tmp_path / "another folder")
    processes = [
        start(SCRIPT, "plain", 1),
        start(moved, "plain", 2),
        start(SCRIPT, "used", 3),
        start(moved, "used", 4),
        start(SCRIPT, "again", 5),
    ]
    for process in processes:
        _, pickles = result(process)
        assert keys_of(pickles) == {name: plain[name] for name in pickles}, process.args
        assert len(pickles) >= len(plain) - 1


def test_a_key_is_the_same_over_versions_of_cloudpickle(plain: Keys, tmp_path: Path) -> None:
    moved = with_more_lines(tmp_path / "another folder")
    folders = [cloudpickle_folder(version) for version in VERSIONS]
    processes = [start(moved, "used", number, folder) for number, folder in enumerate(folders)]
    for version, process in zip(VERSIONS, processes, strict=True):
        made_by, pickles = result(process)
        assert made_by == version
        assert keys_of(pickles) == plain


def test_a_key_of_what_covalent_makes_of_electrons_maps_and_lattices_is_the_same(tmp_path: Path) -> None:
    script = SCRIPT.with_name("covalent_kinds.py")
    environment = {**os.environ, "HOME": str(tmp_path), "COVALENT_CONFIG_DIR": str(tmp_path)}
    run_script = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
    keys = []
    for path in (script, with_more_lines(tmp_path / "another folder", script)):
        done = warm_python.run(run_script, str(path), environment=environment)
        assert done.returncode == 0, done.stderr
        keys.append(keys_of({name: bytes.fromhex(digits) for name, digits in json.loads(done.stdout).items()}))
    assert keys[0] == keys[1]
    assert len(set(keys[0].values())) == len(keys[0])
    assert all(key.startswith("structure ") for key in keys[0].values())
