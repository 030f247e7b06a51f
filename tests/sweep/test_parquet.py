"""The table as Parquet: types of columns, what fits none, and `gather --out`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from sweep_command import COMMAND, SweepCommand

from covalent_parallel_plugin.sweep.records.parquet import write_parquet
from covalent_parallel_plugin.sweep.records.record import Record

FILE = """\
name: art
command: [sh, -c, 'echo "{\\"half\\": $0.5, \\"fits\\": true, \\"list\\": [$0, null]}" >r.json; test $0 != 2', "{i}"]
parameters: {i: {start: 0, stop: 3}, mode: "on"}
result: r.json
"""


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    return SweepCommand(tmp_path)


def record(row: dict[str, Any]) -> Record:
    return Record(
        index=0, name="t", parameters={}, status="done", exit=0, signal=None, seconds=1.0, attempts=1, machine="here",
        result=None, reason="", folder=Path("t"), row=row,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ([1, None, -3], "int64", [1, None, -3]),
        ([1, 2.5], "double", [1.0, 2.5]),
        ([True, None], "bool", [True, None]),
        (["a", "ü☃", None], "string", ["a", "ü☃", None]),
        ([True, 1], "string", ["true", "1"]),
        ([1.5, "nan"], "string", ["1.5", "nan"]),
        ([2, float("inf"), 0.5], "double", [2.0, float("inf"), 0.5]),
        ([float("nan"), "x", [float("nan")]], "string", ["nan", "x", '["nan"]']),
        ([[1, {"a": None}], []], "string", ['[1, {"a": null}]', "[]"]),
        ([{}, "x"], "string", ["{}", "x"]),
        ([2**63, 1], "string", ["9223372036854775808", "1"]),
        ([-(2**63), 2**63 - 1], "int64", [-(2**63), 2**63 - 1]),
        # No float has the first
        ([2**53 + 1, 0.5], "string", ["9007199254740993", "0.5"]),
        ([10**400, 0.5], "string", [f"1{'0' * 400}", "0.5"]),
        (["\udcff"], "string", ["\\udcff"]),
        ([None], "string", [None]),
    ],
)
def test_a_column_has_the_type_that_holds_all_its_values(
    tmp_path: Path, values: list[Any], kind: str, read: list[Any]
) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path, (record({"x": value}) for value in values))
    table = parquet.read_table(path)
    assert (str(table.schema.field("x").type), table.column("x").to_pylist()) == (kind, read)
    assert list(tmp_path.iterdir()) == [path]


def test_columns_that_not_every_row_has(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    write_parquet(path, map(record, [{"a": 1}, {"a": 2, "b": 3}, {"c": "x", "a": 3}, {"a": 4}]))
    assert parquet.read_table(path).to_pydict() == {
        "a": [1, 2, 3, 4],
        "b": [None, 3, None, None],
        "c": [None, None, "x", None],
    }


def test_a_table_without_rows(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", [])
    assert parquet.read_table(tmp_path / "x.parquet").num_rows == 0


def test_gather_writes_it_beside_the_others(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", status=1)
    told = sweep("gather", "art", "--out", "art.parquet").stdout
    assert told == f"art: 2 done, 1 failed; {sweep.folder}/art/results.csv art.parquet\n"
    table = parquet.read_table(sweep.folder / "art.parquet")
    rows = sweep.rows()
    assert table.column_names == list(rows[0])
    types = {field.name: str(field.type) for field in table.schema}
    expected = {"task.index": "int64", "task.signal": "int64", "task.seconds": "double", "mode": "string"}
    expected |= {"i": "int64", "half": "double", "fits": "bool", "list": "string"}
    assert {name: types[name] for name in expected} == expected
    read = table.to_pylist()
    for row, one in zip(rows, read, strict=True):
        assert one == {**dict.fromkeys(one), **row} | {"list": one["list"]}
    assert [one["list"] for one in read] == ["[0, null]", "[1, null]", None]


def test_where_it_cannot_be_written(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", status=1)
    (sweep.folder / "art.parquet").mkdir()
    (sweep.folder / "notes").write_text("")
    words = ["--out", "art.parquet", "--out", "gone/x.parquet", "--out", "notes", "--out", "two"]
    told = sweep("gather", "art", *words, status=2).stderr
    for part in ("art.parquet is a folder", "there is no folder gone", "notes is a file", "2 folders, notes and two"):
        assert part in told


def test_a_full_disk_is_said_of_the_file(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", status=1)
    # A limit of a file's size, which the other tables keep to, ends a write as a full disk does
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); "
        "from covalent_parallel_plugin.cli import main; main(['sweep', 'gather', 'art', '--out', 'x.parquet'])"
    )
    ended = subprocess.run(
        [COMMAND[0], "-c", code], cwd=sweep.folder, env=sweep.environment, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (1, "Error: x.parquet: File too large\n")
    assert not [path for path in sweep.folder.iterdir() if "parquet" in path.name]


def test_a_missing_pyarrow_is_named_with_the_extra_that_has_it(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", status=1)
    code = (
        "import sys; sys.modules['pyarrow'] = None; from covalent_parallel_plugin.cli import main; "
        "main(['sweep', 'gather', 'art', '--out', 'x.parquet'])"
    )
    ended = subprocess.run(
        [COMMAND[0], "-c", code], cwd=sweep.folder, env=sweep.environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "Parquet needs the package 'pyarrow'; install it with: pip install 'covalent-parallel-plugin[tables]'\n"
    )
