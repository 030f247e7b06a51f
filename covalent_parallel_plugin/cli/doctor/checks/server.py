"""Check the Covalent server: whether it answers, and what it was started with."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ....covalent_api.config_file import server_address
from ....covalent_api.private_configuration import PRIVATE_SERVER, read_sent_variables
from ....covalent_api.server_client import LATEST_DISPATCH, ServerClient
from ....protocol.environment import SERVICES
from ...image.cloudpickle_versions import disagreement
from ...image.versions import Versions, versions_here
from ..check_runner import Facts, check
from ..results import CheckResult, error, ok, skipped, warning
from ..setup import Setup
from .versions import OURS, refuses_dispatches

REACHABLE = "server.reachable"
ANSWER_SECONDS = 6.0
ASKED_DISTRIBUTIONS = ("covalent", OURS, "fastapi", "cloudpickle")
ASK_SECONDS = 15.0
LOOPBACK = ("localhost", "127.0.0.1", "0.0.0.0", "::1")


@dataclass(frozen=True)
class ServerProcess:
    """The process that serves, as far as this user may look: its Python, its environment, what is installed there."""

    python: str
    environment: Mapping[str, str] = field(repr=False)
    versions: Mapping[str, str | None]


@check(
    REACHABLE,
    "a Covalent server answers where the configuration says it does",
    "`covalent start`",
    needs=("config.file",),
)
def reachable(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are the server's host and port."""
    host, port = server_address(setup.file, setup.environment)
    try:
        _client(host, port).get_json(LATEST_DISPATCH, ANSWER_SECONDS)
    except (OSError, ValueError) as problem:
        return error(
            f"no Covalent server answers at {host}:{port}: {getattr(problem, 'reason', problem)}",
            "covalent start; or name another address under [dispatcher] in Covalent's configuration file",
        )
    return ok(f"it answers at {host}:{port}", facts=(host, port))


@check(
    "server.plugin",
    "the server has this executor, and reads the same configuration file",
    "install this package where the server runs, restart it",
    facts_of=(REACHABLE,),
)
def server_plugin(setup: Setup, facts: Facts) -> CheckResult:
    """`executor="gcpbatch"` by name runs with the server's configuration."""
    try:
        settings = _client(*facts[REACHABLE]).get_json("/api/v1/settings", ANSWER_SECONDS)
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict):
        return warning("the server does not report its configuration", "see that server and client have one version")
    client = settings.get("client") or {}
    section = (client.get("executors") or {}).get("gcpbatch")
    path = str((client.get("sdk") or {}).get("config_file", ""))
    if section is None:
        return error(
            "the server's configuration has no section for this executor: the plugin is not installed where it runs",
            f"install {OURS} in the server's environment, then: covalent restart",
        )
    if path and Path(path).resolve() != setup.file.path.resolve():
        return warning(
            f"the server reads {path}, and this is about {setup.file.path}: executor='gcpbatch' uses the server's",
            f"run this with COVALENT_CONFIG_DIR={Path(path).parent}, or start the server as you run this",
        )
    return ok(f"it reads {path or 'a file that it does not name'}, and has the section of this executor")


@check(
    "server.process",
    "a server on this machine: its versions of Covalent, FastAPI and this package, whether its cloudpickle and this"
    " environment's load each other's pickles, and whether it was started with the same `*_EMULATOR_HOST` variables",
    "install what is missing with the server's Python, restart it from this shell",
    facts_of=(REACHABLE,),
)
def server_process(setup: Setup, facts: Facts) -> CheckResult:
    """Only a server of this machine and user can be looked at."""
    return evaluate_process(_process_at(*facts[REACHABLE]), setup.environment, versions_here())


def evaluate_process(process: ServerProcess | None, environment: Mapping[str, str], here: Versions) -> CheckResult:
    """Compare what the server's process was started with, and what is installed there, with this environment."""
    if process is None:
        return skipped("the server is not a process of this machine that you may inspect")
    problems, remedies = [], []
    plugin, fastapi = process.versions.get(OURS), process.versions.get("fastapi")
    if plugin is None:
        problems.append(f"{OURS} is not installed for its Python, {process.python}")
        remedies.append(f"{process.python} -m pip install {OURS}")
    elif plugin != here.plugin:
        problems.append(f"it has {OURS} {plugin}, and this is {here.plugin}")
        remedies.append(f"{process.python} -m pip install {OURS}=={here.plugin}")
    if fastapi is not None and refuses_dispatches(fastapi):
        problems.append(f"it has FastAPI {fastapi}, which refuses every dispatch with 422")
        remedies.append(f"{process.python} -m pip install 'fastapi<0.132'")
    cloudpickle = process.versions.get("cloudpickle")
    if cloudpickle and here.cloudpickle and (problem := disagreement(cloudpickle, here.cloudpickle)):
        problems.append(f"it has cloudpickle {cloudpickle}, and this environment {here.cloudpickle}: {problem}")
        remedies.append(f"{process.python} -m pip install cloudpickle=={here.cloudpickle}")
    different = [
        f"{name} ({theirs or 'not set'}, here {ours or 'not set'})"
        for name in SERVICES
        if (theirs := process.environment.get(name, "")) != (ours := environment.get(name, ""))
    ]
    if different:
        problems.append(f"it was started with other addresses: {', '.join(different)}")
        remedies.append("restart it with the variables of this shell")
    if problems:
        return error("; ".join(problems), f"{', and '.join(remedies)}: covalent restart")
    return ok(
        f"Covalent {process.versions.get('covalent')}, {OURS} {plugin} and cloudpickle {cloudpickle} (here"
        f" {here.cloudpickle}) on {process.python}"
    )


def _client(host: str, port: int) -> ServerClient:
    shown = f"[{host}]" if ":" in host else host
    return ServerClient(f"http://{shown}:{port}", uses_proxy=host not in LOOPBACK)


def _process_at(host: str, port: int) -> ServerProcess | None:
    """Return the process that listens there; None if it is of another machine or user."""
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
                return _describe(process.cmdline(), served_environment(process.cmdline(), process.environ()))
    except (psutil.Error, OSError):
        return None
    return None


def served_environment(command: list[str], environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that a server goes by: one of this package's own gets some after its start."""
    if PRIVATE_SERVER not in command:
        return environment
    try:
        return {**environment, **read_sent_variables(Path(environment["HOME"]))}
    except (KeyError, OSError, ValueError):
        return environment


def _describe(command: list[str], environment: Mapping[str, str]) -> ServerProcess | None:
    """Describe the process; `command` is how it was started: Covalent's begins with the path of its Python."""
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
