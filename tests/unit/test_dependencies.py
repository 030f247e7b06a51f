"""What setup.cfg declares is what the package imports, and constraints.txt has a version for all of it.

deptry looks at the first part of a module's name, which says nothing of `google.*`: a dozen packages share it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from configparser import ConfigParser
from importlib.metadata import distribution
from pathlib import Path

import toml  # type: ignore[import-untyped]  # has no types
from packaging.requirements import Requirement
from test_layers import modules

CHECKOUT = Path(__file__).parents[2]


def declared() -> list[Requirement]:
    """The requirements of the package and of its extras, but for the package itself."""
    setup = ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    lists = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    lines = [line for text in lists for line in text.split("\n") if line and not line.startswith(("#", "covalent-"))]
    return [Requirement(line) for line in lines]


def names_imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_each_of_googles_packages_that_is_imported_is_declared_and_the_other_way_round() -> None:
    google = [each.name for each in declared() if each.name.startswith(("google-", "googleapis-", "protobuf"))]
    files = {name: {str(file) for file in distribution(name).files or ()} for name in google}
    used = set()
    for module, path in modules():
        for imported in names_imported(path):
            if imported.startswith("google."):
                # The last part may be a name in a module.
                places = [imported, imported.rpartition(".")[0]]
                paths = [place.replace(".", "/") + end for place in places for end in (".py", "/__init__.py")]
                owners = {name for name in google if files[name].intersection(paths)}
                assert owners, f"{module} imports {imported}, which no declared package has"
                used |= owners
    # google_crc32c is not part of google.*, so that deptry sees it.
    assert used | {"google-crc32c"} == set(google)


def test_constraints_have_a_fitting_version_of_all_that_is_declared() -> None:
    lines = [line for line in (CHECKOUT / "constraints.txt").read_text().splitlines() if line[0] not in "# "]
    pinned: dict[str, list[str]] = {}
    for line in lines:
        name, version = re.fullmatch(r"([a-z0-9-]+)==(\S+)( ; .*)?", line).group(1, 2)  # type: ignore[union-attr]
        pinned.setdefault(name, []).append(version)
    groups = toml.load(CHECKOUT / "pyproject.toml")["dependency-groups"]
    for each in [*declared(), *map(Requirement, groups["build"])]:
        versions = pinned.get(each.name.lower(), [])
        assert versions and all(each.specifier.contains(version) for version in versions), f"{each}: run `make lock`"
