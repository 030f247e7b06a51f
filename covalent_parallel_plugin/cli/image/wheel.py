"""A wheel of the package that is running, from a checkout as well as from an installation; needs no build tools."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ... import __version__

HERE = Path(__file__).resolve().parents[2]
NAME = "covalent_parallel_plugin"
FILE_NAME = f"{NAME}-{__version__}-py3-none-any.whl"
# The same bytes for the same files, so that an engine's cache of layers holds
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
ENTRY_POINTS = f"[covalent.executor.executor_plugins]\ngcpbatch = {NAME}.gcpbatch\n"
# Without requirements: those of the dispatcher are not the container's.
METADATA = f"Metadata-Version: 2.1\nName: {NAME.replace('_', '-')}\nVersion: {__version__}\n"
WHEEL = f"Wheel-Version: 1.0\nGenerator: {NAME} {__version__}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path) -> Path:
    """Write the wheel into a folder and return its path.

    It is for the image only: its metadata names no requirements, and it brings no commands. Format:
    https://packaging.python.org/en/latest/specifications/binary-distribution-format/
    """
    path = folder / FILE_NAME
    info = f"{NAME}-{__version__}.dist-info"
    record = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, data: bytes) -> None:
            member = zipfile.ZipInfo(name, FIXED_TIME)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(data)}")

        for name, file in package_files():
            add(f"{NAME}/{name}", file.read_bytes())
        add(f"{info}/METADATA", METADATA.encode())
        add(f"{info}/WHEEL", WHEEL.encode())
        add(f"{info}/entry_points.txt", ENTRY_POINTS.encode())
        record.append(f"{info}/RECORD,,")
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD", FIXED_TIME), "\n".join(record) + "\n")
    return path


def package_files() -> Iterator[tuple[str, Path]]:
    """Every file of the package with its name in it, in a fixed order; compiled ones and hidden folders left out."""
    for file in sorted(HERE.rglob("*")):
        parts = file.relative_to(HERE).parts
        is_cache = any(part == "__pycache__" or part.startswith(".") for part in parts[:-1])
        if file.is_file() and not is_cache and file.suffix not in (".pyc", ".pyo"):
            yield "/".join(parts), file
