"""The runner as the job carries it: the bootstrap's source for the command line, and the archive in the bucket."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import marshal
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .. import __version__
from ..cloud.interfaces import Bucket
from ..cloud.threads import run_in_thread
from ..protocol.object_names import RUNNER_PREFIX
from ..protocol.sweep_machine import PREPARE_MODULE
from .shared_object import SharedObject, restage_shared, stage_shared

HERE = Path(__file__).resolve().parent.parent
# Another name than the installed package's: an image may have another version of that, which Covalent would load
ARCHIVED_PACKAGE = "covalent_parallel_runner"
# Bootstrap and lists of pickles are for the job's command and for the dispatcher
LEFT_OUT = ("runner/bootstrap.py", "protocol/pickle_list.py")
# Bytecode is not compressed, which would take time at every start; but for what few tasks load, and these late
LOADED_LATE = (
    "errors.py",
    "protocol/live_part.py",
    "runner/checkpoint.py",
    "runner/checkpoint_pack.py",
    "runner/live_output.py",
    "runner/machine_data.py",
    "runner/own_modules.py",
    "runner/pip_install.py",
)
# What sweeps need beside that
FOR_SWEEPS = (
    "containers/__init__.py",
    "containers/container.py",
    "containers/local_process.py",
    "programs/*.py",
    "protocol/sweep_*.py",
    "runner/sweep/*.py",
)
# The same bytes for the same version, wherever and whenever they are made
FIXED_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class RunnerArchive:
    """The archive's bytes, their SHA-256, and the object that holds them."""

    data: bytes
    sha256: str

    @property
    def object_name(self) -> str:
        return f"{RUNNER_PREFIX}/{__version__}-{self.sha256[:16]}.zip"


def runner_files(for_sweeps: bool = False) -> list[Path]:
    """Return the modules of this package that travel: the runner's, the protocol's and the errors; more for sweeps."""
    sweeps = sorted(path for pattern in FOR_SWEEPS for path in HERE.glob(pattern))
    found = [path for folder in ("protocol", "runner") for path in sorted((HERE / folder).glob("*.py"))]
    found = [path for path in found if str(path.relative_to(HERE)) not in LEFT_OUT and path not in sweeps]
    return [HERE / "errors.py", *found, *(sweeps if for_sweeps else ())]


@cache
def runner_archive(for_sweeps: bool = False) -> RunnerArchive:
    """The container's side and cloudpickle, as bytecode of this Python's minor version, and compressed as sources."""
    late = [f"{ARCHIVED_PACKAGE}/{name}" for name in LOADED_LATE]
    sources = {f"{ARCHIVED_PACKAGE}/__init__.py": b""}
    for path in runner_files(for_sweeps):
        sources[f"{ARCHIVED_PACKAGE}/{path.relative_to(HERE)}"] = path.read_bytes()
    cloudpickle = importlib.util.find_spec("cloudpickle")
    if cloudpickle is None or cloudpickle.origin is None:
        raise ModuleNotFoundError("cloudpickle is not installed: pip install cloudpickle", name="cloudpickle")
    for path in sorted(Path(cloudpickle.origin).parent.glob("*.py")):
        sources[f"cloudpickle/{path.name}"] = path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, source in sources.items():
            archive.writestr(zipfile.ZipInfo(name, FIXED_TIME), source, zipfile.ZIP_DEFLATED)
            kind = zipfile.ZIP_DEFLATED if name in late else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(f"{name}c", FIXED_TIME), _bytecode(source, name), kind)
    data = buffer.getvalue()
    return RunnerArchive(data, hashlib.sha256(data).hexdigest())


@cache
def bootstrap_source() -> str:
    """The bootstrap without docstrings and comments, for `python3 -c`."""
    tree = ast.parse((HERE / "runner" / "bootstrap.py").read_text(encoding="utf-8"))
    if ast.get_docstring(tree) is not None:
        del tree.body[0]
    return ast.unparse(tree)


def command(for_sweeps: bool = False) -> list[str]:
    """Return what follows `python3` in the command of an electron's task, or of what prepares a sweep's machine."""
    words = ["-c", bootstrap_source(), __version__, runner_archive(for_sweeps).sha256]
    return [*words, PREPARE_MODULE] if for_sweeps else words


def runner_object(for_sweeps: bool = False) -> SharedObject:
    """Return the archive of this version as an object; a later version has another name."""
    archive = runner_archive(for_sweeps)
    return SharedObject(archive.object_name, lambda: archive.data)


async def stage_runner(store: Bucket, for_sweeps: bool = False) -> None:
    """Have the archive of this version in the bucket. Raises CloudError."""
    await stage_shared(store, await run_in_thread(runner_object, for_sweeps))


async def restage_runner(store: Bucket, for_sweeps: bool = False) -> None:
    """Put the archive into the bucket again where a task found it deleted, or with other bytes. Raises CloudError."""
    await restage_shared(store, runner_object(for_sweeps))


def _bytecode(source: bytes, name: str) -> bytes:
    """A .pyc without docstrings, never checked against its source (PEP 552); other Pythons compile the source."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=2)
    # The only public way to this form, importlib's code_to_hash_pyc, has no public name; the layout is PEP 552's

    flags = (1).to_bytes(4, "little")
    # Version 2 of marshal's format: later ones write references wherever an object happens to be shared in this
    # process, and the archive would have other bytes, and another name, in every process.
    data = marshal.dumps(code, 2)
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + data
