"""Own modules of a script travel with its electrons: the tasks have none of them."""

from __future__ import annotations

import json
import subprocess
import sys
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
def run_script(covalent_server: PrivateCovalentServer) -> Callable[..., Any]:
    def run(script: Path, *words: str) -> Any:
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", script.name, *words],
            cwd=script.parent,
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
def archives(emulator: Emulator, object_names: Callable[[], list[str]]) -> Callable[[], dict[str, list[str]]]:
    """The archives of own modules in the bucket, each with the names of its files."""

    def read() -> dict[str, list[str]]:
        found = {}
        for name in object_names():
            if name.startswith("covalent-parallel/_modules/"):
                address = f"{emulator.environment['STORAGE_EMULATOR_HOST']}/storage/v1/b/covalent/o/{quote(name, '')}"
                with build_opener(ProxyHandler({})).open(f"{address}?alt=media", timeout=10) as answer:
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


def test_the_example_runs(run_script: Callable[..., Any]) -> None:
    assert run_script(EXAMPLE / "workflow.py") == "COMPLETED [7.2, 78.5]"
