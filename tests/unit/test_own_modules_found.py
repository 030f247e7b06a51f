"""Which own modules an electron needs, read from its pickles and from their sources; nothing of them is loaded."""

from __future__ import annotations

import base64
import json
import os
import pickle
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.electron.call import Call, with_sha256
from covalent_parallel_plugin.electron.modules import import_paths, module_files, pickled_names
from covalent_parallel_plugin.electron.modules.archive import make_archive
from covalent_parallel_plugin.electron.modules.import_paths import ImportFolder, ImportPaths, importable_names
from covalent_parallel_plugin.electron.modules.missing_packages import missing_packages
from covalent_parallel_plugin.electron.modules.module_files import find_files
from covalent_parallel_plugin.electron.modules.own_modules import archive_of, needed_modules
from covalent_parallel_plugin.electron.modules.pickled_names import read_names
from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.protocol.object_names import is_modules_name, parse_name
from covalent_parallel_plugin.settings import options

PYTHON = platform.python_version()
IMPORTS = {
    "import bars": {"bars"},
    "import bars.inner as b": {"bars"},
    "from bars.inner import x": {"bars"},
    "from bars import *": {"bars"},
    "from importlib import import_module; import_module('bars.inner')": {"bars", "importlib"},
    "__import__('bars')": {"bars"},
    "class C:\n        import bars": {"bars"},
    "[__import__('bars') for _ in (1, 2)]": {"bars"},
    "lambda: exec\n    def g():\n        import bars": {"bars"},
    "x = 'bars'; y = bars = x.bars": set(),
}


def written(folder: Path, files: Mapping[str, str]) -> ImportPaths:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(dedent(text))
    return ImportPaths((ImportFolder(str(folder), importable_names(str(folder))),))


def pickled(source: str, **names: Any) -> bytes:
    names = {"__name__": "__main__", **names}
    exec(source, names)  # noqa: S102 - a function of a script that has no file
    return cloudpickle.dumps(names["f"])


def found_names(paths: ImportPaths, *names: str) -> list[str]:
    found = find_files(names, paths)
    assert found.mistakes == ()
    return [file.name for file in found.files]


@pytest.mark.parametrize("statement", [statement for statement in IMPORTS if "*" not in statement])
def test_what_a_body_imports_is_read_from_its_code(statement: str) -> None:
    names = read_names(pickled(f"def f():\n    {statement}"), PYTHON)
    assert names.modules - {"cloudpickle", "builtins"} == IMPORTS[statement]


def test_functions_classes_modules_and_what_is_nested_are_read_by_name() -> None:
    import textwrap

    assert "textwrap" in read_names(cloudpickle.dumps(textwrap.dedent), PYTHON).modules
    assert "textwrap" in read_names(cloudpickle.dumps({"a": [(textwrap.TextWrapper(),)]}), PYTHON).modules
    assert "textwrap" in read_names(pickled("def f(): return t.dedent", t=textwrap), PYTHON).modules
    inner = cloudpickle.dumps(textwrap.dedent)
    for nested in (cloudpickle.dumps([inner]), cloudpickle.dumps({"_object": base64.b64encode(inner).decode()})):
        assert "textwrap" in read_names(nested, PYTHON).modules
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert "textwrap" in read_names(pickle.dumps([1, textwrap.dedent], protocol), PYTHON).modules


def test_the_folder_of_the_file_is_read_from_the_globals_that_code_knows() -> None:
    known = {"__file__": "/home/me/lab/script.py"}
    assert read_names(pickled("def f(): pass", **known), PYTHON).folders == ("/home/me/lab",)
    package = {"__file__": "/home/me/lab/pkg/sub/run.py", "__package__": "pkg.sub"}
    names = read_names(pickled("def f(): from . import x", **package), PYTHON)
    assert (names.folders, "pkg" in names.modules) == (("/home/me/lab",), True)


