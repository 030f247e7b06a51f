"""The layer diagram of the design, and what importing loads and does."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import covalent_parallel_plugin

PACKAGE = "covalent_parallel_plugin"
HERE = Path(covalent_parallel_plugin.__file__).parent
FOUNDATION = {"wire", "settings", "rules", "resources", "machines", "machine_sizes", "stock_image", "errors", ""}
RUNNER = {"wire", "errors", "runner"}
# What each part of the package may import of the others; "" is the package itself
ALLOWED: dict[str, set[str]] = {
    "": {"errors", "gcpbatch", "parallel_map"},
    "errors": set(),
    "wire": set(),
    "mark": set(),
    "rules": set(),
    "machines": set(),
    "machine_sizes": set(),
    "stock_image": set(),
    "remembered": set(),
    "resting": set(),
    "given": {"remembered"} | FOUNDATION,
    "resources": {"rules"},
    "settings": {"errors", "rules", "resources", "machines", "stock_image"},
    # its bootstrap asks for the installed package's version
    "runner": RUNNER | {""},
    "cloud": FOUNDATION,
    "dispatch": {"cloud", "remembered"} | FOUNDATION,
    "transport": {"dispatch", "mark"} | FOUNDATION,
    "map_arguments": {"errors", "runner", "settings"},
    "map_here": {"errors", "runner"},
    "parallel_map": {"map_arguments", "map_here", "mark", "errors", "runner", ""},
    "nodes": {"dispatch", "cloud", "runner"} | FOUNDATION,
    "gcpbatch": {"deploy", "dispatch", "cloud", "transport", "nodes", "given", "resting"} | FOUNDATION,
    "deploy": FOUNDATION,
    "image": {"cloud"} | FOUNDATION,
    "doctor": {"gcpbatch", "image", "dispatch", "cloud"} | FOUNDATION,
    "planning": {"gcpbatch", "dispatch", "mark", "runner"} | FOUNDATION,
    "emulator": {"stock_image"},
    "private_server": {""},
    "demo_workflow": {"", "gcpbatch"},
    "demo": {"emulator", "private_server", "demo_workflow"} | FOUNDATION,
    "watching": {"dispatch", "cloud"} | FOUNDATION,
    "cli": {
        "watching",
        "doctor",
        "planning",
        "image",
        "deploy",
        "emulator",
        "private_server",
        "demo",
        "demo_workflow",
        "gcpbatch",
        "dispatch",
        "cloud",
    }
    | FOUNDATION,
}
# What a container's Python may lack; imported inside functions only, where at all
BESIDES_THE_STANDARD_LIBRARY = {"cloudpickle"}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(HERE.rglob("*.py")):
        parts = path.relative_to(HERE).with_suffix("").parts
        yield ".".join([PACKAGE, *(part for part in parts if part != "__init__")]), path


def imports(module: str, path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that is imported, by full name, and whether that is at the module's top."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            # "from . import wire" names a module, "from .wire import Call" what is in one
            names = [f"{start}.{alias.name}" for alias in node.names] if start == PACKAGE else [start]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            first = node.args[0]
            names = [first.value] if isinstance(first, ast.Constant) else []
        elif (
            isinstance(node, ast.Constant) and str(node.value).startswith(f"{PACKAGE}.") and " " not in str(node.value)
        ):
            names = [str(node.value)]
        else:
            continue
        yield from ((name, id(node) in top) for name in names)


def is_ours(name: str) -> bool:
    return name.split(".")[0] == PACKAGE


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_point_down_the_diagram(module: str, path: Path) -> None:
    part = part_of(module)
    assert part in ALLOWED, f"{module} has no place in the diagram"
    used = {part_of(name) for name, _ in imports(module, path) if is_ours(name)}
    # A name that is no module, such as `from . import __version__`, belongs to the package itself.
    used = {name if (HERE / name).is_dir() or (HERE / f"{name}.py").exists() else "" for name in used}
    assert used <= ALLOWED[part] | {part}


@pytest.mark.parametrize("part", ["wire", "errors", "runner"])
def test_the_containers_side_imports_the_standard_library_only(part: str) -> None:
    for module, path in modules():
        if part_of(module) == part:
            for name, at_top in imports(module, path):
                top = name.split(".")[0]
                if is_ours(name) or (top in BESIDES_THE_STANDARD_LIBRARY and not at_top):
                    continue
                assert top in sys.stdlib_module_names, f"{module} imports {name}"


def python(code: str, tmp_path: Path) -> str:
    """What the code prints, in a process with a home of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "COVALENT_CONFIG_DIR": str(tmp_path / "covalent"),
    }
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


SHOW = "import sys; print(sorted(m for m in sys.modules if m.split('.')[0] in {names!r}))"


@pytest.mark.parametrize(
    "what",
    ["covalent_parallel_plugin", "covalent", "covalent_parallel_plugin.settings", "covalent_parallel_plugin.errors"],
)
def test_importing_loads_nothing_of_googles(what: str, tmp_path: Path) -> None:
    shown = python(f"import {what}; {SHOW.format(names=('google', 'grpc', 'proto'))}", tmp_path)
    assert shown == "[]"


def test_importing_covalent_loads_the_plugin(tmp_path: Path) -> None:
    code = "import covalent as ct; print(ct.executor.GCPBatchExecutor.__module__)"
    assert python(code, tmp_path) == "covalent_parallel_plugin.gcpbatch"


def test_covalent_knows_the_executor_also_where_this_package_is_imported_first(tmp_path: Path) -> None:
    code = """
from covalent_parallel_plugin import GCPBatchExecutor
import covalent as ct
print(ct.executor.GCPBatchExecutor is GCPBatchExecutor)
"""
    assert python(code, tmp_path) == "True"


@pytest.mark.parametrize("what", ["covalent_parallel_plugin", "covalent_parallel_plugin.runner.supervisor"])
def test_package_and_runner_load_no_covalent(what: str, tmp_path: Path) -> None:
    names = ("covalent", "cloudpickle", "google", "requests", "pydantic")
    assert python(f"import {what}; {SHOW.format(names=names)}", tmp_path) == "[]"


@pytest.mark.parametrize("module", ["", ".settings", ".errors", ".wire", ".runner.supervisor", ".runner.child"])
def test_importing_does_no_input_or_output(module: str, tmp_path: Path) -> None:
    """No socket, process or thread, and no file but modules."""
    code = f"""
import sys, threading
seen = []
watched = ("socket.", "subprocess.", "os.mkdir", "os.remove", "os.rename", "shutil.", "tempfile.", "os.system")
def hook(event, args):
    if event.startswith(watched):
        seen.append(event)
    if event == "open" and args[1] is not None and set(str(args[1])) & set("wax+"):
        seen.append(args)
sys.dont_write_bytecode = True
sys.addaudithook(hook)
import {PACKAGE}{module}
print(seen, threading.active_count())
"""
    assert python(code, tmp_path) == "[] 1"


def test_the_public_names_are_there_on_first_use() -> None:
    assert set(covalent_parallel_plugin.__all__) <= set(dir(covalent_parallel_plugin))
    assert covalent_parallel_plugin.ParallelError.__module__ == "covalent_parallel_plugin.errors"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        covalent_parallel_plugin.nothing  # noqa: B018
