"""What a task's folder is after its program, whatever that has left in it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from local_runs import Brought, Sweep, bring, python

from covalent_parallel_plugin.programs.result_values import ResultSource
from covalent_parallel_plugin.programs.task_folder import share_files, unshare_files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_unchanged_files_and_those_not_to_keep_are_removed_and_changed_ones_stay(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("as it was")

    class WithFiles(Sweep):
        def lay_out(self, task: Any, launch: Any, files: Path) -> Iterable[Brought]:
            inner = bring(source, files / "src" / "same")
            linked = bring(source, files / "linked" / "same")
            yield from [bring(source, files / "same"), bring(source, files / "changed")]
            yield bring(source, files / "dropped", keep=False)
            yield Brought("src/same", inner.size, inner.mtime_ns)
            yield Brought("linked/same", linked.size, linked.mtime_ns)

    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "same").write_text("as it was")
    os.utime(outside / "same", ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    code = f"""
import os, shutil
open('changed', 'a').write('!'); open('dropped', 'a').write('!')
shutil.rmtree('linked'); os.symlink({str(outside)!r}, 'linked')
"""
    sweep = WithFiles(tmp_path / "out", *python(code))
    sweep.run()
    assert sweep.end.status == "done"
    assert names(tmp_path / "out/x=0/files") == ["changed", "linked"]
    assert (outside / "same").exists() and sweep.end.left == ("linked",)


def test_what_leads_out_of_the_folder_or_is_no_file_is_named(tmp_path: Path) -> None:
    code = """
import os, socket
os.mkdir('in'); open('in/file', 'w').close()
os.symlink('/etc/passwd', 'out'); os.symlink('../..', 'in/up'); os.symlink('in/file', 'fine')
os.symlink('loop', 'loop')
os.mkfifo('pipe'); socket.socket(socket.AF_UNIX).bind('socket')
"""
    sweep = Sweep(tmp_path, *python(code))
    sweep.run()
    assert sweep.end.status == "done" and sweep.end.left == ("in/up", "loop", "out", "pipe", "socket")
    assert (tmp_path / "x=0/files/out").is_symlink()


def test_a_folder_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x=0").symlink_to(tmp_path / "elsewhere")
    sweep = Sweep(tmp_path / "out", "true")
    sweep.run()
    assert sweep.end.status == "done" and names(tmp_path / "elsewhere") == []


@pytest.mark.parametrize(
    "code",
    [
        "import os, shutil; shutil.rmtree(os.getcwd())",
        "import os; os.chmod('.', 0)",
        "import os; os.rename('../files', '../gone'); os.symlink('/etc', '../files')",
        "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')",
        "import os; os.mkdir('closed'); open('closed/file', 'w').close(); os.chmod('closed', 0)",
    ],
)
def test_what_a_program_does_to_its_folder_harms_nothing(tmp_path: Path, code: str) -> None:
    for _ in range(2):
        sweep = Sweep(tmp_path, *python(code))
        sweep.run()
        assert sweep.end.status == "done" and sweep.text("stdout.txt") == ""
    assert (tmp_path / "x=0/files").is_dir() and not (tmp_path / "x=0/files").is_symlink()
    # Too deep for pytest
    subprocess.run(["rm", "-rf", tmp_path / "x=0"], check=True)


def test_names_and_results_that_are_no_text_are_escaped_in_the_tasks_file(tmp_path: Path) -> None:
    code = r"""
import os
os.symlink('/etc', b'a\xff\nb'); open(b'\xfe\n', 'w').close()
open('r.json', 'w').write('{"half": "\\ud800", "none": NaN, "much": [1e999]}')
"""
    sweep = Sweep(tmp_path, *python(code), result=ResultSource("r.json"))
    sweep.run()

    def refuse(constant: str) -> None:
        raise AssertionError(f"JSON has no {constant}")

    written = json.loads((tmp_path / "x=0/task.json").read_bytes(), parse_constant=refuse)
    assert sweep.end.status == "done" and written["left"] == ["a\udcff\nb"]
    assert written["result"] == {"half": "\ud800", "none": "nan", "much": ["inf"]}


def test_modes_are_given_back_to_nothing_that_lies_behind_a_link(tmp_path: Path) -> None:
    outside, files = tmp_path / "outside", tmp_path / "files"
    for folder in (outside, files / "src", files / "whole"):
        folder.mkdir(parents=True)
        (folder / "file").touch(mode=0o600)
    changed = share_files(files)
    (files / "src").rename(files / "old")
    (files / "src").symlink_to(outside)
    (outside / "file").chmod(0o666)
    unshare_files(files, changed)
    modes = [stat.S_IMODE((folder / "file").stat().st_mode) for folder in (outside, files / "whole")]
    assert modes == [0o666, 0o600]