def test_the_folder_of_a_decorator_from_an_installed_package_has_no_own_modules(tmp_path: Path) -> None:
    installed = ("lib/site-packages", "target", "lib/python3.99")
    written(tmp_path / installed[0], {"retrying/core.py": "", "numeric/__init__.py": ""})
    written(tmp_path / installed[1], {"retrying/core.py": "", "numeric/__init__.py": "", "x.dist-info/METADATA": ""})
    written(tmp_path / installed[2], {"retrying/core.py": "", "numeric/__init__.py": "", "os.py": ""})
    written(tmp_path / "own", {"retrying/core.py": "", "numeric/__init__.py": ""})
    for folder in (*installed, "own"):
        known = {"__file__": str(tmp_path / folder / "retrying" / "core.py"), "__package__": "retrying"}
        pickles = {"function": pickled("def f():\n    import numeric", **known)}
        needed = needed_modules(Call("d", 1, "f", PYTHON, ""), pickles, ImportPaths())
        assert needed.own == ({"retrying", "numeric"} if folder == "own" else set()), folder
    pickles = {"function": pickled("def f():\n    import json", __file__=json.__file__)}
    assert needed_modules(Call("d", 1, "f", PYTHON, ""), pickles, ImportPaths()).own == set()


def test_nothing_is_run_and_nothing_breaks_whatever_the_bytes_are(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return os.mkdir, (str(mark),)

    data = pickle.dumps([Evil()])
    assert "posix" in read_names(data, PYTHON).modules
    assert not mark.exists()
    for end in range(len(data)):
        read_names(data[:end], PYTHON)
    # One that has Python's own unpickler take 64 GB for its memo
    read_names(b"\x80\x04Nr\xff\xff\xff\xff.", PYTHON)
    for odd in (b"", b"x", b"0.", b"((t.", b"\x80\x04\x93.", b"\x80\x04Nu.", b"\x80\x04jabcd.", b"\x80\x04)R."):
        read_names(odd, PYTHON)


def test_a_package_travels_whole_with_what_its_sources_import_and_hidden_files_stay(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        {
            "a.py": "import b.inner\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import types_only",
            "b/__init__.py": "",
            "b/inner.py": "def g():\n    from c import x\ntry:\n    import json, d\nexcept ImportError: pass",
            "b/data/deep/table.csv": "1",
            "b/.env": "SECRET",
            "b/.git/config": "",
            "b/__pycache__/inner.pyc": "",
            "b/old.pyc": "",
            "b/venv/pyvenv.cfg": "",
            "b/venv/lib/much.py": "",
            "c.py": "import importlib\nimportlib.import_module('e')",
            "d/part/module.py": "this is no Python",
            "d/part/notes.txt": "",
            "d/whole/__init__.py": "",
            "d/whole/notes.txt": "",
            "e.cpython-311-x86_64-linux-gnu.so": "",
            "types_only.py": "",
            "unused.py": "",
        },
    )
    (tmp_path / "b" / "loop").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "nothing").symlink_to(tmp_path / "not there")
    os.mkfifo(tmp_path / "b" / "pipe")
    assert found_names(paths, "a", "numpy", "json") == [
        "a.py",
        "b/__init__.py",
        "b/data/deep/table.csv",
        "b/inner.py",
        "c.py",
        "d/part/module.py",
        "d/whole/__init__.py",
        "d/whole/notes.txt",
        "e.cpython-311-x86_64-linux-gnu.so",
    ]


