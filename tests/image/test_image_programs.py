"""Which engine is here and works."""

from __future__ import annotations

import pytest
from shelf import Shelf

from covalent_parallel_plugin.cli.image.external_programs import EngineError, working_engine


def test_docker_is_taken_before_podman(shelf: Shelf) -> None:
    shelf.put("docker", "echo 27.0")
    shelf.put("podman", "echo 4.3")
    assert working_engine(shelf.programs) == "docker"


@pytest.mark.parametrize("script", ["echo Cannot connect to the Docker daemon >&2; exit 1", "echo"])
def test_a_docker_without_its_daemon_is_passed_over(shelf: Shelf, script: str) -> None:
    shelf.put("docker", script)
    shelf.put("podman", "echo 4.3")
    assert working_engine(shelf.programs) == "podman"


def test_without_an_engine_each_ones_trouble_and_cloud_build_are_named(shelf: Shelf) -> None:
    shelf.put("docker", "echo Cannot connect to the Docker daemon >&2; exit 1")
    with pytest.raises(EngineError, match=r"Cannot connect.*podman is not installed.*--engine cloud-build"):
        working_engine(shelf.programs)


def test_an_engine_that_is_asked_for_is_not_replaced(shelf: Shelf) -> None:
    shelf.put("podman", "echo 4.3")
    with pytest.raises(EngineError, match="docker is not installed"):
        working_engine(shelf.programs, "docker")


def test_cloud_build_needs_gcloud(shelf: Shelf) -> None:
    with pytest.raises(EngineError, match="gcloud"):
        working_engine(shelf.programs, "cloud-build")
    shelf.put("gcloud", "exit 0")
    assert working_engine(shelf.programs, "cloud-build") == "cloud-build"


def test_what_a_program_writes_is_told_line_by_line_and_its_end_is_kept(shelf: Shelf) -> None:
    shelf.put("build", "echo one; echo two >&2; exit 3")
    told: list[str] = []
    ended = shelf.programs.show(("build",), 30, told.append)
    assert (ended.status, told, ended.said) == (3, ["one", "two"], "one\ntwo")


def test_a_program_that_does_not_end_is_stopped(shelf: Shelf) -> None:
    shelf.put("build", "exec sleep 60")
    shown = shelf.programs.show(("build",), 0.1, print)
    quiet = shelf.programs.run(("build",), 0.1)
    assert "stopped after 0.1 s" in shown.said
    assert "within 0.1 s" in quiet.said


def test_the_programs_that_a_stopped_one_started_end_with_it(shelf: Shelf) -> None:
    # otherwise the pipe that they hold would be read for as long as they live
    shelf.put("build", "sleep 60 & echo started; wait")
    assert shelf.programs.show(("build",), 1, print).said.startswith("started")


def test_a_program_that_is_not_there_is_an_ending_too(shelf: Shelf) -> None:
    assert shelf.programs.run(("nothing",), 1).status == 127
    assert shelf.programs.show(("nothing",), 1, print).status == 127
