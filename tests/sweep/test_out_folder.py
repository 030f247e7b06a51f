"""OUT: who may use it, and what a message says to all others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from covalent_parallel_plugin.sweep.records.out_folder import OutFolder, OutFolderError


def test_a_sweep_keeps_its_id(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "new" / "out")
    with out.hold("art") as journal:
        first = journal.state.sweep_id
    with out.hold("art") as journal:
        assert journal.state.sweep_id == first
    assert len(first) == 12 and out.state("art").sweep_id == first


def test_a_second_run_is_refused_with_the_first_ones_process_id(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")
    with out.hold("art"), pytest.raises(OutFolderError) as raised, out.hold("art"):
        pass
    assert str(raised.value) == (
        f"another run holds {out.path}: process {os.getpid()}; wait for it, or end it with"
        f" `covalent-parallel sweep cancel {out.path}`"
    )


def test_another_sweeps_folder_is_refused_with_its_name(tmp_path: Path) -> None:
    out = OutFolder(tmp_path / "out")
    with out.hold("art"):
        pass
    expected = f"{out.path} belongs to the sweep 'art', and this one is 'pi': give --out another folder"
    with pytest.raises(OutFolderError) as raised, out.hold("pi"):
        pass
    assert str(raised.value) == expected
    with pytest.raises(OutFolderError) as raised:
        out.state("pi")
    assert str(raised.value) == expected


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(OutFolderError, match="has files in it and is not a sweep's folder"),
        OutFolder(tmp_path).hold("a"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutFolderError, match="is not a folder"), OutFolder(tmp_path / "out").hold("a"):
        pass


def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    out = OutFolder(tmp_path)
    (tmp_path / "results.csv").write_text("before")
    with pytest.raises(RuntimeError), out.written_aside("results.csv") as file:
        file.write(b"half")
        raise RuntimeError
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"results.csv": "before"}
    with out.written_aside("results.csv") as file:
        file.write(b"whole")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"results.csv": "whole"}
