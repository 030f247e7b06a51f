"""What surrounds the electron: the runner's archive on the machine, the key, notices to stop, second attempts."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.protocol.envelope import PARTIAL, VALUE, read_header, read_part
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED, EXIT_TERMINATED
from covalent_parallel_plugin.protocol.identity import task_binding
from covalent_parallel_plugin.protocol.object_names import outcome_name, partial_name

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def value(task: Any) -> Any:
    return cloudpickle.loads(task.outcome().pickle)


def test_the_key_and_the_jobs_own_variables_are_not_in_the_electrons_environment(make_task: Any) -> None:
    def electron() -> list[str]:
        shown = subprocess.run(["env"], capture_output=True, check=True, text=True).stdout
        return [line for line in [*os.environ, *shown.splitlines()] if "COVALENT_PARALLEL" in line]

    task = make_task(electron)
    task.run()
    assert value(task) == []


def test_the_variables_asked_for_are_in_the_electrons_environment(make_task: Any) -> None:
    task = make_task(lambda: os.environ["COLOUR"], settings={"environment": {"COLOUR": "red"}})
    task.run()
    assert value(task) == "red"


def test_a_notice_to_stop_leaves_the_output_so_far_and_no_outcome(make_task: Any) -> None:
    def electron() -> None:
        print("halfway")
        time.sleep(60)

    task = make_task(electron)
    process = task.start(BATCH_TASK_RETRY_ATTEMPT="2")
    assert process.stdout.readline() == b"halfway\n"
    process.terminate()
    process.communicate(timeout=120)
    assert process.returncode == EXIT_TERMINATED
    assert task.outcome() is None
    partial = io.BytesIO(task.object(partial_name(task.identity.folder, 0, 2)))
    envelope = read_header(partial, task.identity.key, task_binding(PARTIAL, task.identity.call_id))
    assert (envelope.header["kind"], envelope.header["attempt"]) == ("partial", 2)
    assert read_part(partial, envelope, "stdout") == b"halfway\n"


def test_the_output_so_far_cannot_stand_in_for_an_outcome(make_task: Any) -> None:
    from covalent_parallel_plugin.errors import OutcomeError

    task = make_task(lambda: (print("halfway"), time.sleep(60)))
    process = task.start()
    process.stdout.readline()
    process.terminate()
    process.communicate(timeout=120)
    partial = task.object(partial_name(task.identity.folder, 0, 0))
    task.store.put(outcome_name(task.identity.folder), partial)
    with pytest.raises(OutcomeError):
        task.outcome()


def test_the_first_of_two_attempts_to_deliver_counts(make_task: Any) -> None:
    task = make_task(lambda: os.environ["BATCH_TASK_RETRY_ATTEMPT"])
    first = task.run(BATCH_TASK_RETRY_ATTEMPT="0")
    second = task.run(BATCH_TASK_RETRY_ATTEMPT="1")
    assert (first.status, second.status) == (EXIT_DELIVERED, EXIT_DELIVERED)
    assert "delivered its outcome before" in second.stderr
    assert (task.outcome().attempt, value(task)) == (0, "0")


def test_tasks_that_share_a_machine_fetch_the_runner_once(make_task: Any, emulator: Emulator) -> None:
    task = make_task(len, [])
    fetched = []
    for _ in range(2):
        before = sum(emulator.request_counts.values())
        task.run()
        fetched.append(sum(emulator.request_counts.values()) - before)
    assert fetched[0] - fetched[1] == 1


def test_containers_that_share_the_folder_may_all_have_the_same_process_number(tmp_path: Path) -> None:
    own_numbers = ["unshare", "--map-root-user", "--pid", "--fork"]
    if subprocess.run([*own_numbers, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs process numbers of its own")
    code = (
        "import os, sys; from covalent_parallel_plugin.runner.bootstrap import write\n"
        "assert os.getpid() == 1\n"
        "for _ in range(30): write(sys.argv[1], bytes(2**20))"
    )
    path = tmp_path / "runner.zip"
    words = [*own_numbers, sys.executable, "-c", code, str(path)]
    processes = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(6)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, errors
    assert path.read_bytes() == bytes(2**20) and list(tmp_path.iterdir()) == [path]


def test_a_runner_changed_on_the_machine_is_replaced(make_task: Any) -> None:
    task = make_task(len, [1, 2])
    path = task.runner_on_the_machine
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(b"poison")
    task.run()
    assert value(task) == 2
    assert hashlib.sha256(path.read_bytes()).hexdigest() == runner_archive.runner_archive().sha256


def test_a_folder_that_others_may_write_to_is_not_used(make_task: Any) -> None:
    task = make_task(len, [1, 2])
    path = task.runner_on_the_machine
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o777)
    assert task.run().status == EXIT_DELIVERED
    assert not path.exists()


def test_the_runner_on_the_machine_is_not_changed_by_its_use(make_task: Any) -> None:
    task = make_task(len, [])
    for _ in range(2):
        task.run()
    digest = hashlib.sha256(task.runner_on_the_machine.read_bytes()).hexdigest()
    assert digest == runner_archive.runner_archive().sha256


def test_a_task_of_an_array_delivers_under_its_own_index(make_task: Any) -> None:
    task = make_task(len, [])
    task.run(BATCH_TASK_INDEX="5")
    assert task.outcome() is None
    assert task.object(outcome_name(task.identity.folder, 5)) is not None


@pytest.mark.parametrize("size", [0, 1, 20_000_000])
def test_a_value_of_any_size_arrives(make_task: Any, size: int) -> None:
    task = make_task(lambda: b"x" * size)
    task.run()
    assert value(task) == b"x" * size


def test_a_large_argument_arrives(make_task: Any) -> None:
    task = make_task(len, b"x" * 20_000_000)
    task.run()
    assert value(task) == 20_000_000


@pytest.mark.parametrize("size", [5_000, 5_000_000])
def test_the_text_of_a_value_is_bounded(make_task: Any, size: int) -> None:
    task = make_task(lambda: "x" * size)
    task.run()
    assert len(task.outcome().shown) < 5_000


def test_the_text_of_a_sublattices_graph_is_whole(make_task: Any) -> None:
    task = make_task(lambda: "x" * 500_000, call={"whole_string": True})
    task.run()
    assert task.outcome().shown == "x" * 500_000


def test_timings_and_memory_are_reported(make_task: Any) -> None:
    task = make_task(len, [])
    task.run()
    outcome = task.outcome()
    assert {"fetch", "load", "run", "pack", "electron"} <= set(outcome.seconds)
    assert outcome.peak_memory_bytes > 2**20


def test_files_of_the_working_folder_do_not_stand_in_for_the_standard_library(make_task: Any) -> None:
    task = make_task(lambda: 1)
    task.machine.mkdir()
    for module in ("tempfile", "hashlib", "http", "selectors", "struct", "socket"):
        (task.machine / f"{module}.py").write_text("raise RuntimeError('not this one')")
    ended = task.run()
    assert ended.status == EXIT_DELIVERED, ended.stderr
    assert task.outcome().kind == VALUE


def test_an_electron_imports_from_its_working_folder(make_task: Any) -> None:
    def electron() -> int:
        import module_of_the_working_folder

        return int(module_of_the_working_folder.ANSWER)

    task = make_task(electron)
    task.machine.mkdir()
    (task.machine / "module_of_the_working_folder.py").write_text("ANSWER = 42")
    task.run()
    assert cloudpickle.loads(task.outcome().pickle) == 42
