"""Covalent's own hooks, DepsPip and DepsBash, for images with and without Covalent.

Their pickles name two functions of Covalent's, and nothing else of it: under those names stand the ones here, which do
the same, and read requirements that have blanks or a marker.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterator, List, Sequence

from .outcome_report import PIP_FILE

# What pip reads in files of requirements, and not on its command line: hashes and variables of the environment
IN_FILES_ONLY = re.compile(r"(^|\s)--hash\b|\$\{[A-Z0-9_]+\}")


def apply_pip_deps(pkgs: Sequence[str] = (), requirements_content: str = "") -> None:
    """Install packages into this interpreter, as `DepsPip` asks; CalledProcessError has pip's output."""
    command = [sys.executable, "-m", "pip", "install", "--no-input"]
    if not requirements_content:
        lines = [line for entry in pkgs for line in pip_lines(entry)]
        command += [word for line in lines if not IN_FILES_ONLY.search(line) for word in pip_words(line)]
        requirements_content = "".join("%s\n" % line for line in lines if IN_FILES_ONLY.search(line))
    if not requirements_content:
        _run(command)
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(requirements_content)
        file.flush()
        _run([*command, "-r", file.name])


def pip_lines(entry: str) -> List[str]:
    """The lines of one entry of `DepsPip(packages=...)`, those joined that a backslash continues."""
    if os.path.exists(entry):
        return [entry]
    return re.sub(r"\\\n", " ", entry.replace("\r\n", "\n")).split("\n")


def pip_words(entry: str) -> List[str]:
    """The arguments for pip of a line of `DepsPip(packages=...)`: requirements, and options as on its command line.

    Blanks separate requirements, but those within one do not: around a version's operator, extras, an address, a marker
    (PEP 508), or in the path of a file that is there.
    """
    if os.path.exists(entry):
        return [entry]
    entry = re.sub(r"(^|\s)#.*", "", entry)
    # In an address a semicolon is a marker's only behind a blank.
    head, *marker = re.split(r"\s;" if "://" in entry else ";", entry, maxsplit=1)
    head = re.sub(r"\s*(===|[<>=!~]=|[<>]|,|\(|\[)\s*", r"\1", head)
    head = re.sub(r"\s+(?=[])])", "", head)
    head = re.sub(r"\s+@\s*|@\s+", "@", head)
    words = head.split()
    if words and marker:
        words[-1] += " ; " + marker[0].strip()
    return words


def apply_bash_commands(commands: Sequence[str]) -> None:
    """Run shell commands one by one, as `DepsBash` asks; CalledProcessError has the output of one that fails."""
    for command in commands:
        subprocess.run(command, stdin=subprocess.DEVNULL, shell=True, capture_output=True, check=True, text=True)


@contextlib.contextmanager
def capture_pip_log(folder: str) -> Iterator[None]:
    """Have a pip that is started meanwhile, by whatever hook, write its log where the outcome of one that hangs has it.

    Both these functions and Covalent's own keep what pip says to themselves until it ends.
    """
    if "PIP_LOG" in os.environ:
        # Somebody else wants it.
        yield
        return
    os.environ["PIP_LOG"] = path = os.path.join(folder, PIP_FILE)
    try:
        yield
    finally:
        # Not reached where the process is killed, which is when the log is wanted.
        if os.environ.get("PIP_LOG") == path:
            del os.environ["PIP_LOG"]
        with contextlib.suppress(OSError):
            os.remove(path)


def _run(command: List[str]) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, capture_output=True)


STAND_INS: Dict["tuple[str, str]", Any] = {
    ("covalent._workflow.depspip", "apply_pip_deps"): apply_pip_deps,
    ("covalent._workflow.depsbash", "apply_bash_commands"): apply_bash_commands,
}


def load(data: bytes) -> Any:
    """Load a hook's pickle, with the functions here in the place of Covalent's."""
    return _Unpickler(io.BytesIO(data)).load()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return STAND_INS.get((module, name)) or super().find_class(module, name)
