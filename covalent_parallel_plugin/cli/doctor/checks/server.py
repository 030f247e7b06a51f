"""Judge the Covalent server: whether it answers, and what it was started with."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....covalent_api.server_client import ServerClient
from ..results import Judged, error, ok, skipped, warning
from ..setup import SERVICES, Case
from .versions import FIRST_UNUSABLE_FASTAPI, OURS, numbers_of

ANSWER_SECONDS = 6.0
ASKED_DISTRIBUTIONS = ("covalent", OURS, "fastapi")
ASK_SECONDS = 15.0
LOOPBACK = ("localhost", "127.0.0.1", "0.0.0.0", "::1")


@dataclass(frozen=True)
class ServerProcess:
    """The process that serves, as far as this user may look: its Python, its environment, what is installed there."""

    python: str
    environment: Mapping[str, str] = field(repr=False)
    versions: Mapping[str, str | None]


def judge_answer(address: str, problem: str) -> Judged:
    """`problem` is why it did not answer as Covalent does; "" if it did."""
    if problem:
        return error(
            f"no Covalent server answers at {address}: {problem}",
            "covalent start; or name another address under [dispatcher] in Covalent's configuration file",
        )
    return ok(f"it answers at {address}")


def judge_settings(settings: Mapping[str, Any] | None, case: Case) -> Judged:
    """What the server tells of its configuration; `executor="gcpbatch"` by name runs with the server's."""
    if settings is None:
        return warning("the server does not tell its configuration", "see that server and client have one version")
    told = settings.get("client") or {}
    section = (told.get("executors") or {}).get("gcpbatch")
    path = str((told.get("sdk") or {}).get("config_file", ""))
    if section is None:
        return error(
            "the server's configuration has no section for this executor: the plugin is not installed where it runs",
            f"install {OURS} in the server's environment, then: covalent restart",
        )
    if path and not _is_same_file(path, str(case.file.path)):
        return warning(
            f"the server reads {path}, and this is about {case.file.path}: executor='gcpbatch' uses the server's",
            f"run this with COVALENT_CONFIG_DIR={Path(path).parent}, or start the server as you run this",
        )
    return ok(f"it reads {path or 'a file that it does not name'}, and has the section of this executor")


def judge_process(process: ServerProcess | None, case: Case, own_version: str) -> Judged:
    """What the server's process was started with; only a server of this machine and user can be looked at."""
    if process is None:
        return skipped("the server is no process of this machine that you may look at")
    problems, remedies = [], []
    plugin, fastapi = process.versions.get(OURS), process.versions.get("fastapi")
    if plugin is None:
        problems.append(f"{OURS} is not installed for its Python, {process.python}")
        remedies.append(f"{process.python} -m pip install {OURS}")
    elif plugin != own_version:
        problems.append(f"it has {OURS} {plugin}, and this is {own_version}")
        remedies.append(f"{process.python} -m pip install {OURS}=={own_version}")
    if fastapi is not None and numbers_of(fastapi)[:2] >= FIRST_UNUSABLE_FASTAPI:
        problems.append(f"it has FastAPI {fastapi}, which refuses every dispatch with 422")
        remedies.append(f"{process.python} -m pip install 'fastapi<0.132'")
    ours = {name: case.environment.get(name, "") for name in SERVICES}
    theirs = {name: process.environment.get(name, "") for name in SERVICES}
    if ours != theirs:
        different = ", ".join(
            f"{name} ({theirs[name] or 'not set'}, here {ours[name] or 'not set'})"
            for name in SERVICES
            if ours[name] != theirs[name]
        )
        problems.append(f"it was started with other addresses: {different}")
        remedies.append("restart it with the variables of this shell")
    if problems:
        return error("; ".join(problems), f"{', and '.join(remedies)}: covalent restart")
    return ok(f"Covalent {process.versions.get('covalent')} and {OURS} {plugin} on {process.python}")


def client_of(host: str, port: int) -> ServerClient:
    """Return a client of the server there; no proxy leads to this machine."""
    shown = f"[{host}]" if ":" in host else host
    return ServerClient(f"http://{shown}:{port}", uses_proxy=host not in LOOPBACK)


def process_at(host: str, port: int) -> ServerProcess | None:
    """The process that listens there; None if it is of another machine or user."""
    if host not in LOOPBACK:
        return None
    import psutil  # type: ignore[import-untyped]  # has no types

    try:
        listening = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        ]
        for pid in listening:
            if pid is not None:
                process = psutil.Process(pid)
                return _described(process.cmdline(), process.environ())
    except (psutil.Error, OSError):
        return None
    return None


def _described(command: list[str], environment: Mapping[str, str]) -> ServerProcess | None:
    """`command` is how the process was started: Covalent's begins with the path of its Python."""
    if not command or not Path(command[0]).is_absolute() or "python" not in Path(command[0]).name:
        return None
    code = (
        "import json, sys\nfrom importlib import metadata\nfound = {}\nfor name in sys.argv[1:]:\n"
        "    try:\n        found[name] = metadata.version(name)\n"
        "    except metadata.PackageNotFoundError:\n        found[name] = None\nprint(json.dumps(found))"
    )
    try:
        answer = subprocess.run(
            [command[0], "-c", code, *ASKED_DISTRIBUTIONS],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=True,
        )
        return ServerProcess(command[0], dict(environment), json.loads(answer.stdout))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _is_same_file(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()