def test_the_first_folder_has_a_module_and_finders_of_editable_installs_the_rest(tmp_path: Path) -> None:
    first = written(tmp_path / "1", {"one.py": "import two", "ns/a.py": ""})
    second = written(tmp_path / "2", {"one.py": "", "two/__init__.py": "", "ns/b.py": ""})
    written(
        tmp_path / "3", {"src/pkg/__init__.py": "", "src/mod.py": "", "src/ns.pkg/__init__.py": "", "METADATA": "M"}
    )
    source = tmp_path / "3" / "src"
    paths = ImportPaths(
        first.folders + second.folders,
        (("pkg", str(source / "pkg")), ("mod", str(source / "mod")), ("ns.c", str(source / "ns.pkg"))),
        ((str(tmp_path / "3"), str(tmp_path / "3")),),
    )
    assert found_names(paths, "one") == ["one.py", "two/__init__.py"]
    assert found_names(paths, "pkg", "mod") == ["3/METADATA", "mod.py", "pkg/__init__.py"]
    assert found_names(paths, "ns") == ["3/METADATA", "ns/a.py", "ns/b.py", "ns/c/__init__.py"]
    assert ImportPaths.from_json(paths.to_json()) == paths
    for odd in (None, 1, [], {"folders": 1}, {"folders": [1, ["a"], [1, 2], ["a", 1]]}, {"mapped": {"a": 1}}):
        assert ImportPaths.from_json(odd) == ImportPaths()


def test_a_folder_without_modules_is_looked_through_again_once_one_is_in_it(tmp_path: Path) -> None:
    inner = tmp_path / "data" / "runs" / "first"
    inner.mkdir(parents=True)
    (inner / "table.csv").write_text("1,2")
    deadline = time.monotonic() + 60
    # What has changed a moment ago is looked through each time
    while str(tmp_path / "data") not in import_paths._without_modules:
        assert importable_names(str(tmp_path)) == frozenset() and time.monotonic() < deadline
        time.sleep(0.05)
    assert importable_names(str(tmp_path)) == frozenset()
    (inner / "helper.py").write_text("")
    assert importable_names(str(tmp_path)) == {"data"}


def test_what_is_too_large_or_gone_is_named_with_the_remedies(tmp_path: Path) -> None:
    paths = written(tmp_path, {"big/__init__.py": "", "gone.py": "", "small.py": ""})
    with (tmp_path / "big" / "data.bin").open("wb") as file:
        file.truncate(module_files.MOST_BYTES + 1)
    (tmp_path / "gone.py").unlink()
    call = Call("d", 1, "train", PYTHON, "")
    pickles = {"function": pickled("def f():\n    import big, gone, small")}
    needed = needed_modules(with_sha256(call, pickles), pickles, paths)
    assert needed.own == {"big", "gone", "small"}
    with pytest.raises(SettingsError) as refused:
        archive_of(call, needed, "")
    large, gone = refused.value.mistakes
    for text, words in ((large, ("big", "50 MB", "smaller package")), (gone, ("gone", "on the machine that"))):
        assert all(word in text for word in (*words, str(tmp_path), "own_modules=False", "requirements", "train"))


