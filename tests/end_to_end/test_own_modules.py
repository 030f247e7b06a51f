"""Own modules of a script travel with its electrons: the tasks have none of them."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

import pytest
from setuptools.command import editable_wheel

from covalent_parallel_plugin.batch.leftovers import find_leftovers
from covalent_parallel_plugin.cloud import shared_services
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor

if TYPE_CHECKING:
    from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
    from covalent_parallel_plugin.emulator import Emulator

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_modules"
SECONDS = 300

SCRIPT = """
import json
import site
import sys

site.addsitedir({site_packages!r})
import covalent as ct
import helper
import queue_of_mine
from covalent_parallel_plugin import pmap
from shapes import square as squares
from team.tools import ruler
import colours

batch = dict(executor="gcpbatch")


@ct.electron(**batch)
def in_the_body(x):
    import late
    from pkg.sub import inner

    return late.twice(x) + inner.read()


@ct.electron(**batch)
def with_globals(x):
    import secrets_of_mine, tomllib

    return helper.version(), squares.area(x), ruler.LENGTH, colours.hue(), colours.VERSION, tomllib.__file__[-11:]


@ct.electron(**batch)
def of_argument(box):
    return type(box).__module__, box.volume()


@pmap(**batch)
def of_items(x):
    return helper.cube(x)


def begin():
    return helper.version()


@ct.electron(call_before=[ct.DepsCall(helper.hook, args=["from a hook"])], **batch)
def hooked():
    return helper.SEEN


by_reference = ct.electron(helper.cube, **batch)


@ct.lattice
def flow():
    return [
        in_the_body(2), with_globals(3), of_argument(helper.Box(2)), of_items([1, 2, 3]), by_reference(4), hooked(),
    ]


@ct.electron(executor=ct.executor.GCPBatchExecutor(own_modules=False))
def without():
    return helper.version()


@ct.lattice
def not_brought():
    return without()


if __name__ == "__main__":
    ids = [ct.dispatch(flow)(), ct.dispatch(not_brought)()] if "all" in sys.argv else [ct.dispatch(flow)()]
    found = []
    for dispatch_id in ids:
        result = ct.get_result(dispatch_id, wait=True)
        nodes = {{node["node_name"]: node["stderr"] or "" for node in result.get_all_node_results()}}
        found.append([str(result.status), result.result, nodes])
    print(json.dumps(found))
"""

FILES = {
    "helper.py": """
        import queue_of_mine
        SEEN = []
        class Box:
            def __init__(self, side):
                self.side = side
            def volume(self):
                return cube(self.side)
        def version():
            return "first"
        def cube(x):
            return x**3
        def hook(text):
            SEEN.append(text)
    """,
    "queue_of_mine.py": "",
    "late.py": "def twice(x): return 2 * x",
    "unused.py": "raise SystemExit",
    "secrets_of_mine.py": "",
    # As a script finds it: before Python's own
    "tomllib.py": "",
    "pkg/__init__.py": "",
    "pkg/.env": "PASSWORD=xyz",
    "pkg/sub/__init__.py": "from ..data import NUMBERS",
    "pkg/sub/inner.py": """
        from importlib.resources import files
        from . import NUMBERS
        def read():
            return int((files("pkg") / "data" / "number.txt").read_text()) + int(NUMBERS.read_text())
    """,
    "pkg/data/__init__.py": """
        from pathlib import Path
        NUMBERS = Path(__file__).parent / "number.txt"
    """,
    "pkg/data/number.txt": "10",
    "shapes/__init__.py": "",
    "shapes/square.py": "def area(x): return x * x",
    "team/tools/ruler.py": "LENGTH = 30",
    "team/notes.txt": "of no package",
    "large/data.bin": "",
}
PROJECT = {
    "{layout}/colours/__init__.py": """
        from importlib.metadata import version
        from .hues import hue
        VERSION = version("colours")
    """,
    "{layout}/colours/hues.py": "def hue(): return 'blue'",
}
METADATA = {
    "colours-1.2.3.dist-info/METADATA": "Metadata-Version: 2.1\nName: colours\nVersion: 1.2.3\n",
    "colours-1.2.3.dist-info/direct_url.json": '{{"dir_info": {{"editable": true}}, "url": "{url}"}}',
}


# Executors by their name alone, as a program has them that imports nothing of this package
OF_OWN_CLASSES = """
import json
import covalent as ct
import helper
from covalent_parallel_plugin import wait

batch = dict(executor="gcpbatch")


@ct.electron(**batch)
def version():
    return helper.version()


@ct.electron(**batch)
def box(side):
    return helper.Box(side)


@ct.electron(**batch)
def boxed(side):
    import helper

    return helper.Box(side)


@ct.electron(**batch)
def volume(box):
    return box.volume()


