"""Parts of a local run by themselves: output that is cut, verdicts, and the engine's command lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_runs import sweep_file

from covalent_parallel_plugin.programs.kept_output import KeptOutput, last_lines, seek_rest
from covalent_parallel_plugin.programs.verdict import ProgramEnd, judge_end
from covalent_parallel_plugin.sweep.local.container_backend import engine_error
from covalent_parallel_plugin.sweep.local.hand_command import engine_words, hand_command
from covalent_parallel_plugin.sweep.local.run import failures_allowed, parallel_tasks, usable_cpus
from covalent_parallel_plugin.sweep.sweep_file import StopAfter
from covalent_parallel_plugin.sweep.tasks import Launch


@given(st.lists(st.binary(max_size=60), max_size=12), st.integers(2, 90))
def test_output_up_to_the_limit_is_whole_and_above_it_has_both_ends(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], limit: int
) -> None:
    path = tmp_path_factory.mktemp("output") / "stdout.txt"
    with KeptOutput(path, limit) as output:
        for chunk in chunks:
            output.write(chunk)
    whole, kept = b"".join(chunks), path.read_bytes()
    if len(whole) <= limit:
        assert kept == whole
        return
    head, tail = whole[: limit // 2], whole[len(whole) - (limit - limit // 2) :]
    line = f"[{len(whole) - limit} bytes are left out here: log_limit is {limit} bytes]\n".encode()
    between = b"" if head.endswith(b"\n") else b"\n"
    assert kept == head + between + line + tail
    assert [entry.name for entry in path.parent.iterdir()] == ["stdout.txt"]


@given(st.lists(st.binary(max_size=60), max_size=12), st.integers(2, 90), st.data())
def test_output_is_read_while_it_grows_as_far_as_it_is_kept(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], limit: int, drawn: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("output") / "stdout.txt"
    whole = b""
    with KeptOutput(path, limit) as output:
        for chunk in chunks:
            output.write(chunk)
            whole += chunk
            assert output.first == (len(whole) - (limit - limit // 2) if len(whole) > limit else 0)
            start = drawn.draw(st.integers(output.first, len(whole)))
            end = drawn.draw(st.integers(start, len(whole)))
            assert output.read(start, end) == whole[start:end]
            if output.first:
                with pytest.raises(OSError, match="any more"):
                    output.read(output.first - 1, len(whole))
    with pytest.raises(OSError, match="any more"):
        output.read(0, 0)


@given(st.lists(st.binary(max_size=60), max_size=12), st.integers(2, 90), st.integers(0, 800))
def test_the_rest_of_output_that_was_kept_is_what_was_not_seen_yet(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], limit: int, seen: int
) -> None:
    path = tmp_path_factory.mktemp("output") / "stdout.txt"
    with KeptOutput(path, limit) as output:
        for chunk in chunks:
            output.write(chunk)
    whole = b"".join(chunks)
    with path.open("rb") as file:
        rest = seek_rest(file, limit, seen) + file.read()
    missing = max(len(whole) - limit, 0)
    first_of_tail = limit // 2 + missing
    if not missing or seen >= first_of_tail:
        assert rest == whole[seen:]
    elif seen <= limit // 2:
        assert rest == path.read_bytes()[seen:]
    else:
        line = f"[{first_of_tail - seen} bytes are left out here: log_limit is {limit} bytes]\n".encode()
        assert rest == line + whole[first_of_tail:]


def test_last_lines_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\n" * 9000 + b"b\n\xff\n\n  \nc")
    assert last_lines(tmp_path / "file", 3) == ["b", "\ufffd", "c"]
    assert last_lines(tmp_path / "none", 3) == []


@pytest.mark.parametrize(
    ("end", "stopped", "verdict"),
    [
        (ProgramEnd(0), None, ("done", 0, None)),
        (ProgramEnd(0, is_out_of_memory=True), None, ("done", 0, None)),
        (ProgramEnd(1, is_out_of_memory=True), None, ("failed", 1, None)),
        (ProgramEnd(137, is_out_of_memory=True), None, ("killed", 137, 9)),
        (ProgramEnd(139), None, ("killed", 139, 11)),
        (ProgramEnd(128), None, ("failed", 128, None)),
        (ProgramEnd(255), None, ("failed", 255, None)),
        (ProgramEnd(137, lost="gone"), None, ("lost", None, None)),
        (ProgramEnd(125, refused="no"), None, ("refused", None, None)),
        (ProgramEnd(0), "timeout", ("timeout", 0, None)),
        (ProgramEnd(143), "idle", ("idle", 143, 15)),
        (ProgramEnd(125, refused="no"), "cancelled", ("cancelled", None, None)),
    ],
)
def test_verdicts(end: ProgramEnd, stopped: Any, verdict: tuple[str, int | None, int | None]) -> None:
    judged = judge_end(end, stopped, "why")
    assert (judged.status, judged.exit, judged.signal) == verdict
    assert (judged.reason == "") == (judged.status == "done")


def test_as_many_run_as_have_cpus_unless_the_file_says_how_many() -> None:
    cpus = usable_cpus()
    assert parallel_tasks(sweep_file(max_parallel=None, options={"vcpus": 0.5})) == 2 * cpus
    assert parallel_tasks(sweep_file(max_parallel=None, options={"vcpus": 1000})) == 1
    assert parallel_tasks(sweep_file(max_parallel=7, options={"vcpus": 1000})) == 7
    assert parallel_tasks(sweep_file(max_parallel=7, tasks_per_machine=2)) == 2


def test_failures_are_a_number_or_a_share_rounded_up() -> None:
    assert failures_allowed(None, 10) is None
    assert failures_allowed(StopAfter(failures=4), 10) == 4
    assert failures_allowed(StopAfter(share=0.1), 18) == 2
    assert failures_allowed(StopAfter(share=0.1), 30) == 3
    assert failures_allowed(StopAfter(share=0.01), 3) == 1


GPU = {"gpu_type": "nvidia-tesla-t4", "gpu_count": 2}


def test_gpus_and_the_working_folder_are_asked_for_as_each_engine_has_them() -> None:
    assert engine_words("docker", sweep_file(), 0, 0) == engine_words("podman", sweep_file(), 1, 1) == []
    assert engine_words("docker", sweep_file(workdir="/w", options=GPU), 0, 0) == ["--workdir=/w", "--gpus=2"]
    assert engine_words("podman", sweep_file(options=GPU), 0, 0) == [
        "--device=nvidia.com/gpu=0",
        "--device=nvidia.com/gpu=1",
    ]
    built_in = sweep_file(options={"machine_type": "a2-highgpu-1g"})
    assert engine_words("docker", built_in, 0, 0) == ["--gpus=all"]
    assert engine_words("podman", built_in, 0, 0) == ["--device=nvidia.com/gpu=all"]


def test_docker_writes_as_a_caller_who_is_not_root() -> None:
    assert engine_words("docker", sweep_file(), 1000, 100) == ["--user=1000:100"]


def test_the_command_by_hand_has_all_that_the_sweeps_own_has() -> None:
    file = sweep_file(
        outputs="/mnt/data",
        secrets={"TOKEN": "its-name"},
        options={"vcpus": 0.5, "memory": 64, "container_options": "--shm-size 1g"},
    )
    launch = Launch(("-g", "a b"), ("python3", "main.py"), {"MODE": "x y"}, {})
    words = hand_command("podman", file, "sha256:abc", launch, Path("/out/t/files"), {"base": Path("/in")})
    assert words == [
        "podman", "run", "--rm", "--memory=64m", "--memory-swap=64m", "--cpus=0.5", "--network=host",
        "--shm-size", "1g", "--env=MODE=x y", "--env=TOKEN", "--volume=/out/t/files:/mnt/data",
        "--volume=/in:/mnt/sweep/inputs/base:ro", "--entrypoint=python3", "sha256:abc", "main.py", "-g", "a b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "lines", "words"),
    [
        ("podman", ["exec failed", "Error: no such file"], "no such file"),
        ("podman", ["Error: image not known", "more"], "image not known"),
        ("podman", ["error: of a program", "docker: no"], ""),
        ("docker", ["docker: Error response from daemon: no", "", "Run 'docker run --help'"],
         "Error response from daemon: no"),
        ("docker", ["Error: of a program"], ""),
        ("docker", ["the container could not be started: [Errno 7] too long"], "[Errno 7] too long"),
        ("podman", [], ""),
    ],
)  # fmt: skip
def test_the_engines_own_words(engine: str, lines: list[str], words: str) -> None:
    assert engine_error(engine, lines) == words
