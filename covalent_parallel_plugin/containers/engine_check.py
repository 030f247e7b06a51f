"""Check that an engine can start containers here, by starting one whose image is a program of a few bytes."""

from __future__ import annotations

import io
import platform
import secrets
import struct
import tarfile
import tempfile
from pathlib import Path

from .cleanup import NAME_PREFIX
from .container import ContainerIdentity, ContainerSpec, ContainerVariables, ResourceLimits
from .engine import ContainerEngine
from .ownership import new_owner
from .run_command import run_arguments

PROBE_SECONDS = 20.0
_LOAD_ADDRESS = 0x400000
_HEADERS_BYTES = 64 + 56
# ELF's e_machine, and the machine code of exit(0) on Linux
_PROGRAMS = {
    "x86_64": (62, bytes.fromhex("31ff b83c000000 0f05")),
    "aarch64": (183, struct.pack("<3I", 0xD2800000, 0xD2800BA8, 0xD4000001)),
}


def why_not(name: str) -> str:
    """Return why the engine cannot run containers here, "" if it can; takes a second or less."""
    try:
        engine = ContainerEngine(name)
    except ValueError as error:
        return str(error)
    if platform.machine() not in _PROGRAMS:
        ended = engine.call("info", seconds=PROBE_SECONDS)
        return _reason(ended.stderr) if ended.returncode else ""
    owner = new_owner()
    image = f"localhost/covalent-parallel-probe:{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="cpe-probe-") as folder:
        archive = Path(folder, "image.tar")
        archive.write_bytes(_image_archive(*_PROGRAMS[platform.machine()]))
        made = engine.call("import", str(archive), image, seconds=PROBE_SECONDS)
        if made.returncode:
            return _reason(made.stderr)
        try:
            variables_file = Path(folder, "variables")
            variables_file.write_text("")
            words = run_arguments(
                engine.name,
                ContainerSpec(image, "/exit", limits=ResourceLimits(cpu_milli=100, memory_mib=64)),
                ContainerIdentity(f"{NAME_PREFIX}-{owner}-probe", owner),
                binds=(),
                variables=ContainerVariables((), {}),
                variables_file=str(variables_file),
                cpus=1,
                passes_streams=engine.passes_streams,
            )
            ended = engine.call(*words, seconds=PROBE_SECONDS)
            return _reason(ended.stderr) if ended.returncode else ""
        finally:
            engine.call("rmi", "--force", image, seconds=PROBE_SECONDS)


def _reason(errors: str) -> str:
    lines = [line for line in errors.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "it failed without a message"


def _image_archive(machine: int, code: bytes) -> bytes:
    size = _HEADERS_BYTES + len(code)
    entry = _LOAD_ADDRESS + _HEADERS_BYTES
    identification = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = identification + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    program = header + segment + code
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        member = tarfile.TarInfo("exit")
        member.size, member.mode = len(program), 0o755
        archive.addfile(member, io.BytesIO(program))
    return written.getvalue()
