"""Try which versions of cloudpickle load each other's pickles: `python tests/image/cloudpickle_pairs.py 2.2.1 3.1.3`.

Prints a row for each version that pickles and a column for each that loads: how many of the cases work. What comes of
it is written down in covalent_parallel_plugin/cli/image/cloudpickle_versions.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

CASES = """
import enum

offset = 3

def helper(x):
    return x + offset

def calls_helper(x):
    return helper(x)

def make(n):
    def closure(x):
        return x + n
    return closure

class Thing:
    def __init__(self, value):
        self.value = value
    def get(self):
        return helper(self.value)

class Colour(enum.Enum):
    RED = 1

def plain(x):
    return x + 1

# what is pickled, and what must be true of what is loaded
cases = {
    "plain function": (plain, lambda f: f(1) == 2),
    "closure": (make(4), lambda f: f(1) == 5),
    "function with a helper": (calls_helper, lambda f: f(1) == 4),
    "lambda": (lambda x: x - 1, lambda f: f(1) == 0),
    "class": (Thing, lambda c: c(1).get() == 4),
    "instance": (Thing(5), lambda o: o.get() == 8),
    "enum": (Colour, lambda c: c(1) is c.RED),
}
"""
WRITE = """
import cloudpickle, pathlib, sys
for name, (value, _) in cases.items():
    try:
        pathlib.Path(sys.argv[1], name).write_bytes(cloudpickle.dumps(value))
    except Exception as error:  # a version that does not know this Python
        print(f"{name} is not pickled: {error}", file=sys.stderr)
"""
READ = """
import pathlib, pickle, sys
works = 0
for name, (_, is_right) in cases.items():
    try:
        works += is_right(pickle.loads(pathlib.Path(sys.argv[1], name).read_bytes()))
    except Exception as error:
        print(f"{name} is not loaded: {error}", file=sys.stderr)
print(f"{works}/{len(cases)}")
"""


def run(code: str, packages: Path, folder: Path) -> str:
    """What the code prints with this cloudpickle; its errors are shown with `-v`."""
    ended = subprocess.run(
        [sys.executable, "-c", CASES + code, str(folder)],
        env={**os.environ, "PYTHONPATH": str(packages)},
        stdout=subprocess.PIPE,
        stderr=None if "-v" in sys.argv else subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def main(versions: Sequence[str]) -> None:
    """Install the versions side by side, and try every pair."""
    with tempfile.TemporaryDirectory() as temporary:
        packages, pickles = Path(temporary, "packages"), Path(temporary, "pickles")
        for version in versions:
            install = [
                "install",
                "--quiet",
                "--no-deps",
                "--target",
                str(packages / version),
                f"cloudpickle=={version}",
            ]
            subprocess.run([sys.executable, "-m", "pip", *install], check=True)
            (pickles / version).mkdir(parents=True)
            run(WRITE, packages / version, pickles / version)
        print(f"{'':>8}", *(f"{version:>8}" for version in versions))
        for writes in versions:
            print(f"{writes:>8}", *(f"{run(READ, packages / reads, pickles / writes):>8}" for reads in versions))


if __name__ == "__main__":
    main([word for word in sys.argv[1:] if not word.startswith("-")])