@ct.electron(**batch)
@ct.lattice
def inner(side):
    return volume(boxed(side))


@ct.electron(**batch)
@ct.lattice
def of_globals():
    return version()


@ct.lattice
def plain():
    return version()


@ct.lattice
def between():
    return volume(box(2)), box(3).side, inner(4)


@ct.lattice(workflow_executor="gcpbatch")
def returned():
    return {"one": box(5), "here": helper.Box(6)}


@ct.lattice
def on_the_server():
    return box(7)


@ct.lattice
def sublattice():
    return of_globals()


if __name__ == "__main__":
    ids = [ct.dispatch(lattice)() for lattice in (plain, between, returned, on_the_server, sublattice)]
    found = []
    for dispatch_id in ids:
        try:
            found.append(wait(dispatch_id))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    print(json.dumps(found, default=vars))
"""


def write(folder: Path, files: Mapping[str, str], **names: str) -> None:
    for name, text in files.items():
        path = folder / name.format(**names)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))


def install_editable(project: Path, layout: str, site_packages: Path) -> None:
    """Write what setuptools does: for a folder of sources a line in a .pth, else a finder (its own template)."""
    write(site_packages, {name: text.format(url=project.as_uri()) for name, text in METADATA.items()})
    if layout == "src":
        (site_packages / "__editable__.colours-1.2.3.pth").write_text(f"{project / layout}\n")
        return
    mapping = {"colours": str(project / layout / "colours")}
    finder = editable_wheel._finder_template("__editable___colours_1_2_3_finder", mapping, {})
    (site_packages / "__editable___colours_1_2_3_finder.py").write_text(finder)
    (site_packages / "__editable__.colours-1.2.3.pth").write_text(
        "import __editable___colours_1_2_3_finder; __editable___colours_1_2_3_finder.install()\n"
    )


@pytest.fixture
def run_python(covalent_server: PrivateCovalentServer) -> Callable[..., str]:
    def run(folder: Path, *words: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", *words],
            cwd=folder,
            env=covalent_server.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.splitlines()[-1]

    return run


@pytest.fixture
def run_script(run_python: Callable[..., str]) -> Callable[..., Any]:
    return lambda script, *words: run_python(script.parent, script.name, *words)


@pytest.fixture
def archives(emulator: Emulator, object_names: Callable[[], list[str]]) -> Callable[[], dict[str, list[str]]]:
    """The archives of own modules in the bucket, each with the names of its files."""

    def read() -> dict[str, list[str]]:
        found = {}
        for name in object_names():
            if name.startswith("covalent-parallel/_modules/"):
                address = f"{emulator.environment['STORAGE_EMULATOR_HOST']}/storage/v1/b/covalent/o/{quote(name, '')}"
                with build_opener(ProxyHandler({})).open(f"{address}?alt=media", timeout=60) as answer:
                    found[name] = zipfile.ZipFile(BytesIO(answer.read())).namelist()
        return found

    return read


@pytest.mark.parametrize("layout", ["src", "flat"])
def test_modules_packages_and_an_editable_install_travel_and_a_changed_line_is_seen_by_the_next_dispatch(
    layout: str,
    tmp_path: Path,
    run_script: Callable[..., Any],
    archives: Callable[[], dict[str, list[str]]],
) -> None:
    write(tmp_path / "project", PROJECT, layout=layout)
    site_packages = tmp_path / "lib" / "site-packages"
    install_editable(tmp_path / "project", layout, site_packages)
    folder = tmp_path / "script"
    write(folder, FILES)
    (folder / "large" / "data.bin").write_bytes(b"0")
    script = folder / "script.py"
    script.write_text(SCRIPT.format(site_packages=str(site_packages)))
    (status, value, nodes), *others = json.loads(run_script(script, "all" if layout == "src" else ""))
    expected = [
        24,
        ["first", 9, 30, "blue", "1.2.3", "/tomllib.py"],
        ["helper", 8],
        [1, 8, 27],
        64,
        ["from a hook"],
    ]
    assert (status, value) == ("COMPLETED", expected), "\n".join(nodes.values())
    if others:
        ((status, _, nodes),) = others
        assert status == "FAILED"
        assert "own_modules" in nodes["without"]
    # Files of packages travel, and of a folder that is no package modules alone; hidden ones and others stay here.
    names = {name for files in archives().values() for name in files}
    assert {"helper.py", "queue_of_mine.py", "pkg/data/number.txt", "team/tools/ruler.py", "colours/hues.py"} <= names
    assert not [name for name in names if "unused" in name or ".env" in name or "notes" in name or "script" in name]

    helper = folder / "helper.py"
    helper.write_text(helper.read_text().replace("first", "later"))
    ((status, value, nodes),) = json.loads(run_script(script))
    assert (status, value[1][0]) == ("COMPLETED", "later"), "\n".join(nodes.values())


def test_values_may_be_of_own_classes_and_what_the_server_would_load_is_named(
    tmp_path: Path, run_script: Callable[..., Any]
) -> None:
    write(tmp_path, {name: FILES[name] for name in ("helper.py", "queue_of_mine.py")})
    (tmp_path / "script.py").write_text(OF_OWN_CLASSES)
    plain, between, returned, on_the_server, sublattice = json.loads(run_script(tmp_path / "script.py"))
    assert (plain, between) == ("first", [8, 3, 64])
    assert returned == {"one": {"side": 5}, "here": {"side": 6}}
    assert on_the_server.startswith("DispatchError: ") and on_the_server.endswith(
        'which has no module helper: @ct.lattice(workflow_executor="gcpbatch") returns it without loading it'
    )
    assert "The sublattice is built on the machine of Covalent's server, which has no module helper" in sublattice


def test_a_script_of_a_package_imports_from_it_and_one_behind_a_link_from_its_own_folder(
    tmp_path: Path, run_python: Callable[..., str]
) -> None:
    program = """
        import covalent as ct
        from {of} import first
        from covalent_parallel_plugin import wait

        @ct.electron(executor="gcpbatch")
        def both():
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("error")
                from {of} import second
            return first.TEXT + second.TEXT

        @ct.electron(executor="gcpbatch")
        def pooled():
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context

            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                return pool.submit(read).result()

        def read():
            from {of} import second
            return second.TEXT

        @ct.lattice
        def flow():
            return [both(), pooled()]

        if __name__ == "__main__":
            print(wait(ct.dispatch(flow)()))
    """
    modules = {"first.py": "TEXT = 'a'", "second.py": "TEXT = 'b'"}
    write(tmp_path / "team" / "part", {**modules, "run.py": program.format(of=".")})
    assert run_python(tmp_path, "-m", "team.part.run") == "['ab', 'b']"
    write(tmp_path / "real", {f"one_{name}": text for name, text in modules.items()})
    alone = program.format(of="x").replace("from x import ", "import one_").replace("first\n", "first as first\n")
    (tmp_path / "real" / "run.py").write_text(dedent(alone).replace("one_second", "one_second as second"))
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "run.py").symlink_to(tmp_path / "real" / "run.py")
    assert run_python(tmp_path, str(tmp_path / "linked" / "run.py")) == "['ab', 'b']"


def test_the_example_runs(run_script: Callable[..., Any]) -> None:
    assert run_script(EXAMPLE / "workflow.py") == "COMPLETED [7.2, 78.5]"


def test_an_archive_that_is_lost_or_changed_in_the_bucket_is_put_back_and_what_cannot_travel_is_refused_first(
    services: Emulator,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    archives: Callable[[], dict[str, list[str]]],
    left_of: Callable[..., list[str]],
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = f"fresh_{uuid.uuid4().hex}"
    write(tmp_path, {f"{module}.py": "def f(): return 1", "huge_of_mine/__init__.py": ""})
    options = {"project_id": "local", "bucket_name": "covalent", "poll_freq": 0.1, "cache_dir": str(cache_dir)}

    def run(name: str) -> Any:
        function: dict[str, Any] = {"__name__": "__main__"}
        exec(f"def g():\n    import {name} as m\n    return m.f()", function)  # noqa: S102 - as in a script
        executor = GCPBatchExecutor(**options)
        dispatch_ids.append(str(uuid.uuid4()))
        metadata = {"dispatch_id": dispatch_ids[-1], "node_id": 0, "results_dir": "/nowhere"}
        return asyncio.run(executor.run(function["g"], [], {}, metadata)).get_deserialized()

    def own() -> list[str]:
        files = {f"{module}.py", "huge_of_mine/__init__.py"}
        return [name for name, names in archives().items() if not files.isdisjoint(names)]

    dispatch_ids: list[str] = []
    assert run(module) == 1
    (name,) = own()
    store = ObjectStore.shared("local", "covalent")
    store.delete(name)
    assert run(module) == 1
    store.delete(name)
    store.put(name, b"not the archive")
    assert run(module) == 1
    assert own() == [name]

    async def left() -> list[str]:
        services = shared_services("local", "covalent")
        found = await find_leftovers(services, "projects/local/locations/us-east1", -math.inf, time.time())
        await services.batch.close()
        return [stored.name for stored in found.objects]

    assert name in asyncio.run(left())

    with (tmp_path / "huge_of_mine" / "data.bin").open("wb") as file:
        file.truncate(60 * 2**20)
    with pytest.raises(SettingsError, match=r"huge_of_mine.*own_modules=False"):
        run("huge_of_mine")
    assert own() == [name]
    assert left_of(*dispatch_ids) == []
