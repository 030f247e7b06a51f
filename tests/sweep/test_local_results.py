"""What a program reported: files in its folder, and patterns in its output."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.programs.result_values import MissingResult, ResultSource, read_result


def read_file(folder: Path, name: str, text: str | bytes) -> dict[str, Any]:
    data = text.encode() if isinstance(text, str) else text
    (folder / name).write_bytes(data)
    return read_result(ResultSource(name), folder, folder / "stdout.txt")


def search(folder: Path, pattern: str, text: str | bytes, flags: int = 0, text_bytes: int = 1000) -> dict[str, Any]:
    (folder / "stdout.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    return read_result(ResultSource(pattern=re.compile(pattern, flags)), folder, folder / "stdout.txt", text_bytes)


@pytest.mark.parametrize(
    ("name", "text", "result"),
    [
        ("r.json", '{"a": 1, "b": {"c": [true, null]}}', {"a": 1, "b": {"c": [True, None]}}),
        ("r.json", '\ufeff{"a": "é"}\n', {"a": "é"}),
        ("r.json", "{}", {}),
        ("r.jsonl", '{"a": 1}\n{"a": 2}\n\n', {"a": 2}),
        ("r.csv", "a,b,c,d\n1e-3,007,on,\n", {"a": 0.001, "b": 7, "c": "on", "d": None}),
        ("r.csv", 'a,b\r\n"x, ""y""",true\r\n', {"a": 'x, "y"', "b": True}),
    ],
)
def test_files_of_three_kinds(tmp_path: Path, name: str, text: str, result: dict[str, Any]) -> None:
    assert read_file(tmp_path, name, text) == result


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("r.json", "[1]", r"r\.json holds \[1\], which is not an object"),
        ("r.json", "{", r"r\.json is not JSON: "),
        ("r.json", "[" * 100_000, r"r\.json is not JSON: "),
        ("r.json", b"\xff{}", r"r\.json is not UTF-8"),
        ("r.jsonl", "\n\n", r"r\.jsonl is empty"),
        ("r.jsonl", '{"a": 1}\n{"a"', r"r\.jsonl is not JSON"),
        ("r.csv", "a,b\n1,2\n3,4\n", r"r\.csv is not a header with one row .* it has 3 rows"),
        ("r.csv", "a,b\n1\n", r"r\.csv is not a header"),
        ("r.csv", "a,a\n1,2\n", r"r\.csv is not a header"),
        ("r.csv", "", r"r\.csv is not a header .* it has 0 rows"),
        ("r.json", '{"a": ' * 101 + "1" + "}" * 101, r"r\.json is nested more than 100 levels deep"),
        ("r.json", '{"a": ' + "[" * 500 + "]" * 500 + "}", r"r\.json is nested more than 100 levels deep"),
        ("r.json", b" " * (1 << 20) + b"{}", r"r\.json has more than 1048576 bytes"),
    ],
)
def test_files_that_are_no_result_say_why(tmp_path: Path, name: str, text: str | bytes, why: str) -> None:
    with pytest.raises(MissingResult, match=why):
        read_file(tmp_path, name, text)


def test_a_result_is_read_in_the_folder_only(tmp_path: Path) -> None:
    files = tmp_path / "files"
    (files / "sub").mkdir(parents=True)
    (tmp_path / "secret.json").write_text('{"secret": 1}')
    (files / "sub" / "good.json").write_text('{"good": 1}')
    (files / "link.json").symlink_to("../secret.json")
    (files / "fine.json").symlink_to("sub/good.json")
    (files / "loop.json").symlink_to("loop.json")
    (files / "folder.json").mkdir()
    os.mkfifo(files / "pipe.json")
    (files / "away").symlink_to(tmp_path)
    assert read_result(ResultSource("fine.json"), files, files) == {"good": 1}
    for name, why in (
        ("link.json", "leads out of"),
        ("away/secret.json", "leads out of"),
        ("../secret.json", "leads out of"),
        ("loop.json", "cannot be read"),
        ("folder.json", "is not a file"),
        ("pipe.json", "is not a file"),
        ("none.json", "was not written"),
    ):
        with pytest.raises(MissingResult, match=why):
            read_result(ResultSource(name), files, files)


@pytest.mark.parametrize("most", [1 << 20, 0])
def test_the_last_match_counts_and_is_typed(tmp_path: Path, most: int) -> None:
    text = "pi = 3\nbad \xff\npi = 3.14\n".encode("latin-1")
    assert search(tmp_path, r"pi = (?P<pi>\S+)", text, text_bytes=most) == {"pi": 3.14}
    several = search(tmp_path, r"(?P<a>\d+)( (?P<b>\w+))?$", "1 on\n2", re.MULTILINE, most)
    assert several == {"a": 2, "b": None}
    assert search(tmp_path, "=(?P<é>.+)", "=né", text_bytes=most) == {"é": "né"}
    assert search(tmp_path, "=(?P<e>.+)", "=né", text_bytes=most) == {"e": "né"}
    with pytest.raises(MissingResult, match=r"the pattern 'x=.*' is not in the standard output"):
        search(tmp_path, "x=(?P<x>.+)", "y=1", text_bytes=most)


@pytest.mark.parametrize("most", [1 << 20, 0])
def test_much_output_is_searched_in_a_process_that_is_ended_in_time(tmp_path: Path, most: int) -> None:
    text = "x" * 200_000 + "\npi = 3.14 \u00e9\n"
    assert search(tmp_path, r"PI = (?P<pi>\S+) (?P<e>\S+)", text, re.IGNORECASE, most) == {"pi": 3.14, "e": "\u00e9"}
    slow = ResultSource(pattern=re.compile("(x+x+)+y(?P<y>.)"))
    with pytest.raises(MissingResult, match=r"takes longer than 0\.5 s to search the standard output: have it begin"):
        read_result(slow, tmp_path, tmp_path / "stdout.txt", most, 0.5)
