"""What a task is started with: words, flags, variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from by_hand import grid, sweep_file

from covalent_parallel_plugin.programs.core_schema import ParameterValue
from covalent_parallel_plugin.sweep.tasks import Launch, LocalPaths, Pinned, SweepTasks

PATHS = LocalPaths("/mnt/data", {"faces": "/mnt/in"}, "/p", "/mnt/data/config.json", "/p/config", "/p/result")


def launch(parameters: dict[str, Any], command: list[str], *, repeat: int | None = None, **changes: Any) -> Launch:
    """Of the last task of one grid."""
    file = sweep_file(Path("/nowhere"), [grid(parameters, repeat=repeat)], command, **changes)
    tasks = SweepTasks(file, Pinned())
    return tasks.launch(list(tasks)[-1], PATHS, sweep_id="abc", count=7, attempt=2)


@pytest.mark.parametrize(
    "text", ["a b", "; rm -rf /", "$(id)", "`id`", "\"'", "line\nbreak", "{g}", "%(g)s", "", "é", "*"]
)
def test_a_value_is_one_argument_as_written(text: str) -> None:
    assert launch({"g": text}, ["-g", "{g}", "--x={g}{g}"]).arguments == ("-g", text, f"--x={text}{text}")


def test_every_placeholder_is_filled() -> None:
    names = ["name", "id", "task", "index", "count", "folder", "prefix", "config", "config_object", "result_object"]
    words = [f"{{sweep.{name}}}" for name in names] + ["{inputs.faces}", "{repeat}"]
    assert launch({"g": [1, 2]}, words, repeat=2).arguments == (
        *("art", "abc", "g=2,repeat=1", "3", "7", "/mnt/data", "/p", "/mnt/data/config.json", "/p/config", "/p/result"),
        *("/mnt/in", "1"),
    )


def test_flags_are_appended_in_the_files_order() -> None:
    parameters = {
        "rate": ParameterValue("1e-3", 0.001),
        "loud": True,
        "quiet": False,
        "seed": None,
        "text": ParameterValue("true", "true"),
        "empty": "",
        "n": 0,
    }
    joined = launch(parameters, ["x"], repeat=3, flags="joined").arguments
    assert joined == ("x", "--rate=1e-3", "--loud", "--text=true", "--empty=", "--n=0")
    separate = launch(parameters, ["x"], flags="separate").arguments
    assert separate == ("x", "--rate", "1e-3", "--loud", "--text", "true", "--empty", "", "--n", "0")
    assert launch(parameters, ["x"]).arguments == ("x",)


def test_the_entry_point_is_the_images_unless_the_file_has_one() -> None:
    assert launch({"g": 1}, []).entrypoint is None
    assert launch({"g": 1}, [], entrypoint=["run{g}", "{sweep.task}"]).entrypoint == ("run1", "art")


def test_the_program_has_the_files_variables_and_the_sweeps() -> None:
    variables = launch({"g": 5}, [], environment={"MODE": "{g}", "AWK": "{print}"}, config="json").environment
    assert variables == {
        "MODE": "5",
        "AWK": "{print}",
        "SWEEP_NAME": "art",
        "SWEEP_ID": "abc",
        "SWEEP_TASK": "art",
        "SWEEP_INDEX": "0",
        "SWEEP_COUNT": "7",
        "SWEEP_ATTEMPT": "2",
        "SWEEP_FOLDER": "/mnt/data",
        "SWEEP_CONFIG": "/mnt/data/config.json",
    }
    assert "SWEEP_CONFIG" not in launch({"g": 5}, []).environment
