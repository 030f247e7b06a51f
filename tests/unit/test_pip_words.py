"""How the entries of DepsPip become arguments of pip."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from covalent_parallel_plugin.runner.hooks import IN_FILES_ONLY, pip_lines, pip_words

REQUIREMENTS = [
    "six",
    "six >= 1.10",
    "six>=1.10,<2",
    "six >= 1.10 , < 2, != 1.12",
    "six ( >= 1.10 )",
    "six == 1.*",
    "six ~= 1.4",
    "six === 1.0.0",
    "requests [ security, socks ] >= 2.0",
    "tomli; python_version < '3.11'",
    "tomli ;python_version<'3.11' and platform_system == \"Linux\"",
    "tomli >= 1 ; python_version < '3.11'",
    "six @ https://example.org/six-1.0.zip",
    "six@https://example.org/a;b/six-1.0.zip",
    "six @ https://example.org/six-1.0.zip ; python_version > '3'",
    "six @ git+https://me@example.org/six.git@main",
    "\tsix  \n",
]


@pytest.mark.parametrize("text", REQUIREMENTS)
def test_a_requirement_is_one_argument_however_it_is_written(text: str) -> None:
    words = pip_words(text)
    assert [Requirement(word) for word in words] == [Requirement(text.strip())]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("numpy scipy", ["numpy", "scipy"]),
        ("numpy >= 1 scipy<2", ["numpy>=1", "scipy<2"]),
        ("a[b] c", ["a[b]", "c"]),
        ("--index-url https://example.org/simple numpy", ["--index-url", "https://example.org/simple", "numpy"]),
        ("-e git+https://example.org/six.git@main#egg=six", ["-e", "git+https://example.org/six.git@main#egg=six"]),
        ("six  # what for", ["six"]),
        ("", []),
        ("; python_version < '3'", []),
        ("/no/such/file.whl", ["/no/such/file.whl"]),
    ],
)
def test_other_entries_are_split_at_blanks(entry: str, words: list[str]) -> None:
    assert pip_words(entry) == words


def test_the_path_of_a_file_that_is_there_is_one_argument(tmp_path: Path) -> None:
    path = tmp_path / "my packages; all"
    path.mkdir()
    assert pip_words(str(path)) == [str(path)]


@pytest.mark.parametrize(
    ("entry", "lines"),
    [
        ("six; python_version > '3'\nrequests", ["six; python_version > '3'", "requests"]),
        ("six==1 \\\n  --hash=sha256:aa\r\nattrs", ["six==1    --hash=sha256:aa", "attrs"]),
        ("six", ["six"]),
    ],
)
def test_an_entry_may_have_several_lines(entry: str, lines: list[str]) -> None:
    assert pip_lines(entry) == lines


@pytest.mark.parametrize("entry", ["six==1 --hash=sha256:aa", "https://${TOKEN}@example.org/six.zip"])
def test_hashes_and_variables_go_into_a_file(entry: str) -> None:
    assert IN_FILES_ONLY.search(entry)


@pytest.mark.parametrize("entry", ["six==1", "six --hashes", "--index-url https://example.org/$simple six"])
def test_other_entries_stay_on_the_command_line(entry: str) -> None:
    assert not IN_FILES_ONLY.search(entry)