def test_the_same_files_make_the_same_archive_and_a_dispatch_keeps_those_that_it_began_with(tmp_path: Path) -> None:
    for folder in ("1", "2"):
        written(tmp_path / folder, {"bars.py": "x = 1"})
    call = Call("d", 1, "f", PYTHON, "")
    pickles = {"function": pickled("def f():\n    import bars")}
    first, second = (written(tmp_path / folder, {}) for folder in ("1", "2"))
    needed = needed_modules(call, pickles, first)
    one, two = archive_of(call, needed, "one"), archive_of(call, needed_modules(call, pickles, second), "two")
    assert one is not None and two is not None
    assert (one.sha256, one.data) == (two.sha256, two.data)
    # As long, and at the same time
    status = (tmp_path / "1" / "bars.py").stat()
    (tmp_path / "1" / "bars.py").write_text("x = 2")
    os.utime(tmp_path / "1" / "bars.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = archive_of(call, needed, "another")
    assert changed is not None and changed.sha256 != one.sha256
    assert archive_of(call, needed, "one") == one
    headers = [replace(call, modules=modules).header("") for modules in (None, one, changed)]
    assert [header.get("modules_sha256") for header in headers] == [None, one.sha256, changed.sha256]
    name = one.object_name(86400 * 365)
    assert is_modules_name(name) and name.startswith("covalent-parallel/_modules/1971-01-01/") and not parse_name(name)


def test_an_argument_is_read_only_where_the_name_of_an_own_module_is_in_it(tmp_path: Path) -> None:
    paths = written(tmp_path, {"bars.py": "", "data/x.py": ""})
    call = Call("d", 1, "f", PYTHON, "")
    function = pickled("def f(x): pass")
    for argument, own in (
        (cloudpickle.dumps(["bars", {"data": 1}]), set()),
        (b"\x80\x04\x8c\x04bars\x94\x8c\x01C\x94\x93.", {"bars"}),
        (pickled("def f():\n    import bars"), {"bars"}),
    ):
        assert needed_modules(call, {"function": function, "arg0": argument}, paths).own == own


def test_the_rest_of_a_long_argument_is_looked_through_for_classes_of_own_modules_alone(tmp_path: Path) -> None:
    paths = written(tmp_path, {"bars.py": "", "data/x.py": ""})
    call = Call("d", 1, "f", PYTHON, "")
    function = pickled("def f(x): pass")
    rows = [{"data": index} for index in range(pickled_names.MOST_OPCODES)]
    late = type("Bar", (), {"__module__": "bars"})
    sys.modules["bars"] = ModuleType("bars")
    sys.modules["bars"].Bar = late  # type: ignore[attr-defined]
    try:
        for protocol in (2, 4, 5):
            for argument, own in ((rows, set()), ([*rows, late], {"bars"})):
                pickles = {"function": function, "arg0": pickle.dumps(argument, protocol)}
                assert needed_modules(call, pickles, paths).own == own, protocol
    finally:
        del sys.modules["bars"]


def test_a_session_without_a_file_imports_from_its_working_folder_and_not_from_installed_packages(
    tmp_path: Path,
) -> None:
    written(tmp_path, {"bars.py": "", "json.py": "", "sys.py": "", "later/queue.py": "", "later/own.py": ""})
    (tmp_path / "packages" / "x.dist-info").mkdir(parents=True)
    code = """
        import sys; sys.path[:0] = [sys.path.pop(0)]; sys.path += ["later", "packages", "/usr/lib/site-packages"]
        from covalent_parallel_plugin.electron.modules.import_paths import own_import_paths
        for folder in own_import_paths().folders:
            print(folder.path, *sorted(folder.names))
    """
    (tmp_path / "json.py").unlink()
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-"],
        input=dedent(code),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in ended.stdout.splitlines() if not line.startswith(str(root))]
    # One that Python finds first in its own library is not own.
    assert lines == [f"{tmp_path} bars later", f"{tmp_path}/later own"], ended.stderr


def test_packages_that_nothing_brings_are_named_by_their_distributions() -> None:
    call = Call("d", 1, "f", PYTHON, "")
    pickles = {"function": pickled("def f():\n    import json, yaml, bars, not_here")}
    needed = replace(needed_modules(call, pickles, ImportPaths()), own=frozenset({"bars"}))

    def missing(call: Call = call, **values: object) -> tuple[str, ...]:
        settings = options.check(options.resolve({"project_id": "p12345", "bucket_name": "bucket", **values}, {}))
        return missing_packages(call, needed, settings)

    assert missing() == ("PyYAML", "not_here")
    assert missing(requirements=["pyyaml>=6"]) == ("not_here",)
    assert missing(requirements=["something-unknown"]) == ()
    assert missing(container_image_uri="my/image") == ()
    assert missing(replace(call, before=(("install", ""),))) == ()


def test_an_archive_keeps_what_may_be_executed(tmp_path: Path) -> None:
    paths = written(tmp_path, {"pkg/__init__.py": "", "pkg/tool.sh": ""})
    (tmp_path / "pkg" / "tool.sh").chmod(0o700)
    found = find_files(["pkg"], paths)
    assert [file.mode for file in found.files] == [0o644, 0o755]
    assert make_archive(found.files, found.modules).modules == ("pkg",)
