"""Copy a Python, with its modules and libraries, into a folder from which its loader starts it in any container."""

from __future__ import annotations

import json
import os
import py_compile
import re
import shutil
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator

# What the runner needs besides what importing its supervisor loads
LAZY = (
    "csv", "ctypes", "encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.utf_8_sig", "linecache",
    "mmap", "shutil", "ssl", "stringprep", "tokenize", "traceback", "unicodedata",
)  # fmt: skip
# Which files, asked of an interpreter that has read no setting and no file of its site's
_ASKING = """
import importlib, json, os, sys
archive, *names = sys.argv[1:]
sys.path.insert(0, archive)
for name in names:
    importlib.import_module(name)
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
print(json.dumps([os.path.dirname(os.__file__), [file for file in files if file and not file.startswith(archive)]]))
"""
_ASK_SECONDS = 120
_HEAD_BYTES = 8192
_LOADER = re.compile(rb"(/[\x21-\x7e]*/ld-[\x21-\x7e]+)\0")
_LIBRARY = re.compile(r"\s*(\S+) => (/.+) \(0x[0-9a-f]+\)")
_CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


class NoPythonError(Exception):
    """This Python cannot be copied; the text says why."""


def copy_python(folder: str, archive: str, package: str, module: str) -> None:
    """Make `folder` with `loader`, `bin/python3`, `lib`, `ca.pem` and `runner`, which is the archive's package.

    Args:
        folder: an empty one.
        archive: the runner's, a zip file.
        package: of the archive.
        module: in it, which must be importable from what is copied.

    Raises:
        NoPythonError: see there. OSError: the folder cannot be written to.
    """
    interpreter = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    library, modules = _module_files(interpreter, archive, (module, *LAZY))
    name = "python%d.%d" % sys.version_info[:2]
    place = os.path.join(folder, sys.platlibdir, name)
    os.makedirs(os.path.join(place, "lib-dynload"))
    extensions = []
    for file in modules:
        inside = os.path.relpath(file, library)
        if file.endswith(".py"):
            _copy_source(file, os.path.join(place, inside))
        else:
            extensions.append(file)
            shutil.copyfile(file, os.path.join(place, "lib-dynload", os.path.basename(file)))
    _copy_program(interpreter, os.path.join(folder, "bin", "python3"))
    loader = _loader_of(interpreter)
    _copy_program(loader, os.path.join(folder, "loader"))
    for soname, path in _libraries(loader, [interpreter, *extensions]):
        shutil.copyfile(path, os.path.join(folder, "lib", soname))
    _copy_certificates(os.path.join(folder, "ca.pem"))
    _extract(archive, package, os.path.join(folder, "runner"))


def _module_files(interpreter: str, archive: str, names: Iterable[str]) -> tuple[str, set[str]]:
    asked = subprocess.run(
        [interpreter, "-I", "-S", "-B", "-c", _ASKING, archive, *names],
        capture_output=True,
        check=False,
        timeout=_ASK_SECONDS,
    )
    if asked.returncode:
        raise NoPythonError("it cannot import what the runner needs:\n" + asked.stderr.decode(errors="replace"))
    library, files = json.loads(asked.stdout)
    # What finds the interpreter's own library
    return library, {os.path.join(library, "os.py"), *files}


def _copy_source(file: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(file, target)
    _compile(target)


def _compile(source: str) -> None:
    # Never checked against its source: nobody changes either
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(source, doraise=True, invalidation_mode=mode)


def _copy_program(file: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(file, target)
    os.chmod(target, 0o755)


def _loader_of(program: str) -> str:
    with open(program, "rb") as file:
        found = _LOADER.search(file.read(_HEAD_BYTES))
    if found is None:
        raise NoPythonError("%s names no dynamic loader" % program)
    return os.path.realpath(found[1].decode())


def _libraries(loader: str, files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the names by which files ask for libraries, each once, with the path that the loader finds."""
    known: set[str] = set()
    for file in files:
        listed = subprocess.run(
            [loader, "--list", file], capture_output=True, check=False, text=True, timeout=_ASK_SECONDS
        )
        if listed.returncode:
            raise NoPythonError("the libraries of %s cannot be listed: %s" % (file, listed.stderr.strip()))
        for line in listed.stdout.splitlines():
            if (match := _LIBRARY.fullmatch(line)) and match[1] not in known:
                known.add(match[1])
                yield os.path.basename(match[1]), match[2]


def _copy_certificates(target: str) -> None:
    paths = ssl.get_default_verify_paths()
    for path in (paths.cafile, paths.openssl_cafile, _CA_BUNDLE):
        if path and os.path.isfile(path):
            shutil.copyfile(path, target)
            return


def _extract(archive: str, package: str, folder: str) -> None:
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            if name.startswith(package + "/") and name.endswith(".py"):
                _compile(file.extract(name, folder))
