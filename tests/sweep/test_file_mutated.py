"""Mutated files: each gives a message or a sweep, never another exception."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import read
from test_file_reading import EXAMPLES, FULL

from covalent_parallel_plugin.sweep.combinations import combine, count, count_text
from covalent_parallel_plugin.sweep.mistakes import SweepFileError

GRIDS = """
command: ["echo", "{a} {b}", '{"json": 1}']
environment: &env {A: "{a}", B: 'x'}
parameters:
  a: [1, 1e-3, "007", on, null]
  b: {start: 0.1, stop: 0.5, step: 0.1}
  c: !!python/tuple [1, 6]
  d: {start: 1e-4, stop: 1, count: 5, scale: log}
  e: [x, y, z, u, v]
zip: [[d, e]]
exclude:
- {a: 1, b: 0.2}
- a: "007"
include: [{a: 9, b: 9, c: 9, d: 9, e: w}]
repeat: 2
task_name: "{a}-{b}"
result: {stdout: 'pi = (?P<pi>\\S+)'}
stop_after: 3
"""
ROWS = """
command: |
  echo {g} 'a b' \\
    {i}
parameters: {file: rows.csv}
exclude: [{g: 1}]
flags: separate
files: [{path: a, keep: false}]
"""
SEEDS = [
    FULL.encode(),
    GRIDS.encode(),
    ROWS.encode(),
    ROWS.replace("csv", "jsonl").encode(),
    ROWS.replace("csv", "yml").encode(),
    *((EXAMPLES / name / "sweep.yaml").read_bytes() for name in ("pi", "pixel_art")),
]
TOKENS = [
    "", "~", "0", "-1", "1e400", "1e-400", ".nan", ".inf", "9" * 5000, "true", "on", "''", '"\\0"', '"\\ud800"', "[]",
    "{}", "[[]]", "{g}", "{{g}}", "&a", "*a", "&a [*a]", "!x y", "!!int 3", "!!python/tuple [0, 1e300]", "|", ">",
    "- a", "? a", "#", "\t", "\n", "---\n", "...\n", "\x85", "\u2028", "\ufeff", "\x00", "é", "🙂", "<<: *a", "'", '"',
    "`", "@", "../..", "/", "gs://", "(?P<x>", "(?P<x>[[a]&&b)", "{start: 0, stop: 1000000}", "a: b: c", "%YAML 9.9",
    "{file: '-'}", "{start: 1, stop: 2, step: 1e-300}", "{start: 1e-300, stop: 1e300, count: 99999, scale: log}",
    "grids", "parameters",
]  # fmt: skip
Mutation = tuple[str, float, float, str]
mutations = st.lists(
    st.tuples(
        st.sampled_from(["bytes", "insert", "line", "copy", "swap", "indent", "word", "key"]),
        st.floats(0, 1, exclude_max=True),
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.sampled_from(TOKENS), st.text(max_size=5)),
    ),
    min_size=1,
    max_size=6,
)


def mutate(data: bytes, mutation: Mutation) -> bytes:
    kind, where, other, token = mutation
    text = token.encode("utf-8", "surrogatepass")
    at, end = sorted((int(where * len(data)), int(other * len(data))))
    lines = data.split(b"\n")
    line, second = int(where * len(lines)), int(other * len(lines))
    if kind == "bytes":
        return data[:at] + bytes([int(other * 256)]) + data[at + 1 :]
    if kind == "insert":
        return data[:at] + text + data[at:] if other > 0.3 else data[:at] + text + data[end:]
    if kind in ("word", "key"):
        pattern = rb"[^\s,\[\]{}:]+" if kind == "word" else rb"\w+(?=:)"
        words = list(re.finditer(pattern, data))
        if not words:
            return text
        word = words[int(where * len(words))]
        return data[: word.start()] + text + data[word.end() :]
    if kind == "line":
        del lines[line]
    elif kind == "copy":
        lines.insert(second, lines[line])
    elif kind == "swap":
        lines[line], lines[second] = lines[second], lines[line]
    else:
        lines[line] = [b" " + lines[line], b"\t" + lines[line], lines[line].lstrip(), b"- " + lines[line]][
            int(other * 4)
        ]
    return b"\n".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mutated")
    (path / "base").mkdir()
    (path / "rows.csv").write_text("g,i\n1,2\n3,4\n")
    (path / "rows.jsonl").write_text('{"g": 1, "i": 2}\n{"g": 3, "i": 4}\n')
    (path / "rows.yml").write_text("g: [1, 2]\ni: 3\n")
    return path


def check(data: bytes, folder: Path, name: str, is_local: bool, overrides: list[str]) -> None:
    try:
        file = read(data, folder / name, is_local=is_local, overrides=overrides, stdin=lambda: data)
    except SweepFileError as error:
        assert error.mistakes
        assert len(str(error).splitlines()) == len(error.mistakes)
        assert all(line.isprintable() for line in str(error).splitlines())
        return
    found = list(islice(combine(file.grids), 2001))
    assert [combination.index for combination in found] == list(range(len(found)))
    assert count(file.grids) == len(found) or len(found) == 2001
    assert count_text(file.grids).endswith(str(count(file.grids)))


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(SEEDS),
    mutations,
    st.booleans(),
    st.lists(st.sampled_from(["name=", "parameters.g=[1, 2]"]), max_size=1),
)
def test_a_mutated_file_gives_a_message_or_a_sweep(
    folder: Path, seed: bytes, changes: list[Mutation], is_local: bool, overrides: list[str]
) -> None:
    data = seed
    for change in changes:
        data = mutate(data, change)
    check(data, folder, "sweep.yaml", is_local, overrides)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([".csv", ".tsv", ".jsonl", ".yml"]), mutations)
def test_mutated_rows_give_a_message_or_a_sweep(folder: Path, suffix: str, changes: list[Mutation]) -> None:
    data = {
        ".csv": b"g,i\n1,2\n3,4\n",
        ".tsv": b"g\ti\n1\t2\n3\t4\n",
        ".jsonl": b'{"g": 1e-3, "i": "a"}\n{"g": 3, "i": null}\n',
        ".yml": b"g: [1, 2]\ni: {start: 0, stop: 3}\n",
    }[suffix]
    for change in changes:
        data = mutate(data, change)
    (folder / f"mutated{suffix}").write_bytes(data)
    check(f"command: a\nparameters: {{file: mutated{suffix}}}\n".encode(), folder, "sweep.yaml", True, [])
