"""`files` and `config`: what is found, what is refused, and what a task's folder holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from by_hand import grid, sweep_file, text
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.programs.core_schema import ParameterValue
from covalent_parallel_plugin.sweep.staging.config_file import config_bytes
from covalent_parallel_plugin.sweep.staging.task_files import BroughtFile, LayOutError, TaskFiles
from covalent_parallel_plugin.sweep.sweep_file import FileEntry
from covalent_parallel_plugin.sweep.tasks import LocalPaths, Pinned, SweepTasks

PATHS = LocalPaths("/mnt/data", {"faces": "/mnt/in"}, "/p", "/c", "/p/config", "/p/result")


def write(folder: Path, **contents: str) -> None:
    """Write files whose names are spelt with `__` for `/` and `_` for `.`."""
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def sweep(source: Path, files: list[Any], parameters: dict[str, Any] | None = None, **changes: Any) -> SweepTasks:
    return SweepTasks(sweep_file(source, [grid(parameters or {"g": 3})], ["{g}"], files=files, **changes), Pinned())


def lay_out(tasks: SweepTasks, folder: Path) -> tuple[BroughtFile, ...]:
    folder.mkdir()
    task = next(iter(tasks))
    return tasks.lay_out(task, tasks.launch(task, PATHS, sweep_id="abc", count=1, attempt=0), folder)


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def refusals(source: Path, files: list[Any], **changes: Any) -> list[str]:
    found = TaskFiles.find(sweep_file(source, [grid({"g": 3})], files=files, **changes))
    assert found.digest == ""
    return [f"{mistake.location}: {mistake.text}" for mistake in found.mistakes]


def test_files_folders_and_patterns_are_copied_with_their_paths(source: Path, tmp_path: Path) -> None:
    write(
        source, a_txt="a", src__b_py="b", src__deep__c_py="c", tables__1_csv="1", tables__2_csv="2", tables__3_tsv="3"
    )
    lay_out(sweep(source, ["a.txt", "src/", "tables/*.csv"]), tmp_path / "task")
    assert contents(tmp_path / "task") == {
        "a.txt": "a",
        "src/b.py": "b",
        "src/deep/c.py": "c",
        "tables/1.csv": "1",
        "tables/2.csv": "2",
    }


def test_bytes_modes_and_times_are_those_of_the_source(source: Path, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (source / "run").write_bytes(data)
    (source / "run").chmod(0o750)
    os.utime(source / "run", ns=(5, 1_000_000_007))
    (brought,) = lay_out(sweep(source, [FileEntry(text("run"), keep=False)]), tmp_path / "task")
    copy = tmp_path / "task" / "run"
    assert copy.read_bytes() == data
    assert copy.stat().st_mode & 0o777 == 0o750
    assert brought == BroughtFile("run", len(data), 1_000_000_007, False)
    assert copy.stat().st_mtime_ns == brought.mtime_ns


def test_only_templates_are_filled(source: Path, tmp_path: Path) -> None:
    text = "{g} {{g}} {sweep.task} {inputs.faces} {other} {print $1} 100%\r\n"
    write(
        source,
        a_ini="{g}",
        b_ini_template=text,
        sub__c_j2="{{ g }} {{ sweep.task }} {{ inputs.faces }}\n",
        template="{g}",
    )
    (source / ".template").write_text("{g}")
    lay_out(
        sweep(source, ["a.ini", "b.ini.template", "sub/", "template", ".template"], inputs={"faces": "gs://b/f"}),
        tmp_path / "task",
    )
    filled = contents(tmp_path / "task")
    assert filled.pop("b.ini") == "3 {g} art /mnt/in {other} {print $1} 100%\n"
    assert filled == {"a.ini": "{g}", "sub/c": "3 art /mnt/in\n", "template": "{g}", ".template": "{g}"}
    assert (tmp_path / "task" / "b.ini").read_bytes().endswith(b"100%\r\n")


def test_a_template_keeps_bytes_that_are_no_text(source: Path, tmp_path: Path) -> None:
    (source / "x.template").write_bytes(b"\xff{g}\xfe")
    lay_out(sweep(source, ["x.template"]), tmp_path / "task")
    assert (tmp_path / "task" / "x").read_bytes() == b"\xff3\xfe"


def test_a_jinja_template_is_sandboxed(source: Path, tmp_path: Path) -> None:
    write(source, x_j2="{{ g.__class__.__mro__ }}")
    with pytest.raises(LayOutError, match=r"^files: x\.j2 cannot be filled in: SecurityError: access to attribute"):
        lay_out(sweep(source, ["x.j2"]), tmp_path / "task")


def test_what_a_jinja_template_does_not_know_is_an_error(source: Path, tmp_path: Path) -> None:
    write(source, x_j2="{{ h }}")
    with pytest.raises(LayOutError, match=r"^files: x\.j2 cannot be filled in: UndefinedError: 'h' is undefined$"):
        lay_out(sweep(source, ["x.j2"]), tmp_path / "task")


def test_only_the_parameters_that_templates_use_are_part_of_the_key(source: Path) -> None:
    write(source, x_j2="{% if g %}{{ g }}{% endif %}", y_template="{h}")
    assert sweep(source, ["x.j2", "y.template"]).files.names_in_templates == {"g", "h"}


def test_caches_and_folders_of_sweeps_are_left_out(source: Path, tmp_path: Path) -> None:
    write(source, src__a_py="a", art__journal_jsonl="", art__t__files__b_py="b")
    (source / "src" / "__pycache__").mkdir()
    (source / "src" / "__pycache__" / "a.pyc").write_text("x")
    lay_out(sweep(source, ["./", "**/*.py"]), tmp_path / "task")
    assert contents(tmp_path / "task") == {"src/a.py": "a"}


def test_links_that_stay_inside_are_followed(source: Path, tmp_path: Path) -> None:
    write(source, real__a_txt="a")
    (source / "src").mkdir()
    (source / "src" / "linked").symlink_to("../real")
    (source / "src" / "b.txt").symlink_to("linked/a.txt")
    lay_out(sweep(source, ["src/"]), tmp_path / "task")
    assert contents(tmp_path / "task") == {"src/linked/a.txt": "a", "src/b.txt": "a"}
    assert not (tmp_path / "task" / "src" / "b.txt").is_symlink()


def test_what_is_missing_is_refused(source: Path) -> None:
    (source / "dangling").symlink_to("nowhere")
    assert refusals(source, ["no.txt", "no/", "*.csv"]) == [
        f"6:1: files: {name!r} does not exist in {source}: name a file, a folder or a pattern there"
        for name in ("no.txt", "no/", "*.csv")
    ]
    (refusal,) = refusals(source, ["dangling"])
    assert refusal.startswith("6:1: files: 'dangling' cannot be read (No such file or directory:")


@pytest.mark.parametrize("files", ["link", "link/", "src/", "src/*", "../outside/secret", "{source}/../outside/secret"])
def test_what_leads_out_is_refused(source: Path, files: str) -> None:
    write(source.parent, outside__secret="s")
    write(source, src__a_txt="a")
    (source / "link").symlink_to("../outside")
    (source / "src" / "secret").symlink_to("../../outside/secret")
    (refusal,) = refusals(source, [files.format(source=source)])
    assert "leads out of the file's folder, to " in refusal and str(source.parent / "outside") in refusal


def test_a_folder_inside_that_leads_out_is_refused_before_it_is_walked(source: Path) -> None:
    (source / "src").mkdir()
    (source / "src" / "root").symlink_to("/")
    assert refusals(source, ["src/"]) == [
        f"6:1: files: 'src/' leads out of the file's folder, to /: copy it into {source}, or name it under `inputs`"
    ]


def test_loops_and_sockets_are_refused(source: Path) -> None:
    (source / "src").mkdir()
    (source / "src" / "up").symlink_to("..")
    assert refusals(source, ["src/"])[0].startswith("6:1: files: 'src/' includes src/up/src, which is neither a file")
    os.mkfifo(source / "pipe")
    assert refusals(source, ["pipe"])[0].startswith("6:1: files: 'pipe' includes pipe, which is neither a file nor")


def test_a_link_to_itself_is_refused(source: Path) -> None:
    (source / "self").symlink_to("self")
    assert refusals(source, ["self"])[0].startswith("6:1: files: 'self' cannot be read (Too many levels of symbolic")


def test_more_than_a_gigabyte_is_refused_unread(source: Path) -> None:
    for name in ("one", "two"):
        with (source / name).open("wb") as file:
            file.truncate(600_000_000)
    assert refusals(source, ["one", "two"]) == [
        "6:1: files: 'two' adds more than 1 GB to every task's folder, with two (0.6 GB):"
        " name large files under `inputs`, which tasks read in one place"
    ]
    assert TaskFiles.find(sweep_file(source, [grid({"g": 1})], files=["one"])).mistakes == []


def test_two_files_of_one_name_are_refused(source: Path) -> None:
    write(source, a="", a_template="", b__c="", b_j2="", config_json="")
    assert refusals(source, ["a", "a.template", "b/", "b.j2", "config.json"], config="json") == [
        "6:1: files: a.template and a both become a in the task's folder: rename one",
        "6:1: files: b.j2 becomes b, which is a folder too: rename one",
        "6:1: files: config.json and `config` both become config.json in the task's folder: rename one",
    ]


def test_a_template_that_is_none_is_refused(source: Path) -> None:
    write(source, x_j2="{% if %}")
    (refusal,) = refusals(source, ["x.j2"])
    assert refusal.startswith("6:1: files: x.j2 cannot be filled in: Expected an expression")


def test_a_file_that_changed_meanwhile_is_not_brought(source: Path, tmp_path: Path) -> None:
    write(source, a="a")
    tasks = sweep(source, ["a"])
    list(tasks)
    write(source, a="longer")
    with pytest.raises(LayOutError, match=r"^files: a has changed since the run began: run the sweep again$"):
        lay_out(tasks, tmp_path / "task")
    (source / "a").unlink()
    with pytest.raises(LayOutError, match=r"^files: a cannot be read any more: No such file or directory$"):
        lay_out(tasks, tmp_path / "other")


def test_what_was_staged_stays_as_it_was(source: Path, tmp_path: Path) -> None:
    write(source, src__a="a", b_template="{g}")
    (source / "src" / "a").chmod(0o755)
    found = sweep(source, ["src/", FileEntry(text("b.template"), keep=False)])
    staged = SweepTasks(found.file, Pinned(), found.files.staged(tmp_path / "staged"))
    assert list(staged) == list(found)
    write(source, src__a="edited", b_template="edited")
    brought = lay_out(staged, tmp_path / "task")
    assert contents(tmp_path / "task") == {"src/a": "a", "b": "3"}
    assert [(each.path, each.keep) for each in brought] == [("b", False), ("src/a", True)]
    assert (tmp_path / "task" / "src" / "a").stat().st_mode & 0o777 == 0o755
    edited = sweep(source, ["src/", "b.template"]).files.staged(tmp_path / "staged")
    assert edited.digest != staged.files.digest
    # One copy is kept, and used again
    (kept,) = (tmp_path / "staged").iterdir()
    inode = (kept / "src" / "a").stat().st_ino
    sweep(source, ["src/", "b.template"]).files.staged(tmp_path / "staged")
    assert (kept / "src" / "a").stat().st_ino == inode


def test_without_files_nothing_is_staged(source: Path, tmp_path: Path) -> None:
    sweep(source, []).files.staged(tmp_path / "staged")
    assert not (tmp_path / "staged").exists()


PARAMETERS = {
    "rate": ParameterValue("1e-3", 0.001),
    "n": ParameterValue("007", 7),
    "on": ParameterValue("on", "on"),
    "none": None,
    "yes": True,
}


def test_the_config_has_the_combination_typed(source: Path, tmp_path: Path) -> None:
    lay_out(sweep(source, [], PARAMETERS, config="json"), tmp_path / "json")
    assert contents(tmp_path / "json") == {
        "config.json": '{\n  "rate": 0.001,\n  "n": 7,\n  "on": "on",\n  "none": null,\n  "yes": true\n}\n'
    }
    assert lay_out(sweep(source, [], PARAMETERS, config="yaml"), tmp_path / "yaml") == ()
    assert contents(tmp_path / "yaml") == {
        "config.yaml": "rate: 0.001\n\"n\": 7\n'on': 'on'\nnone: null\n'yes': true\n"
    }


@pytest.mark.parametrize(
    "text",
    [
        "1e-3",
        "0o7",
        "012",
        "0x1f",
        "on",
        "y",
        "~",
        "",
        "null",
        ".inf",
        "1_000",
        "12:30",
        "2024-01-01",
        "#x",
        "a: b",
        "- a",
    ],
)
def test_a_text_in_yaml_is_quoted_where_some_reader_would_take_it_for_something_else(text: str) -> None:
    line = config_bytes("yaml", {"x": text}).decode()
    assert line[len("x: ")] in "\"'" and yaml.safe_load(line) == {"x": text}


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,5}", fullmatch=True),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_readers_get_what_was_written(data: dict[str, Any]) -> None:
    assert yaml.safe_load(config_bytes("yaml", data)) == data
    if all(value not in (float("inf"), float("-inf")) for value in data.values()):
        assert json.loads(config_bytes("json", data)) == data
