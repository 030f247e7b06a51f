"""The programs of examples/, unchanged, each as a user runs it: all of them at once on the same emulator."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 600
# What each prints, whole
PRINTED = {
    "first.py": r"6 words\n",
    "map.py": r"\{'x': 3, 'y': 2, 'value': 0\}\n",
    "monte_carlo.py": r"pi = 3\.1423 \+- 0\.0010\n",
    "cached.py": r"78498 primes, the largest is 999983\n",
    "graph.py": r"\{'slow': 0\.0632, 'fast': 0\.0315, 'total': 1\.0\}\n",
    "spot_checkpoint.py": r"weight 2\.989 after 25 epochs\n",
    "requirements.py": r"y = 1\.97 x \+ 1\.06\n",
    "forest.py": r"(accuracy 0\.9\d\d with (5|20) trees of depth [28]\n){4}",
    "data/bootstrap.py": r"mean height 62\.9 mm, 95 % interval 61\.0 to 64\.8 mm\n",
}
FAILS = "failing.py"
# Run by tests of their own, with what they need
ELSEWHERE = {"checkpoint/train.py", "own_modules/workflow.py"}

Ended = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def ended(covalent_server: PrivateCovalentServer) -> Iterator[Mapping[str, Ended]]:
    """How each of the programs ended."""

    def run(name: str) -> Ended:
        return subprocess.run(
            [sys.executable, "-W", "ignore", str(EXAMPLES / name)],
            env=covalent_server.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    names = [*PRINTED, FAILS]
    with ThreadPoolExecutor(len(names)) as threads:
        yield dict(zip(names, threads.map(run, names), strict=True))


@pytest.mark.parametrize("name", PRINTED)
def test_it_prints_its_result(name: str, ended: Mapping[str, Ended]) -> None:
    assert ended[name].returncode == 0, ended[name].stderr
    assert re.fullmatch(PRINTED[name], ended[name].stdout), ended[name].stdout


def test_the_search_prints_the_best_combination_first(ended: Mapping[str, Ended]) -> None:
    accuracies = re.findall(r"accuracy (\S+)", ended["forest.py"].stdout)
    assert len(accuracies) == 4
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_one_that_fails_shows_its_own_line_and_ends_with_1(ended: Mapping[str, Ended]) -> None:
    failed = ended[FAILS]
    assert (failed.returncode, failed.stdout) == (1, ""), failed.stdout
    assert "return sum(values) / len(values)" in failed.stderr
    assert "ZeroDivisionError: division by zero" in failed.stderr


def test_every_program_is_run_and_every_example_is_listed() -> None:
    programs = {
        path.relative_to(EXAMPLES).as_posix()
        for path in EXAMPLES.rglob("*.py")
        if "import covalent as ct" in path.read_text(encoding="utf-8")
    }
    assert programs - ELSEWHERE == {*PRINTED, FAILS}
    listed = set(re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.M))
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} <= {name.split("/")[0] for name in listed}
    assert programs <= listed
    assert [name for name in listed if not (EXAMPLES / name).exists()] == []


@pytest.mark.parametrize("name", [*PRINTED, FAILS])
def test_a_program_is_short_and_names_no_project(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert re.search(r"project_id|bucket_name|sys\.path", text) is None
