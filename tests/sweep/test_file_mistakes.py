"""What is wrong with a sweep's file: the whole message for each kind of mistake."""

from __future__ import annotations

import subprocess
import sys
from copy import copy
from pathlib import Path

import pytest
from reading import mistakes_of, read

from covalent_parallel_plugin.sweep.mistakes import SweepFileError

# `## NAME`, a file, `=>`, and all lines of the message without the file's name
CASES = [case.partition("\n") for case in (Path(__file__).parent / "file_mistakes.txt").read_text().split("## ")[1:]]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, _, text in CASES])
def test_each_mistake_has_its_place_and_a_remedy(name: str, text: str, tmp_path: Path) -> None:
    file, _, messages = text.partition("=>\n")
    found = mistakes_of(file, tmp_path / "sweep.yaml")
    assert [line.removeprefix(f"{tmp_path}/sweep.yaml") for line in found] == messages.splitlines()


def test_the_message_names_the_file_as_it_was_given() -> None:
    assert mistakes_of("a: 1", Path("jobs/sweep.yaml"))[0].startswith(
        "jobs/sweep.yaml:1:1: 'a' is not a key of a sweep"
    )
    assert mistakes_of("a: 1", None)[0].startswith("-:1:1: ")  # type: ignore[arg-type]  # standard input


def test_mistakes_of_all_kinds_come_at_once() -> None:
    text = (
        "command: 'a\"'\nconfig: A\nconfig: json\nparameters: {g: [], g: !foo x}\nresources: {vcpus: 0}\nfiles: [/a]\n"
    )
    places = [line.split(": ")[0] for line in mistakes_of(text)]
    assert places == [f"sweep.yaml:{place}" for place in ("1:10", "3:1", "4:17", "4:21", "4:24", "5:20", "6:9")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"command: \xff\n", ":1:10: the byte 0xff is not UTF-8: save the file in this encoding"),
        ("command: é".encode("utf-16"), ":1:1: the byte 0xff is not UTF-8: save the file in this encoding"),
        (b"command: a\nname: \x07\n", ":2:7: is not YAML: holds the character '\\x07': leave it out"),
        (b"#" * 10_000_001, ": has 10,000,001 bytes: at most 10,000,000 are read"),
        (
            b"command: [" + b"a, " * 100_000 + b"]",
            ":1:10: has more than 100,000 nodes: take the values from a file, parameters: {file: rows.csv}",
        ),
        (b"command: " + b"[" * 50, ":1:58: has more than 50 levels: write it flat"),
        (b"command: " + b"[" * 100_000, ":1:1009: has more than 50 levels: write it flat"),
        (
            b"a: &a [1,1,1,1,1,1,1,1,1]\n"
            + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefghi"),
            ":6:4: has more than 100,000 nodes, an alias counted as what it stands for: write less",
        ),
        (
            b"a: &a [" + b"[" * 30 + b"]" * 30 + b"]\nb: [" + b"[" * 30 + b"*a" + b"]" * 30 + b"]\n",
            ":2:15: has more than 50 levels, an alias counted as what it stands for: write less",
        ),
    ],
    ids=["latin-1", "utf-16", "control", "bytes", "nodes", "levels", "brackets", "aliases", "levels of aliases"],
)
def test_what_is_too_much_or_no_text_is_refused(data: bytes, message: str) -> None:
    assert mistakes_of(data) == [f"sweep.yaml{message}"]


def test_what_is_at_the_limits_is_read() -> None:
    # Ten nodes around it, the root, two keys and so on
    assert mistakes_of(b"command: [" + b"a, " * 99_997 + b"]") == []
    assert mistakes_of(b"command: a" + b" " * 9_999_990) == []


