"""Build the arguments of `podman run` or `docker run`: pure functions."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping, Sequence

from .container import CANNOT_START, Bind, ContainerIdentity, ContainerSpec, ContainerVariables, StartFailed
from .engine import registry_of

# bufio.Scanner, with which both engines read files of variables, takes 64 KiB a line
_LINE_BYTES = 60_000
_CLIENTS_OWN = ("CONTAINER", "DOCKER", "XDG_", "STORAGE_", "BUILDAH_", "REGISTRY_", "LD_", "GODEBUG", "TMPDIR", "HOME")
_NETWORKS = ("--net", "--network")
# Between SIGTERM and SIGKILL: https://docs.docker.com/reference/cli/docker/container/stop/
STOP_SECONDS = 10.0


def run_arguments(
    engine: str,
    container: ContainerSpec,
    identity: ContainerIdentity,
    *,
    binds: Sequence[Bind],
    variables: ContainerVariables,
    variables_file: str,
    cpus: int,
    passes_streams: bool,
    credentials_file: str = "",
    monitor_file: str = "",
) -> list[str]:
    """Return the arguments of the program `podman` or `docker`.

    Limits come before the container's own options, which may replace them; what identifies a container comes after, so
    that no option takes it away. `cpus` is how many this machine has: docker refuses to limit to more. podman writes
    `monitor_file` once the container has been set up. Raises StartFailed.
    """
    options, limits = split_options(container.options), container.limits
    words = ["run", f"--memory={limits.memory_mib}m", f"--memory-swap={limits.memory_mib}m"]
    if 0 < limits.cpu_milli < cpus * 1000:
        words.append(f"--cpus={limits.cpu_milli / 1000:g}")
    words += network_words(options)
    if engine == "podman":
        # as docker has it: a read-only root has no folder to write to; and nothing of this machine's environment
        words += ["--read-only-tmpfs=false", "--http-proxy=false", "--pids-limit=-1", "--security-opt=label=disable"]
    words += [*options, *container.words]
    words += ["--rm", "--detach=false", "--sig-proxy=false", f"--pull={container.pull}"]
    words += [f"--name={identity.name}", f"--label={identity.label}={identity.owner}"]
    if engine == "podman":
        words.append("--quiet")
        if credentials_file:
            words.append(f"--authfile={credentials_file}")
        if monitor_file:
            words.append(f"--conmon-pidfile={monitor_file}")
    if passes_streams:
        words.append("--log-driver=passthrough")
    words.append(f"--env-file={variables_file}")
    words += [f"--env={name}" for name in variables.handed_on]
    words += [f"--volume={bind}" for bind in binds]
    if container.entrypoint:
        words.append(f"--entrypoint={container.entrypoint}")
    return [*words, container.image, *container.arguments]


def network_words(options: Sequence[str]) -> list[str]:
    """Return the option for this machine's network, as Batch has it, unless the container's own options name one."""
    return [] if any(word.split("=", 1)[0] in _NETWORKS for word in options) else ["--network=host"]


def stop_timeout_seconds(options: str) -> float | None:
    """Return the --stop-timeout among docker's options, of several the last one; None where there is none."""
    try:
        words = shlex.split(options)
    except ValueError:
        return None
    found = None
    for position, word in enumerate(words, start=1):
        name, _, value = word.partition("=")
        if name == "--stop-timeout":
            text = value or "".join(words[position : position + 1])
            found = float(text) if text.isdecimal() else found
    return found


def split_options(options: str) -> list[str]:
    """Split docker's options into words, as a shell would. Raises StartFailed."""
    try:
        return shlex.split(options)
    except ValueError as error:
        raise StartFailed(CANNOT_START, f"the container's options {options!r} cannot be split: {error}") from error


def sort_variables(environment: Mapping[str, str], outer: Mapping[str, str]) -> ContainerVariables:
    """Sort variables by how they are passed: a value in a command line could be read by anyone on this machine.

    A file's line holds neither a line's end nor 64 KiB; such a value goes through the client's own environment, which
    `outer` is. Raises StartFailed where the client would take that variable for its own.
    """
    lines, handed_on = [], {}
    for name, value in environment.items():
        if not any(end in value for end in "\r\n") and len(name) + len(value.encode()) < _LINE_BYTES:
            lines.append(f"{name}={value}")
        elif outer.get(name, value) != value or (name not in outer and name.startswith(_CLIENTS_OWN)):
            raise StartFailed(
                CANNOT_START,
                f"the variable {name} cannot be given to a container: its value has several lines, or more than "
                f"{_LINE_BYTES} bytes, and the engine's own client reads a variable of that name",
            )
        else:
            handed_on[name] = value
    return ContainerVariables(lines, handed_on)


def credentials_json(image: str, username: str, password: str) -> str:
    """Return the file in which both engines look up how to log in to a registry."""
    registry = registry_of(image)
    entry = {"auth": base64.b64encode(f"{username}:{password}".encode()).decode("ascii")}
    hosts = ("docker.io", "https://index.docker.io/v1/") if registry == "docker.io" else (registry,)
    return json.dumps({"auths": dict.fromkeys(hosts, entry)})
