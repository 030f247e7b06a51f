"""Packages for the electron: what pip installs before it runs, and a container that lets pip and the user write.

Whoever the container's user is and whatever of its file system is read-only, pip finds a place: the interpreter's own,
else the user's, and for that a home that can be written to.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import site
import sys
import tempfile
from typing import List, Mapping, Sequence

from ..protocol.environment import PACKAGES_FOLDER
from .outcome_report import PIP_FILE

# More of pip's output than this helps nobody
SHOWN_BYTES = 16 * 1024
# Where pip puts packages instead of where this interpreter looks for them
ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")


class InstallFailed(Exception):
    """pip failed, or there is none; the text has its output."""


def make_home(folder: str) -> None:
    """Have a HOME that can be written to, under `folder` where the image's cannot, and let pip install there."""
    try:
        # What access(2) says of root and of special file systems is not to be relied on.
        tempfile.TemporaryFile(dir=os.path.expanduser("~")).close()
    except OSError:
        os.environ["HOME"] = os.path.join(folder, "home")
        os.mkdir(os.environ["HOME"])
        # Computed when the interpreter started, from the old one
        site.USER_BASE = site.USER_SITE = None
    # Distributions of Linux keep pip from changing what they installed (PEP 668); a container has nobody to protect.
    os.environ.setdefault("PIP_BREAK_SYSTEM_PACKAGES", "1")
    os.environ.setdefault("PIP_ROOT_USER_ACTION", "ignore")
    _install_here()


def let_hooks_install(folder: str) -> None:
    """Have pip install under `folder` where it can write neither to the interpreter's packages nor to the user's."""
    import sysconfig

    if _installs_on_the_path() or os.access(sysconfig.get_path("purelib"), os.W_OK):
        return
    if site.ENABLE_USER_SITE and _is_writable(site.getuserbase()):
        return
    place = os.path.join(folder, "packages")
    os.mkdir(place)
    # pip takes no target for a user's install.
    os.environ.update(PIP_TARGET=place, PIP_USER="0")
    sys.path.insert(0, place)
    _prepend("PYTHONPATH", place)
    _prepend("PATH", os.path.join(place, "bin"))


def add_user_site() -> None:
    """Put the user's site-packages on the path, also before the first `pip install` of a hook makes the folder."""
    if site.ENABLE_USER_SITE:
        put_first(site.getusersitepackages())


def put_first(folder: str) -> None:
    """Have a folder's packages win over those of the interpreter's own folders."""
    if folder in sys.path:
        return
    import sysconfig

    own = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    places = [index for index, entry in enumerate(sys.path) if entry in own]
    sys.path.insert(min(places, default=len(sys.path)), folder)


def install(requirements: Sequence[str], folder: str, shared: str = "") -> None:
    """Have the requirements importable: found where another task of this machine put them, else installed.

    `shared` is that place, "" for the machine's; where it is not there or cannot be written to, they go into
    `folder`, the task's own.

    Raises:
        InstallFailed: with pip's output.
    """
    if not shared and _installs_on_the_path():
        # Whoever started this process says where packages go, and has that on the path.
        _pip(requirements, folder, [], {})
        return
    _install_here()
    shared = shared or PACKAGES_FOLDER
    is_shared = os.access(shared, os.W_OK | os.X_OK)
    place = os.path.join(shared if is_shared else folder, _name(requirements))
    if is_shared:
        with open(place + ".lock", "w") as lock:
            # The supervisor's clock bounds the wait.
            _lock(lock.fileno())
            _install_once(requirements, folder, place)
    else:
        _install_once(requirements, folder, place)
    for part in ("lib/python%d.%d/site-packages" % sys.version_info[:2], "target"):
        found = os.path.join(place, part)
        if os.path.isdir(found):
            put_first(found)
            _prepend("PYTHONPATH", found)
    _prepend("PATH", os.path.join(place, "bin"))


def _install_once(requirements: Sequence[str], folder: str, place: str) -> None:
    if os.path.isdir(place):
        return
    # Under another name until it is whole: a task that is killed here leaves nothing that looks complete.
    partial = tempfile.mkdtemp(prefix="partial-", dir=os.path.dirname(place))
    try:
        if site.ENABLE_USER_SITE:
            # As a user's install, pip counts what the image has already.
            _pip(requirements, folder, ["--user"], {"PYTHONUSERBASE": partial})
        else:
            _pip(requirements, folder, ["--target", os.path.join(partial, "target")], {"PIP_USER": "0"})
        os.chmod(partial, 0o755)
        os.rename(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _pip(requirements: Sequence[str], folder: str, options: List[str], variables: Mapping[str, str]) -> None:
    # Loaded here only: most electrons install nothing.
    import subprocess

    listed = os.path.join(folder, "requirements.txt")
    with open(listed, "w", encoding="utf-8") as file:
        file.write("\n".join(requirements) + "\n")
    command = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *options]
    # Into a file: the outcome reads it from there if pip is ended with this process.
    with open(os.path.join(folder, PIP_FILE), "w+b") as said:
        ended = subprocess.run(
            [*command, "-r", listed],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said.seek(max(0, said.seek(0, os.SEEK_END) - SHOWN_BYTES))
        output = said.read().decode("utf-8", "replace").strip()
    os.remove(os.path.join(folder, PIP_FILE))
    if ended.returncode:
        # Loaded here only: most installations succeed.
        from ..errors import without_passwords

        if "No module named pip" in output:
            output += "\nThe image has no pip: leave container_image_uri out, or use an image that has it."
        if "Cannot find command 'git'" in output:
            output += (
                "\nThe image has no git: name an archive, such as https://github.com/OWNER/NAME/archive/BRANCH.zip, or"
                " use an image that has it."
            )
        raise InstallFailed(
            "pip could not install the requirements (%s); it ended with status %d and said:\n%s"
            % (without_passwords(", ".join(requirements)), ended.returncode, without_passwords(output))
        )


def _installs_on_the_path() -> bool:
    target = os.environ.get("PIP_TARGET")
    return bool(target) and target in sys.path and "PIP_ROOT" not in os.environ


def _install_here() -> None:
    """Forget an image's own place for packages unless they are found there."""
    if not _installs_on_the_path():
        for name in ELSEWHERE:
            os.environ.pop(name, None)


def _is_writable(folder: str) -> bool:
    while not os.path.exists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def _name(requirements: Sequence[str]) -> str:
    text = "\n".join([sys.version, *requirements])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _lock(descriptor: int) -> None:
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX)


def _prepend(variable: str, folder: str) -> None:
    os.environ[variable] = os.pathsep.join(filter(None, [folder, os.environ.get(variable, "")]))
