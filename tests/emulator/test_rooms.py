"""The order of the emulator's rooms: who may import whom."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from covalent_parallel_plugin import emulator

HERE = Path(emulator.__file__).parent
# A room imports what stands below it; nothing of its own row, and nothing above. "" is the emulator as a whole.
ROWS = [
    {""},
    {"runtimes", "storage", "batch", "logging", "metadata"},
    {"execution", "resource_apis"},
    {"faults", "filters"},
    {"project", "model"},
]
ROW_OF = {room: number for number, row in enumerate(ROWS) for room in row}


def imported_modules(path: Path) -> set[str]:
    """Return the emulator's modules that a module imports, with dots, anywhere in it and for types too."""
    package = path.relative_to(HERE).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or node.level == 0 or node.level > len(package) + 1:
            continue
        start = [*package[: len(package) - node.level + 1], *(node.module.split(".") if node.module else [])]
        for name in [alias.name for alias in node.names]:
            place = HERE.joinpath(*start, name)
            is_module = place.with_suffix(".py").exists() or place.is_dir()
            found.add(".".join([*start, name] if is_module else start))
    return found


def imports() -> dict[str, set[str]]:
    paths = {path: path.relative_to(HERE).with_suffix("").parts for path in HERE.rglob("*.py")}
    return {
        ".".join(part for part in parts if part != "__init__"): imported_modules(path) for path, parts in paths.items()
    }


def room_of(module: str) -> str:
    first = module.partition(".")[0]
    return first if (HERE / first).is_dir() else ""


def test_a_room_imports_only_rooms_below_it() -> None:
    offenders = [
        f"{module} imports {used}"
        for module, all_used in imports().items()
        for used in sorted(all_used)
        if room_of(module) != room_of(used) and ROW_OF[room_of(module)] >= ROW_OF[room_of(used)]
    ]
    assert offenders == []


def test_no_modules_import_each_other() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' <- '.join(error.args[1])}") from None