def test_the_pure_loader_finds_the_same(tmp_path: Path) -> None:
    """PyYAML without libyaml, as some platforms have it."""
    program = """
import sys, yaml
del yaml.CSafeLoader
sys.path.insert(0, sys.argv[1])
from reading import mistakes_of
from covalent_parallel_plugin.sweep.reading import yaml_nodes
assert yaml_nodes._NodeLoader.__mro__[1] is yaml.SafeLoader
for text in ("command: a\\nname: b\\nname: c", "a:\\n\\tb: 1", "command: !x a", "command: " + "[" * 60):
    print(*mistakes_of(text), sep="\\n")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)], capture_output=True, text=True, check=False
    )
    assert ended.stdout.splitlines() == [
        "sweep.yaml:3:1: the key 'name' occurs twice, in lines 2 and 3: keep one",
        "sweep.yaml:2:1: a tab indents this line: use spaces, which YAML asks for",
        "sweep.yaml:1:10: the tag !x has no meaning here: leave it out (known are YAML's, and !!python/tuple for a list"
        " of numbers)",
        "sweep.yaml:1:58: has more than 50 levels: write it flat",
    ], ended.stderr


def test_what_batch_needs_is_asked_for_without_local() -> None:
    found = mistakes_of("parameters: {g: 1}\ncommand: a\n", is_local=False)
    assert [line.split(" (")[0] for line in found] == [
        "sweep.yaml:1:1: image is missing: name one, or run the command on this machine with --local",
        "sweep.yaml: bucket_name is missing",
        "sweep.yaml: project_id is missing",
    ]
    configured = {"bucket_name": "my-bucket", "project_id": "my-project"}
    assert read("image: a", is_local=False, configured=configured).settings.bucket_name == "my-bucket"


def test_a_mistake_of_an_override_names_the_option() -> None:
    overrides = ["resources.vcpus=0", "x", "nme=a", "parameters.g=[", "files.3=a", "=1", "name=A b", "x=\t- a"]
    assert mistakes_of("command: a\nfiles: []\n", overrides=overrides) == [
        "sweep.yaml: --set =1: write key=value, such as max_parallel=4",
        "sweep.yaml: --set files.3=a: '3' is not an entry of a list of 0: use a number from 0 on",
        "sweep.yaml: --set name=A b: name = 'A b' is not a valid name: use 1 to 40 of a-z, 0-9 and -, no - first",
        "sweep.yaml: --set nme=a: 'nme' is not a key of a sweep (did you mean 'name'?)",
        "sweep.yaml: --set parameters.g=[: is not YAML: while parsing a flow node, did not find expected node content",
        "sweep.yaml: --set resources.vcpus=0: vcpus = 0 is out of range: use more than 0 and at most 1920 (in vCPU)",
        "sweep.yaml: --set x: write key=value, such as max_parallel=4",
        "sweep.yaml: --set x=\\t- a: a tab indents this line: use spaces, which YAML asks for",
    ]


def test_a_mistake_of_the_configuration_file_names_its_section() -> None:
    assert mistakes_of("command: a", configured={"vcpus": "many", "cache_dir": 3, "other": 1}) == [
        "sweep.yaml: [executors.gcpbatch] in Covalent's configuration file: vcpus = 'many' is not a number: write"
        " digits, such as 2 (in vCPU)"
    ]


ROWS = [
    ("rows.csv", b"", ":1:1: has no rows: write names in its first line, and values below them"),
    ("rows.csv", b"g,i\n", ":1:1: has no rows: write names in its first line, and values below them"),
    ("rows.csv", b"g,i\n1,2\n1\n", ":3:1: has 1 values, and there are 2 names: write one for each"),
    ("rows.csv", b'g,i\n"1\n",2\n1,2,3\n', ":4:1: has 3 values, and there are 2 names: write one for each"),
    ("rows.csv", b"g,g\n1,2\n", ":1:1: the name 'g' occurs 2 times: keep one"),
    (
        "rows.csv",
        b"g,i j\n1,2\n",
        ":1:1: 'i j' is not a valid parameter name: use letters, digits, _ and -, a letter or _ first",
    ),
    ("rows.csv", b"repeat\n1\n", ":1:1: 'repeat' is the number of a repetition: take another name"),
    ("rows.csv", b'g\n"1"2\n', ":2:1: cannot be read as cells: ',' expected after '\"'"),
    ("rows.csv", b"g\n\xff\n", ":2:1: the byte 0xff is not UTF-8: save the file in this encoding"),
    ("rows.tsv", b"g\ti\n1,2\n", ":2:1: has 1 values, and there are 2 names: write one for each"),
    (
        "rows.jsonl",
        b'{"g": 1}\n{"g": [1]}\n',
        ':2:1: is not an object with plain values: write {"name": value} in each line',
    ),
    ("rows.jsonl", b"[1]\n", ':1:1: is not an object with plain values: write {"name": value} in each line'),
    ("rows.jsonl", b'{"g": 1}\n{"i": 1}\n', ":2:1: has the names i: use those of the first, g"),
    ("rows.jsonl", b'{"g": 1, "g": 2}\n', ":1:1: the name 'g' occurs 2 times: keep one"),
    ("rows.jsonl", b'{"g": "\\ud800"}\n', ":1:1: '\\ud800' holds a character that no program accepts"),
    (
        "rows.jsonl",
        b"{g: 1}\n",
        ":1:2: is not JSON (Expecting property name enclosed in double quotes): write an object"
        " with plain values in each line",
    ),
    ("grid.yml", b"g: [1,\n  []]\n", ":2:3: an entry of 'g' is a list: a list holds plain values only"),
    ("grid.yml", b"g: 1\ng: 2\n", ":2:1: the key 'g' occurs twice, in lines 1 and 2: keep one"),
    ("grid.yml", b"- a\n", ":1:1: parameters is a list: write a mapping, such as {name: value}"),
]


@pytest.mark.parametrize(("name", "data", "message"), ROWS)
def test_a_mistake_of_another_file_is_located_there(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    found = mistakes_of(f"command: a\nparameters: {{file: {name}}}\n", tmp_path / "sweep.yaml")
    assert found[0] == f"{tmp_path / name}{message}"


def test_a_file_that_cannot_be_read_is_named_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "empty.yaml").write_text("")

    def message(name: str) -> str:
        (found,) = mistakes_of(f"command: a\nparameters: {{file: {name}}}\n", tmp_path / "sweep.yaml")
        return found.removeprefix(f"{tmp_path}/sweep.yaml:2:20: ")

    assert message("no.csv") == "the file 'no.csv' cannot be read: No such file or directory"
    assert message("folder.csv") == "the file 'folder.csv' cannot be read: not a file"
    assert message("empty.yaml") == "the file 'empty.yaml' is empty: write a mapping of parameters"
    kinds = ".csv, .tsv, .jsonl, .ndjson, .yaml, .yml"
    assert message("rows.xls") == f"the file 'rows.xls' has an unsupported suffix: use one of {kinds}"


def test_standard_input_cannot_be_both_the_file_and_its_rows() -> None:
    assert mistakes_of("command: a\nparameters: {file: '-'}\n", None) == [  # type: ignore[arg-type]
        "-:2:20: the file '-' cannot be read: standard input holds the sweep's file itself"
    ]


def test_an_error_of_a_file_can_be_copied() -> None:
    with pytest.raises(SweepFileError) as caught:
        read("a: 1\nb: 2")
    again = copy(caught.value)  # by way of __reduce__
    assert (str(again), again.mistakes) == (str(caught.value), caught.value.mistakes)


def test_rows_of_a_file_are_not_zipped(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("g,i\n1,2\n")
    found = mistakes_of("command: a\nparameters: {file: rows.csv}\nzip: [[g, i]]\n", tmp_path / "sweep.yaml")
    remedy = "zip has no meaning for rows of a file, whose values change together already: leave it out"
    assert found == [f"{tmp_path}/sweep.yaml:3:6: {remedy}"]


def test_excluding_everything_is_a_mistake() -> None:
    assert mistakes_of("command: a\nparameters: {g: [1, 2]}\nexclude: [{g: 1}, {g: 2}]\n") == [
        "sweep.yaml:2:13: exclude leaves none of 2 combinations: take out an entry"
    ]


def test_a_message_holds_nothing_that_steers_a_terminal() -> None:
    assert mistakes_of('command: a\nname: "\\e[31m\\n\\u2028"\n', Path("a\x1bb.yaml")) == [
        "a\\x1bb.yaml:2:7: name = '\\x1b[31m\\n\\u2028' is not a valid name: use 1 to 40 of a-z, 0-9 and -, no - first"
    ]
