"""Which runtime is chosen, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from covalent_parallel_plugin.emulator import ProcessRuntime
from covalent_parallel_plugin.emulator.runtimes.choose import RuntimeRequest, choose_runtime, create_runtime

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
    assert choose_runtime(RuntimeRequest(), probe(**reasons), platform) == chosen


def test_auto_with_what_stands_for_images_is_processes() -> None:
    assert choose_runtime(RuntimeRequest(images={"python:3": ("python3",)}), probe(), "linux") == "process"


def test_an_engine_that_was_asked_for_and_does_not_work_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="--runtime docker does not work here: no daemon"):
        choose_runtime(RuntimeRequest("docker"), probe(docker="no daemon"))


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
    with pytest.raises(ValueError, match=r"--nfs needs containers.*podman: broken; docker: absent"):
        choose_runtime(RuntimeRequest(nfs=NFS), probe(podman="broken", docker="absent"), "linux")


def test_processes_are_made_as_wished() -> None:
    runtime = create_runtime(RuntimeRequest(), "process")
    runtime.close()
    assert isinstance(runtime, ProcessRuntime)
