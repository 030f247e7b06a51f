"""Keys: what a task is, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from by_hand import grid, sweep_file
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.programs.core_schema import ParameterValue
from covalent_parallel_plugin.programs.result_values import ResultSource
from covalent_parallel_plugin.settings import Settings
from covalent_parallel_plugin.sweep.keys import PARTS
from covalent_parallel_plugin.sweep.sweep_file import SweepFile
from covalent_parallel_plugin.sweep.tasks import Pinned, PinnedImage, SweepTasks

DIGEST = "sha256:" + "a" * 64
PINNED = Pinned(PinnedImage(DIGEST, "id"), {"faces": "1"})


def sweep(folder: Path, **changes: Any) -> SweepFile:
    parameters = changes.pop("parameters", {"g": 3, "n": 50})
    options = {
        "image": "localhost/art:1",
        "command": ["-g", "{g}", "{sweep.folder}"],
        "environment": {"MODE": "{g}"},
        "files": ["x.ini.template"],
        "inputs": {"faces": "gs://bucket/faces"},
    }
    return sweep_file(folder, [grid(parameters)], **(options | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.ini.template").write_text("n={n}")
    return tmp_path


def only(file: SweepFile, pinned: Pinned = PINNED) -> tuple[str, dict[str, str]]:
    """The key and the parts of a sweep's only task."""
    tasks = SweepTasks(file, pinned)
    (task,) = tasks
    return task.key, dict(tasks.parts(task))


def changed(before: SweepFile, after: SweepFile, pinned: Pinned = PINNED) -> list[str]:
    """The parts that differ, after making sure that the keys differ exactly if some do."""
    (key, parts), (other_key, other_parts) = only(before), only(after, pinned)
    found = [part for part in PARTS if parts[part] != other_parts[part]]
    assert (key != other_key) == bool(found)
    return found


def test_a_key_is_64_digits_and_a_part_8(folder: Path) -> None:
    key, parts = only(sweep(folder))
    assert re.fullmatch("[0-9a-f]{64}", key)
    assert tuple(parts) == PARTS and all(re.fullmatch("[0-9a-f]{8}", part) for part in parts.values())


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"command": ["-g", "{g}", "-v", "{sweep.folder}"]}, ["command"]),
        ({"command": ["-g", "{g}{sweep.folder}"]}, ["command"]),
        ({"command": ["-g", "{g}", "{sweep.config}"]}, ["command"]),
        ({"command": ["-g", "{g}", "{{sweep.folder}}"]}, ["command"]),
        ({"entrypoint": ["art"]}, ["command"]),
        ({"entrypoint": []}, ["command"]),
        ({"flags": "joined"}, ["command"]),
        ({"environment": {"MODE": "x"}}, ["environment"]),
        ({"environment": {"MODE": "{g}", "MORE": ""}}, ["environment"]),
        ({"secrets": {"TOKEN": "token"}}, ["environment"]),
        ({"files": []}, ["files"]),
        ({"inputs": {}}, ["inputs"]),
        ({"inputs": {"noses": "gs://bucket/faces"}}, ["inputs"]),
        ({"config": "json"}, ["config"]),
        ({"parameters": {"g": 4, "n": 50}}, ["command", "environment"]),
        # Only a template uses it
        ({"parameters": {"g": 3, "n": 51}}, ["files"]),
        # Nothing uses it
        ({"parameters": {"g": 3, "n": 50, "more": 1}}, []),
        # None of these is part of a task
        ({"image": "localhost/art:2"}, []),
        ({"name": "other"}, []),
        ({"result": ResultSource("x.json")}, []),
        ({"settings": replace(Settings(), vcpus=8, time_limit=5, retries=1)}, []),
        ({"max_parallel": 3, "retry_on": frozenset([75]), "log_limit_bytes": 1}, []),
        ({"inputs": {"faces": "gs://bucket/moved"}}, []),
    ],
)
def test_the_key_changes_with_what_a_task_is(folder: Path, changes: dict[str, Any], parts: list[str]) -> None:
    assert changed(sweep(folder), sweep(folder, **changes)) == parts


def test_what_moves_is_part_of_the_key(folder: Path) -> None:
    file = sweep(folder)
    assert changed(file, file, Pinned(PinnedImage("sha256:" + "b" * 64, "id"), {"faces": "1"})) == ["image"]
    assert changed(file, file, Pinned(PinnedImage(DIGEST, "elsewhere"), {"faces": "1"})) == []
    assert changed(file, file, Pinned(PinnedImage(DIGEST, "id"), {"faces": "2"})) == ["inputs"]


def test_the_bytes_and_names_of_files_are_part_of_the_key(folder: Path) -> None:
    before = only(sweep(folder))
    (folder / "x.ini.template").write_text("n={n} ")
    assert only(sweep(folder)) != before
    (folder / "x.ini.template").write_text("n={n}")
    assert only(sweep(folder)) == before
    (folder / "x.ini.template").rename(folder / "y.ini.template")
    assert only(sweep(folder, files=["y.ini.template"])) != before


def test_text_counts_in_commands_and_types_in_the_config(folder: Path) -> None:
    same = [ParameterValue("1e-3", 0.001), ParameterValue("0.001", 0.001)]
    one, other = (sweep(folder, parameters={"g": number, "n": 1}, config="json") for number in same)
    assert changed(one, other) == ["command", "environment"]
    one, other = (
        sweep(folder, parameters={"g": ParameterValue("1", data), "n": 1}, config="json") for data in (1, "1")
    )
    assert changed(one, other) == ["config"]


@given(words=st.lists(st.text(max_size=3), max_size=4), others=st.lists(st.text(max_size=3), max_size=4))
def test_other_words_have_another_key(words: list[str], others: list[str]) -> None:
    one, other = (
        sweep_file(
            Path("/nowhere"),
            [grid({f"p{number}": word for number, word in enumerate(each)})],
            [f"{{p{number}}}" for number in range(len(each))],
        )
        for each in ([word.replace("\0", "") for word in words], [word.replace("\0", "") for word in others])
    )
    same = [word.replace("\0", "") for word in words] == [word.replace("\0", "") for word in others]
    assert (only(one, Pinned())[0] == only(other, Pinned())[0]) == same


def test_a_flag_and_a_word_that_looks_like_it_are_the_same() -> None:
    flags = sweep_file(Path("/nowhere"), [grid({"g": 1})], ["x"], flags="joined")
    words = sweep_file(Path("/nowhere"), [grid({"g": 1})], ["x", "--g={g}"])
    assert only(flags, Pinned()) == only(words, Pinned())
