"""What a sweep's file says, read: combinations in order, options, words, and what is set on top of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from reading import data, mistakes_of, read, texts

from covalent_parallel_plugin.sweep.combinations import combine, count, count_text
from covalent_parallel_plugin.sweep.mistakes import Location
from covalent_parallel_plugin.sweep.sweep_file import StopAfter

EXAMPLES = Path(__file__).parents[2] / "examples"
FULL = """
name: art
image: europe-docker.pkg.dev/my-project/sims/art:1.4
command: -g {g} -i {i} -n 50 -o {sweep.folder}
flags: true
grids:
- parameters: {g: {start: 1, stop: 10}, i: 30}
  task_name: size{g}
- parameters: {g: 10, i: {start: 1, stop: 10}}
  task_name: invaders{i}
environment: {MODE: "{g}", INPUT_KEY: "{sweep.config_object}"}
files: [config.ini.template, src/, "tables/*.csv", {path: big.bin, keep: false}]
inputs: {faces: gs://bucket/faces, base: ./base}
config: json
outputs: /mnt/data
result: result.json
resources: {vcpus: 2, memory: 512, gpu_type: nvidia-tesla-t4, machine_type: n1-standard-4, spot: true}
max_parallel: 64
time_limit: 3600
idle_limit: 1800
log_limit: 1
retries: 2
retry_on: [75, 137]
stop_after: 10%
max_machine_hours: 200
entrypoint: [python3, -m, art]
workdir: /work
pull: always
secrets: {TOKEN: my-token}
tasks_per_machine: 4
bundle: 10
after: [other]
"""


def test_every_key_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    file = read(FULL, tmp_path / "sweep.yaml")
    assert (file.name, file.image) == ("art", "europe-docker.pkg.dev/my-project/sims/art:1.4")
    assert [word.text for word in file.command] == ["-g", "{g}", "-i", "{i}", "-n", "50", "-o", "{sweep.folder}"]
    assert [str(word.location) for word in file.command[:3]] == ["4:10", "4:13", "4:17"]
    assert file.flags == "joined"
    assert [grid.task_name.text for grid in file.grids if grid.task_name] == ["size{g}", "invaders{i}"]
    assert count_text(file.grids) == "9 + 9 = 18"
    assert {name: text.text for name, text in file.environment.items()} == {
        "MODE": "{g}",
        "INPUT_KEY": "{sweep.config_object}",
    }
    assert [(entry.path.text, entry.keep) for entry in file.files] == [
        ("config.ini.template", True),
        ("src/", True),
        ("tables/*.csv", True),
        ("big.bin", False),
    ]
    assert {name: text.text for name, text in file.inputs.items()} == {
        "faces": "gs://bucket/faces",
        "base": str(tmp_path / "base"),
    }
    assert (file.config, file.outputs, file.workdir, file.pull) == ("json", "/mnt/data", "/work", "always")
    assert file.result is not None and (file.result.file, file.result.pattern) == ("result.json", None)
    settings = file.settings
    assert (settings.vcpus, settings.memory, settings.spot, settings.gpu_type) == (2, 512, True, "nvidia-tesla-t4")
    assert (settings.time_limit, settings.retries, file.max_parallel) == (3600, 2, 64)
    assert {"vcpus", "time_limit", "max_parallel"} <= file.given_options
    assert (file.idle_limit_seconds, file.log_limit_bytes) == (1800, 2**20)
    assert (file.retry_on, file.stop_after) == ({75, 137}, StopAfter(share=0.1))
    assert (file.max_machine_hours, file.tasks_per_machine, file.bundle) == (200, 4, 10)
    assert file.entrypoint is not None and [word.text for word in file.entrypoint] == ["python3", "-m", "art"]
    assert (dict(file.secrets), [text.text for text in file.after]) == ({"TOKEN": "my-token"}, ["other"])
    assert file.locations["result"] == Location(16, 9)


def test_what_is_left_out_has_a_default() -> None:
    file = read("command: a", Path("My Sweep_1.yaml"))
    assert (file.name, file.image, file.flags, file.config, file.outputs) == ("my-sweep-1", "", "", "", "")
    assert (file.entrypoint, file.result, file.max_parallel, file.stop_after) == (None, None, None, None)
    assert (file.log_limit_bytes, file.idle_limit_seconds, file.pull) == (2**30, None, "missing")
    assert [len(file.grids), count(file.grids)] == [1, 1]


def test_null_counts_as_left_out() -> None:
    assert read("command: a\nname:\nresult: ~\nresources: {vcpus: null}\ntime_limit: null\n") == read(
        "command: a\nname:\nresult: ~\nresources: {vcpus: null}\ntime_limit: null\n"
    )
    assert read("command: a\ntime_limit: null\n").given_options == frozenset()


@pytest.mark.parametrize("name", ["pi", "pixel_art"])
def test_the_examples_are_read(name: str) -> None:
    path = EXAMPLES / name / "sweep.yaml"
    assert count(read(path.read_bytes(), path).grids) == {"pi": 9, "pixel_art": 18}[name]


GRID = "command: a\nparameters:\n"


def test_values_come_as_written_and_typed() -> None:
    text = GRID + '  g: [1e-3, 007, on, yes, "7", 012, 0x1F, true, ~, .inf, !!str 8, 2001-01-01]\n'
    written = ["1e-3", "007", "on", "yes", "7", "012", "0x1F", "true", "~", ".inf", "8", "2001-01-01"]
    typed = [0.001, 7, "on", "yes", "7", 12, 31, True, None, float("inf"), "8", "2001-01-01"]
    assert [row["g"] for row in texts(text)] == written
    assert [row["g"] for row in data(text)] == typed
    assert [type(row["g"]) for row in data(text)] == [type(value) for value in typed]


def test_all_ways_to_write_a_range() -> None:
    assert [row["g"] for row in texts(GRID + "  g: !!python/tuple [1, 4]\n")] == ["1", "2", "3"]
    assert [row["g"] for row in texts(GRID + "  g: !!python/tuple [0.1, 0.4, 0.1]\n")] == ["0.1", "0.2", "0.3"]
    assert [row["g"] for row in texts(GRID + "  g: {start: 0.1, stop: 0.4, step: 0.1}\n")] == ["0.1", "0.2", "0.3"]
    assert [row["g"] for row in texts(GRID + "  g: {start: 1, stop: 100, count: 3, scale: log}\n")] == [
        "1",
        "10",
        "100",
    ]
    assert [row["g"] for row in texts(GRID + "  g: {start: 1, stop: 2, count: 3}\n")] == ["1", "1.5", "2"]


def test_the_last_axis_changes_fastest() -> None:
    rows = texts(GRID + "  a: [1, 2]\n  k: x\n  b: [3, 4]\n")
    assert [tuple(row.items()) for row in rows] == [
        (("a", a), ("k", "x"), ("b", b)) for a in ("1", "2") for b in ("3", "4")
    ]


def test_zipped_axes_change_together_and_keep_their_columns() -> None:
    rows = texts(GRID + "  a: [1, 2]\n  c: [5, 6]\n  b: [3, 4]\nzip: [[b, a]]\n")
    assert [list(row) for row in rows] == [["a", "c", "b"]] * 4
    # The group is in the place of its last axis
    assert [tuple(row.values()) for row in rows] == [("1", "5", "3"), ("2", "5", "4"), ("1", "6", "3"), ("2", "6", "4")]
    assert count_text(read(GRID + "  a: [1, 2]\n  b: [3, 4]\nzip: [[a, b]]\n").grids) == "2"


def test_exclude_drops_all_that_match_and_include_adds_one() -> None:
    text = GRID + "  a: [1, 2, 3]\n  b: [x, y]\n  k: 0\nexclude: [{a: 2}, {a: 3, b: y}]\ninclude: [{b: z, a: 9}]\n"
    assert [tuple(row.values()) for row in texts(text)] == [
        ("1", "x", "0"),
        ("1", "y", "0"),
        ("3", "x", "0"),
        ("9", "z", "0"),
    ]
    assert count_text(read(text).grids) == "3 x 2 - 3 + 1 = 4"
    assert count(read(text).grids) == 4


@pytest.mark.parametrize(
    ("written", "excluded", "left"),
    [
        ("1, 1.0, '1', true", "1", ["true"]),
        ("1, 1.0, '1', true", "'1'", ["1.0", "true"]),
        ("1, 1.0, '1', true", "true", ["1", "1.0", "1"]),
        ("1, 1.0, '1', true", "1.00", ["1", "true"]),
        ("0.001, 1e-3, 1", "0.0010", ["1"]),
        ("~, null, 'null', 0, false", "null", ["0", "false"]),
    ],
)
def test_exclude_compares_text_or_data_of_the_same_kind(written: str, excluded: str, left: list[str]) -> None:
    assert [row["a"] for row in texts(f"{GRID}  a: [{written}]\nexclude: [{{a: {excluded}}}]\n")] == left


def test_exclude_looks_at_rows_of_zipped_axes_together() -> None:
    grid = GRID + "  a: [1, 2]\n  b: [3, 4]\nzip: [[a, b]]\nexclude: [{a: 1, b: 4}]\n"
    assert mistakes_of(grid) == [
        "sweep.yaml:6:11: exclude 'a: 1, b: 4' matches no combination of a and b (2 values): correct it"
    ]
    assert [tuple(row.values()) for row in texts(grid.replace("b: 4}", "b: 3}"))] == [("2", "4")]


def test_repetitions_are_innermost_and_indices_go_through_all_grids() -> None:
    text = "command: a\ngrids: [{parameters: {a: [1, 2]}, repeat: 2}, {parameters: {a: 1, c: [7]}}]\n"
    grids = read(text).grids
    found = [(each.index, each.grid, each.values["a"].text, each.repeat) for each in combine(grids)]
    assert found == [(0, 0, "1", 0), (1, 0, "1", 1), (2, 0, "2", 0), (3, 0, "2", 1), (4, 1, "1", None)]
    assert count_text(grids) == "2 x 2 + 1 = 5"


def test_no_more_than_the_limit_is_ever_built() -> None:
    text = GRID + "  a: {start: 0, stop: 100000}\n"
    assert count(read(text).grids) == 100_000
    over = GRID + "  a: {start: 0, stop: 1e15}\n  b: {start: 1, stop: 5e14, count: 500000000000000}\n"
    assert mistakes_of(over) == [
        "sweep.yaml:3:3: 1.000e+15 x 500000000000000 = 5.000e+29 combinations are more than 100,000: take fewer values"
    ]
    bundled = GRID + "  a: {start: 0, stop: 101}\n  b: {start: 0, stop: 1000}\nbundle: 10\n"
    assert count(read(bundled).grids) == 101_000


def rows(folder: Path, name: str, content: bytes) -> list[dict[str, object]]:
    (folder / name).write_bytes(content)
    file = read(f"command: a\nparameters: {{file: {name}}}\n", folder / "sweep.yaml")
    return [
        {name: (value.text, value.data) for name, value in combination.values.items()}
        for combination in combine(file.grids)
    ]


def test_rows_of_cells_are_taken_as_written(tmp_path: Path) -> None:
    expected = [{"g": ("007", 7), "t": ("a,b", "a,b")}, {"g": ("1e-3", 0.001), "t": ("", None)}]
    assert rows(tmp_path, "rows.csv", b'\xef\xbb\xbfg,t\r\n007,"a,b"\r\n\r\n1e-3,\r\n') == expected
    assert rows(tmp_path, "rows.TSV", b"g\tt\n007\ta,b\n1e-3\t\n") == expected


def test_rows_of_json_lines_keep_their_numbers_text(tmp_path: Path) -> None:
    content = b'{"g": 1e-3, "t": "7", "b": true}\n\n{"t": "a\\"b", "g": 10000000000000000000001, "b": null}\n'
    assert rows(tmp_path, "rows.jsonl", content) == [
        {"g": ("1e-3", 0.001), "t": ("7", "7"), "b": ("true", True)},
        {"g": ("10000000000000000000001", 10**22 + 1), "t": ('a"b', 'a"b'), "b": ("null", None)},
    ]


def test_a_mapping_of_parameters_may_be_a_file_of_its_own(tmp_path: Path) -> None:
    content = b"lr: [0.1, 1e-3]\nepochs: !!python/tuple [10, 31, 10]\nfile: a.txt\n"
    found = rows(tmp_path, "grid.yml", content)
    assert len(found) == 6
    assert found[-1] == {"lr": ("1e-3", 0.001), "epochs": ("30", 30), "file": ("a.txt", "a.txt")}


@pytest.mark.parametrize("given", [b"g,i\n1,2\n3,4\n", b"g\ti\n1\t2\n3\t4\n", b'{"g": 1, "i": 2}\n{"g": 3, "i": 4}\n'])
def test_rows_may_come_from_standard_input_which_is_read_once(given: bytes) -> None:
    inputs = [given]
    text = "command: a\ngrids: [{parameters: {file: '-'}}, {parameters: {file: '-'}, repeat: 2}]\n"
    found = texts(text, stdin=inputs.pop)
    assert found[:2] == [{"g": "1", "i": "2"}, {"g": "3", "i": "4"}]
    assert len(found) == 6


def test_a_parameter_may_be_called_file() -> None:
    assert [row["file"] for row in texts(GRID + "  file: [a.txt, b.txt]\n")] == ["a.txt", "b.txt"]
    assert texts(GRID + "  file: a.txt\n  g: 1\n") == [{"file": "a.txt", "g": "1"}]


COMMANDS = [
    ("a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]),
    ("'awk ''{print $1}'' x'", ["awk", "{print $1}", "x"]),
    ("a # b; c | d > $e `f`", ["a"]),
    ("'a # b; c | d > $e `f`'", ["a", "#", "b;", "c", "|", "d", ">", "$e", "`f`"]),
    ("[a b, '', '{\"x\": 1}', 007]", ["a b", "", '{"x": 1}', "007"]),
    (">\n  a\n  b\n", ["a", "b"]),
    ("|\n  a \\\n    b\n  'c\n  d'\n", ["a", "b", "c\nd"]),
]


@pytest.mark.parametrize(("written", "words"), COMMANDS)
def test_a_command_is_split_as_a_shell_splits_it(written: str, words: list[str]) -> None:
    assert [word.text for word in read(f"command: {written}\n").command] == words


def test_each_word_knows_its_column_where_the_line_is_written_as_it_is() -> None:
    def places(command: str) -> list[str]:
        return [str(word.location) for word in read(f"command: {command}\n").command]

    assert places("echo  'a b'   {g}") == ["1:10", "1:16", "1:24"]
    assert places('"echo {g}"') == ["1:11", "1:16"]
    assert places("[echo, '{g}']") == ["1:11", "1:17"]
    assert places('"echo \\x7bg}"') == ["1:10", "1:10"]


def test_values_set_on_the_command_line_replace_what_the_file_says() -> None:
    overrides = [
        "parameters.g=[5, 6]", "resources.vcpus=4", "max_parallel=2", "command=-x {g}", "environment.A=b=c",
        "name=other", "result=", "parameters.new={start: 0, stop: 2}",
    ]  # fmt: skip
    text = "command: a\nname: x\nresult: r.json\nparameters: &p {g: 1, i: 2}\n"
    file = read(text, overrides=overrides)
    assert [word.text for word in file.command] == ["-x", "{g}"]
    assert (file.name, file.result, file.max_parallel, file.settings.vcpus) == ("other", None, 2, 4)
    assert file.environment["A"].text == "b=c"
    assert texts(text, overrides=overrides)[-1] == {"g": "6", "i": "2", "new": "1"}


def test_a_value_set_in_one_place_leaves_what_shares_an_alias() -> None:
    text = "command: a\ngrids:\n- parameters: &p {g: 1}\n- parameters: *p\n"
    assert texts(text, overrides=["grids.1.parameters.g=2"]) == [{"g": "1"}, {"g": "2"}]


def test_options_of_the_configuration_file_are_defaults() -> None:
    configured = {"vcpus": 8, "memory": "2048", "cache_dir": "/x", "environment": {"A": "b"}, "unknown": 1}
    file = read("command: a\nresources: {vcpus: 1}\n", configured=configured)
    assert (file.settings.vcpus, file.settings.memory, file.settings.environment) == (1, 2048, {})
    assert file.given_options == {"vcpus"}


def test_a_pattern_finds_its_groups_in_any_line() -> None:
    result = read("command: a\nresult: {stdout: '^pi_hat = (?P<pi_hat>\\S+)$'}\n").result
    assert result is not None and result.pattern is not None
    found = result.pattern.search("points\npi_hat = 3.14\n")
    assert found is not None and found["pi_hat"] == "3.14"


def test_reading_loads_neither_covalent_nor_google() -> None:
    program = """
import sys
from covalent_parallel_plugin.sweep.reading.sweep_schema import read_sweep_file
from covalent_parallel_plugin.settings.config_file import read_config_file
print([name for name in sys.modules if name.split(".")[0] in ("covalent", "google", "grpc", "requests")])
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
