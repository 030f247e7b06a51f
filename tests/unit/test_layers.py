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
# Each part may import itself and those to its right; and what ALSO adds
ORDER = ("cli", "gcpbatch pmap results", "sweep covalent_api", "electron", "batch", "cloud", "settings", "errors")
ALSO = {
    "": {"gcpbatch", "pmap", "results", "sweep", "errors"},
    "protocol": {"errors"},
    # its bootstrap asks for the installed package's version
    "runner": {"programs", "containers", "protocol", "errors", ""},
    "pmap": {"covalent_api", "protocol", "settings", "errors", ""},
    "sweep": {"programs", "batch", "cloud", "containers", "settings", "protocol", "errors", ""},
    "programs": {"containers", "protocol", "errors"},
    "containers": set(),
    "emulator": {"containers", "protocol"},
}
# What these may import is all there is; the others may import the protocol and the package's version as well
CLOSED = {"", "protocol", "runner", "pmap", "sweep", "programs", "containers", "emulator"}
# Who may import Covalent
COVALENTS = ("covalent_api", "gcpbatch", "pmap.decorator", "cli.plan", "cli.demo.workflow")
# The commands that use parts of another one's folder
COMMANDS_BESIDES = {"demo": {"dev", "emulator", "watch"}, "dev": {"emulator"}, "doctor": {"image"}, "sweep": {"doctor"}}
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
            # "from . import errors" names a module, "from .errors import CloudError" what is in one
            names = [f"{start}.{alias.name}" for alias in node.names]
            names = [name if start == PACKAGE or is_module(name) else start for name in names]
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


def is_module(name: str) -> bool:
    path = HERE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def is_ours(name: str) -> bool:
    return name.split(".")[0] == PACKAGE


def allowed(part: str) -> set[str] | None:
    """The parts that one may import, itself included; None of one without a place."""
    if part in CLOSED:
        return ALSO[part] | {part}
    ranks = [set(rank.split()) for rank in ORDER]
    for number, rank in enumerate(ranks):
        if part in rank:
            below = set().union(*ranks[number + 1 :]) | {"protocol", "", part}
            # The front doors may not use each other; the command line may, and what only it uses.
            return below | {"emulator", "programs", "containers"} if part == "cli" else below
    return None


def used_by(module: str, path: Path) -> set[str]:
    """The parts that a module imports."""
    used = {part_of(name) for name, _ in imports(module, path) if is_ours(name)}
    # A name that is not a module, such as `from . import __version__`, belongs to the package itself.
    return {name if (HERE / name).is_dir() or (HERE / f"{name}.py").exists() else "" for name in used}


def test_imports_point_down_the_diagram() -> None:
    offenders = []
    for module, path in modules():
        mine = allowed(part_of(module))
        if mine is None:
            offenders.append(f"{module} has no place in the diagram")
        else:
            offenders += [f"{module} imports {name or 'the package'}" for name in used_by(module, path) - mine]
    assert offenders == []


def test_only_those_that_know_covalent_import_it() -> None:
    offenders = [
        f"{module} imports {name}"
        for module, path in modules()
        for name, _ in imports(module, path)
        if name.split(".")[0] in ("covalent", "covalent_dispatcher", "covalent_ui")
        and module != PACKAGE
        and not module.removeprefix(f"{PACKAGE}.").startswith(COVALENTS)
    ]
    assert offenders == []


def test_there_are_no_circles_of_modules() -> None:
    names = {module for module, _ in modules()}
    found: dict[str, set[str]] = {}
    for module, path in modules():
        top = {name for name, at_top in imports(module, path) if at_top and is_ours(name)}
        found[module] = (top & names) - {module}
    while found:
        leaves = {module for module, needs in found.items() if not needs & found.keys()}
        assert leaves, f"circle among {sorted(found)}"
        found = {module: needs for module, needs in found.items() if module not in leaves}


@pytest.mark.parametrize("part", ["protocol", "errors", "programs", "containers", "runner"])
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
    [
        "covalent_parallel_plugin",
        "covalent",
        "covalent_parallel_plugin.settings",
        "covalent_parallel_plugin.errors",
    ],
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


@pytest.mark.parametrize("what", ["", ".runner.task_main", ".results.report.complete, {}.results.report.read"])
def test_package_runner_and_report_load_no_covalent(what: str, tmp_path: Path) -> None:
    names = ("covalent", "cloudpickle", "google", "requests", "pydantic")
    assert python(f"import {PACKAGE}{what.format(PACKAGE)}; {SHOW.format(names=names)}", tmp_path) == "[]"


@pytest.mark.parametrize("address", ["dispatcher.example", "https://dispatcher.example/behind/a/proxy"])
def test_the_servers_address_is_covalents_also_without_covalent(address: str, tmp_path: Path) -> None:
    code = f"""
import sys
from {PACKAGE}.covalent_api.server_client import ServerClient
alone, is_loaded = ServerClient.configured().address, "covalent" in sys.modules
import covalent
print(is_loaded, alone == ServerClient.configured().address, alone)
"""
    file = tmp_path / "covalent" / "covalent.conf"
    file.parent.mkdir()
    file.write_text(f'[dispatcher]\naddress = "{address}"\nport = 50123\n')
    is_loaded, is_same, found = python(code, tmp_path).split()
    assert (is_loaded, is_same) == (str("/" in address), "True")
    assert "dispatcher.example:50123" in found


@pytest.mark.parametrize(
    "module", ["", ".settings", ".errors", ".protocol.envelope", ".runner.task_main", ".runner.electron_main"]
)
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


def test_a_class_name_has_one_meaning() -> None:
    homes: dict[str, list[str]] = {}
    for module, path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}
