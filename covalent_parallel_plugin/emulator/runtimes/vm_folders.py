"""Show a script folders at the paths that they have on its VM: run as a program, in a mount namespace of its own.

Its arguments are a request as `script_process.VmView` writes it, and the program with its arguments, which takes
its place. Nothing outside of the namespace changes (mount_namespaces(7)); whoever is not root gets one with a user
namespace, in which it is root, as scripts are on Batch.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
from pathlib import Path

# <sched.h>, <sys/mount.h>
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_KEPT_OPTIONS = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME
_CANNOT_START, _NOT_EXECUTABLE = 125, 126


def main(request: str, program: list[str]) -> None:
    """Lay the folders out and become the program."""
    layout = json.loads(request)
    try:
        _lay_out(Path(layout["disk"]), layout["folders"], layout["paths"], layout["own"])
    except OSError as error:
        place = error.filename or ", ".join([*(path for _, path, _ in layout["folders"]), *layout["paths"]])
        _fail(
            _CANNOT_START,
            f"{place} cannot be mounted for this script: {error.strerror}. Give the task a container image, or let the "
            "emulator run as root.",
        )
    try:
        os.execv(program[0], program)
    except OSError as error:
        _fail(_NOT_EXECUTABLE, f'exec: "{program[0]}": {error.strerror}')


def _lay_out(disk: Path, folders: list[tuple[str, str, bool]], paths: list[str], own: list[str]) -> None:
    working = Path.cwd()
    _enter_namespace()
    disk.mkdir(parents=True, exist_ok=True)
    # held open: they may be hidden by what is mounted over them
    sources = {path: os.open(source, os.O_PATH) for source, path, _ in folders}
    descriptors = {path: os.open(path, os.O_PATH) for path in own}
    own_place = Path(f"/proc/self/fd/{os.open(disk, os.O_PATH)}")
    for path in sorted([*sources, *paths], key=lambda path: path.count("/")):
        if path not in sources:
            _show_disk(own_place, Path(path))
            continue
        if not Path(path).is_dir():
            _lay_over_parent(own_place, Path(path))
            Path(path).mkdir(parents=True, exist_ok=True)
        _bind(f"/proc/self/fd/{sources[path]}", path)
    for path in (path for _, path, is_read_only in folders if is_read_only):
        # whoever is not root may not take away the other options of the mount below
        _mount(None, path, _BIND | _REMOUNT | _READ_ONLY | os.statvfs(path).f_flag & _KEPT_OPTIONS)
    hiding = tuple(path.rstrip("/") + "/" for path in [*sources, *paths])
    for path, source in descriptors.items():
        if path.startswith(hiding):
            Path(path).mkdir(parents=True, exist_ok=True)
            _bind(f"/proc/self/fd/{source}", path)
    os.chdir(working)


def _enter_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _check(_libc().unshare(_NEW_MOUNTS))
    else:
        _check(_libc().unshare(_NEW_USER | _NEW_MOUNTS))
        for name, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path("/proc/self", name).write_text(line)
    _mount(None, "/", _RECURSIVE | _PRIVATE)


def _show_disk(disk: Path, path: Path) -> None:
    """Make a path the VM's own: a folder, or what a script creates there."""
    if path.is_dir():
        place = disk / path.relative_to("/")
        place.mkdir(parents=True, exist_ok=True)
        _bind(str(place), str(path))
    elif not path.exists():
        _lay_over_parent(disk, path)


def _lay_over_parent(disk: Path, path: Path) -> None:
    _lay_over(disk, next(above for above in path.parents if above.is_dir()))


def _lay_over(disk: Path, folder: Path) -> None:
    """Put the VM's folder in place of this machine's, with all that is in this machine's."""
    over = disk / folder.relative_to("/")
    over.mkdir(parents=True, exist_ok=True)
    for found in list(folder.iterdir()):
        place = over / found.name
        with contextlib.suppress(OSError):  # it has gone, or nobody may look at it
            if found.is_symlink():
                place.symlink_to(found.readlink())
                continue
            if found.is_dir():
                place.mkdir(exist_ok=True)
            else:
                place.touch()
            _bind(str(found), str(place))
    if folder == Path("/"):
        os.chroot(over)
    else:
        _bind(str(over), str(folder))


def _bind(source: str, path: str) -> None:
    _mount(source, path, _BIND | _RECURSIVE)


def _mount(source: str | None, path: str, flags: int) -> None:
    _check(_libc().mount(None if source is None else os.fsencode(source), os.fsencode(path), None, flags, None), path)


def _check(status: int, path: str | None = None) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)
    return libc


def _fail(exit_code: int, message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    os._exit(exit_code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
