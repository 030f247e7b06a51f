"""Which runtime is chosen, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from covalent_parallel_plugin.emulator import ProcessRuntime
from covalent_parallel_plugin.emulator.runtimes.choose import (
    RuntimeChoice,
    RuntimeRequest,
    choose_runtime,
    create_runtime,
)

NFS = {"server:/data": Path("/")}


def probe(**reasons: str) -> Callable[[str], str]:
    return lambda name: reasons.get(name, "")


@pytest.mark.parametrize(
    ("reasons", "platform", "chosen"),
    [
        ({}, "linux", "podman"),
        ({"podman": "no"}, "linux", "docker"),
        ({"podman": "no", "docker": "no"}, "linux", "process"),
        ({}, "darwin", "process"),
    ],
)
def test_auto_is_the_first_that_works_and_processes_where_containers_are_in_a_virtual_machine(
    reasons: Mapping[str, str], platform: str, chosen: str
) -> None:
    assert choose_runtime(RuntimeRequest(), probe(**reasons), platform).name == chosen


def test_auto_with_what_stands_for_images_is_processes() -> None:
    wish = RuntimeRequest(images={"python:3": ("python3",)})
    assert choose_runtime(wish, probe(), "linux") == RuntimeChoice("process")


def test_an_engine_that_was_asked_for_and_does_not_work_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="--runtime docker does not work here: no daemon"):
        choose_runtime(RuntimeRequest("docker"), probe(docker="no daemon"))


def test_auto_says_why_containers_were_not_taken_and_the_remedies() -> None:
    reasons = {
        "podman": "cannot set up namespace using newuidmap: executable file not found in $PATH",
        "docker": "docker is not installed, or not on the PATH",
    }
    found = choose_runtime(RuntimeRequest(), probe(**reasons), "linux").why_no_containers
    assert [text.split(":")[0] for text in found] == ["podman", "docker"]
    assert reasons["podman"] in found[0] and "install the package uidmap" in found[0]
    assert "install it (https://docs.docker.com/engine/install/)" in found[1]
    (elsewhere,) = choose_runtime(RuntimeRequest(), probe(), "darwin").why_no_containers
    assert "darwin run in a virtual machine" in elsewhere


@pytest.mark.parametrize(
    ("engine", "reason", "remedy"),
    [
        ("podman", "runc create failed: error setting rlimit type 7: operation not permitted", "default_ulimits = "),
        ("podman", 'default OCI runtime "crun" not found: invalid argument', "install crun or runc"),
        ("podman", "crun: cannot set limits: the requested cgroup controller `memory` is not available", "cgroup2"),
        ("podman", "crun: sd-bus call: Interactive authentication required", 'cgroup_manager = "cgroupfs"'),
        ("podman", 'no subuid ranges found for user "me" in /etc/subuid', "--add-subuids"),
        ("podman", "could not find a working conmon binary", "install the package conmon"),
        ("podman", "open /etc/containers/policy.json: no such file or directory", "containers-common"),
        ("podman", "'overlay' is not supported over overlayfs, a mount_program is required", "fuse-overlayfs"),
        ("podman", "crun: mount `proc` to `proc`: Operation not permitted", "a container itself"),
        ("docker", "permission denied while trying to connect to the Docker daemon socket", "--groups docker"),
        ("docker", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "systemctl start docker"),
        ("docker", "it failed without a message", "docker run --rm"),
    ],
)
def test_an_engine_that_does_not_work_comes_with_its_remedy(engine: str, reason: str, remedy: str) -> None:
    with pytest.raises(ValueError, match="does not work here: ") as refused:
        choose_runtime(RuntimeRequest(engine), probe(**{engine: reason}))
    assert reason in str(refused.value) and remedy in str(refused.value)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (RuntimeRequest("podman", python=Path("/usr/bin/python3")), "leave them out, or give --runtime process"),
        (RuntimeRequest("docker", images={"a": ("b",)}), "leave them out, or give --runtime process"),
        (RuntimeRequest("process", nfs=NFS), "--nfs is for containers"),
        (RuntimeRequest("auto", python=Path("/usr/bin/python3"), nfs=NFS), "give one or the other"),
    ],
)
def test_wishes_that_contradict_each_other_are_refused(wish: RuntimeRequest, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        choose_runtime(wish, probe())


def test_exports_without_containers_are_refused_with_the_reasons() -> None:
    with pytest.raises(ValueError, match=r"--nfs needs containers.*podman: broken .*; docker: absent"):
        choose_runtime(RuntimeRequest(nfs=NFS), probe(podman="broken", docker="absent"), "linux")


def test_processes_are_made_as_wished() -> None:
    runtime = create_runtime(RuntimeRequest(), "process")
    runtime.close()
    assert isinstance(runtime, ProcessRuntime)
