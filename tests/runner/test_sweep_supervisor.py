"""A sweep's supervisor and what prepares its machine, as processes: retries, SIGTERM, seals, the key, results."""

from __future__ import annotations

import signal
import stat
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from ended_process import TASK_SECONDS, ended
from sweep_machine import MakeMachine, made_machine, shell, wait_for
from sweep_rounds import BUCKET

from covalent_parallel_plugin.containers.container import StartFailed
from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.protocol import exit_codes, sweep_objects
from covalent_parallel_plugin.runner.bucket_http import BucketClient
from covalent_parallel_plugin.runner.sweep.drain_watch import LOOK_SECONDS, DrainWatch
from covalent_parallel_plugin.runner.sweep.image_user import ImageUser, find_user
from covalent_parallel_plugin.runner.sweep.machine import JobEnvironment
from covalent_parallel_plugin.runner.sweep.outputs_link import link_outputs


@pytest.fixture
def make_machine(emulator: Emulator, tmp_path: Path) -> MakeMachine:
    return partial(made_machine, emulator, tmp_path)


def test_what_is_to_be_retried_leaves_its_attempts_and_the_last_one_is_the_outcome(make_machine: MakeMachine) -> None:
    machine = make_machine(
        shell("echo $SWEEP_ATTEMPT; cd ../0-0/files && echo $SWEEP_ATTEMPT > made; exit 9"),
        retry_on=[9],
        last_attempt=1,
    )
    first = machine.run(cwd=str(machine.folder()))
    assert first.status == exit_codes.EXIT_RETRY_EXCEPTION and not machine.staged.has_outcome(0), first.stderr
    last = machine.run(BATCH_TASK_RETRY_ATTEMPT="1")
    assert last.status == exit_codes.EXIT_DELIVERED, last.stderr
    (attempt,) = machine.staged.attempts()
    outcome = machine.staged.outcome()
    assert [(end.status, end.fields["exit"], end.fields["attempt"]) for end in (attempt, outcome)] == [
        ("failed", 9, 0),
        ("failed", 9, 1),
    ]
    assert (attempt.stdout, outcome.stdout) == (b"0\n", b"1\n")
    assert [left.name for left in machine.tasks.iterdir()] == ["0-0.lock"]


def test_what_was_delivered_is_not_run_again(make_machine: MakeMachine, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    machine = make_machine(
        shell(f"echo 0 >> {ran}"), shell(f"echo 1 >> {ran}; exit 9"), retry_on=[9], last_attempt=3, bundle=2
    )
    assert machine.run().status == exit_codes.EXIT_RETRY_EXCEPTION
    assert machine.run(BATCH_TASK_RETRY_ATTEMPT="1").status == exit_codes.EXIT_RETRY_EXCEPTION
    assert ran.read_text().split() == ["0", "1", "1"]
    # an attempt that a machine begins anew knows nothing of the first one, whose outcome stands
    token = machine.staged.outcome(0).fields["token"]
    again = machine.run()
    assert "has delivered its outcome before" in again.stderr
    assert machine.staged.outcome(0).fields["token"] == token


def test_sigterm_ends_the_program_and_delivers_what_there_is(make_machine: MakeMachine) -> None:
    code = "trap 'echo told; exit 0' TERM; echo begun; cd $F; echo half > half; while :; do sleep 0.1; done"
    machine = make_machine(shell(code), shell("echo never"), bundle=2)
    process = machine.start("supervisor", F=str(machine.folder()))
    wait_for(machine.folder() / "half")
    process.send_signal(signal.SIGTERM)
    gone = ended(process)
    assert gone.status == exit_codes.EXIT_TERMINATED, gone.stderr
    (attempt,) = machine.staged.attempts()
    assert (attempt.status, attempt.stdout, attempt.files) == ("lost", b"begun\ntold\n", {"half": b"half\n"})
    assert not any(machine.staged.has_outcome(index) for index in range(2))


def test_a_task_without_files_costs_two_requests(make_machine: MakeMachine, emulator: Emulator) -> None:
    machine = make_machine(shell("true"))
    before = sum(emulator.request_counts.values())
    assert machine.run().status == exit_codes.EXIT_DELIVERED
    # Its shard and its outcome: whether the round is drained costs none
    assert sum(emulator.request_counts.values()) - before == 2


def test_of_a_drained_round_nothing_more_is_begun(make_machine: MakeMachine, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    machine = make_machine(
        shell(f"echo 0 >> {ran}; while ! test -e {ran}.go; do sleep 0.05; done"), shell(f"echo 1 >> {ran}")
    )
    process = machine.start("supervisor")
    wait_for(ran)
    machine.staged.drain()
    Path(f"{ran}.go").touch()
    assert ended(process).status == exit_codes.EXIT_DELIVERED
    drained = machine.run(BATCH_TASK_INDEX="1")
    assert drained.status == exit_codes.EXIT_DELIVERED and "cancel --waiting" in drained.stderr
    assert [machine.staged.has_outcome(index) for index in range(2)] == [True, False]
    assert ran.read_text().split() == ["0"]


def test_between_tasks_of_a_bundle_the_bucket_is_asked_now_and_then(make_machine: MakeMachine) -> None:
    machine = make_machine(shell("true"))
    staged, bucket = machine.staged, BucketClient(BUCKET, machine.services["STORAGE_EMULATOR_HOST"])
    job = JobEnvironment(BUCKET, staged.identity, staged.round, 0, 0)
    now = [100.0]
    watch = DrainWatch(bucket, job, lambda: now[0])
    staged.drain()
    assert not watch.has_come()
    now[0] += LOOK_SECONDS
    assert watch.has_come()
    bucket.close()


def test_the_program_sees_no_key_and_none_of_the_jobs_variables(make_machine: MakeMachine) -> None:
    machine = make_machine(
        shell("env; cat /proc/$PPID/environ | tr '\\0' '\\n'"),
        image={"user": "", "environment": {"LD_PRELOAD": "/image.so"}},
    )
    ended = machine.run()
    assert ended.status == exit_codes.EXIT_DELIVERED, ended.stderr
    shown = machine.staged.outcome().stdout.decode()
    own, *_ = shown.partition("SWEEP_ATTEMPT=0")
    assert machine.staged.identity.key.hex() not in shown
    lines = {line.partition("=")[0] for line in own.splitlines()}
    assert not any(name.startswith("COVALENT_PARALLEL_") for name in lines) and "X" in lines
    assert "LD_PRELOAD=/image.so" in shown and "LD_AUDIT" not in lines


def test_a_result_comes_from_the_folder_or_from_the_bucket(make_machine: MakeMachine) -> None:
    machine = make_machine(
        shell('echo \'{"a": [1, NaN]}\' > "$F/r.json"'),
        shell("true"),
        shell("true"),
        bundle=3,
        result={"file": "r.json"},
    )
    own = machine.staged.identity.task(0, 1).own_prefix
    machine.staged.put(f"{own}r.json", b'{"b": 2}')
    ended = machine.run(F=str(machine.folder()))
    assert ended.status == exit_codes.EXIT_DELIVERED, ended.stderr
    rows = [machine.staged.outcome(index).row for index in range(3)]
    assert [row and row.result for row in rows] == [{"a": [1, "nan"]}, {"b": 2}, None]
    assert machine.staged.outcome(2).status == "no-result"


def test_the_combination_is_an_object_before_the_program_starts(make_machine: MakeMachine) -> None:
    machine = make_machine(shell("true", config="x: ü\n"), config="yaml")
    assert machine.run().status == exit_codes.EXIT_DELIVERED
    name = machine.staged.identity.task(0, 0).own_prefix + "config.yaml"
    assert machine.staged.bucket.blob(name).download_as_bytes() == "x: ü\n".encode()


def test_odd_names_and_odd_files(make_machine: MakeMachine) -> None:
    script = (
        "cd $F; printf a > \"$(printf 'a\\377')\"; printf b > 'two\nlines'; printf c > secret; chmod 0 secret;"
        "ln -s secret inside; ln -s /etc out; mkfifo pipe; mkdir d; printf d > d/x; ln -s d folder"
    )
    machine = make_machine(shell(script))
    ended = machine.run(F=str(machine.folder()))
    assert ended.status == exit_codes.EXIT_DELIVERED, ended.stderr
    outcome = machine.staged.outcome()
    assert outcome.files == {"a\udcff": b"a", "two\nlines": b"b", "secret": b"c", "inside": b"c", "d/x": b"d"}
    assert outcome.header["left"] == ["out", "pipe", "folder"]
    assert outcome.fields["left"] == 3
    modes = {entry["path"]: entry["mode"] for entry in outcome.header["files"]}
    assert stat.S_IMODE(modes["secret"]) == 0


def test_a_silent_program_is_idle(make_machine: MakeMachine) -> None:
    machine = make_machine(shell("echo once; sleep 600"), idle_limit=0.5)
    assert machine.run().status == exit_codes.EXIT_DELIVERED
    outcome = machine.staged.outcome()
    assert (outcome.status, outcome.stdout) == ("idle", b"once\n")


def test_forged_or_swapped_tasks_are_refused(make_machine: MakeMachine) -> None:
    machine = make_machine(shell("echo never"))
    folder = machine.staged.identity.folder
    shard = machine.staged.bucket.blob(sweep_objects.shard_name(folder, 0, 0)).download_as_bytes()
    machine.staged.put(sweep_objects.shard_name(folder, 1, 0), shard)
    replayed = machine.run(COVALENT_PARALLEL_ROUND="1")
    assert replayed.status == exit_codes.EXIT_BAD_DIGEST and "seal does not fit" in replayed.stderr
    machine.staged.put(sweep_objects.shard_name(folder, 0, 0), shard[:-3] + b"!!!")
    assert machine.run().status == exit_codes.EXIT_BAD_DIGEST
    assert not machine.staged.has_outcome(0)


def test_a_machine_is_prepared_once_and_its_python_runs_from_there(make_machine: MakeMachine) -> None:
    machine = make_machine(shell("cat $S/inputs/table/part; cat given"), is_ready=False)
    content = machine.staged.content(b"given", "given")
    part = machine.staged.content(b"part", "")
    entry = {"path": "part", "bucket": machine.staged.bucket.name, "object": part["object"], "generation": 0, "size": 4}
    machine.staged.setup.update(files=[content], inputs=[{"name": "table", "files": [entry]}])
    machine.staged.stage(shell('cat "$S/inputs/table/part"; cat "$F/given"'))
    processes = [machine.start("prepare") for _ in range(3)]
    for done in [ended(process) for process in processes]:
        assert done.status == exit_codes.EXIT_DELIVERED, done.stderr
    assert stat.S_IMODE(machine.tasks.stat().st_mode) == 0o1777
    ran = machine.run(S=str(machine.shared), F=str(machine.folder()))
    assert ran.status == exit_codes.EXIT_DELIVERED, ran.stderr
    assert machine.staged.outcome().stdout == b"partgiven"
    made = machine.shared / "machine"
    words = [made / "loader", "--library-path", made / "lib", "--argv0", made / "bin/python3", made / "bin/python3"]
    modules = "sys, ssl, json, ctypes, encodings.idna"
    code = f"import {modules}; print(sys.prefix, int(ssl.create_default_context().verify_mode))"
    shown = subprocess.run(
        [*map(str, words), "-I", "-S", "-B", "-c", code], env={}, capture_output=True, text=True, timeout=TASK_SECONDS
    )
    assert shown.stdout.split() == [str(made), "2"] and shown.stderr == ""


def test_content_that_is_not_what_its_name_says_is_refused(make_machine: MakeMachine) -> None:
    machine = make_machine(shell("true"), is_ready=False)
    content = machine.staged.content(b"given", "given")
    machine.staged.put(content["object"], b"other")
    machine.staged.setup["files"] = [content]
    machine.staged.stage(shell("true"))
    refused = machine.run("prepare")
    assert refused.status == exit_codes.EXIT_BAD_DIGEST and "not what it is named after" in refused.stderr
    assert not (machine.shared / "setup.json").exists()


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", ImageUser(0, 0, (0,), "/root")),
        ("worker", ImageUser(7, 70, (70, 80), "/w")),
        ("7", ImageUser(7, 70, (70, 80), "/w")),
        ("worker:more", ImageUser(7, 80, (80,), "/w")),
        ("12:34", ImageUser(12, 34, (34,), "/")),
        ("12", ImageUser(12, 0, (0,), "/")),
    ],
)
def test_users_are_those_of_the_image(text: str, user: ImageUser, tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\nodd\nworker:x:7:70::/w:/bin/sh\n")
    (tmp_path / "group").write_text("root:x:0:\nown:x:70:\nmore:x:80:worker,other\n")
    assert find_user(text, tmp_path) == user


def test_a_user_that_the_image_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="has no nobody-here: use a number"):
        find_user("nobody-here", tmp_path)


def test_a_fixed_path_is_linked_again_for_the_next_task(tmp_path: Path) -> None:
    place = tmp_path / "data"
    (place / "empty" / "deep").mkdir(parents=True)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        link_outputs(str(place), tmp_path / name)
        assert place.resolve() == tmp_path / name


def test_the_row_has_what_the_machine_measured(make_machine: MakeMachine) -> None:
    machine = make_machine(shell("x=$(head -c 30000000 /dev/zero | md5sum)"))
    (machine.shared / "machine.json").write_text('{"instance": "17", "zone": "us-east1-b"}')
    (machine.tasks / ".begun-0-0-0").write_text("100.5")
    before = time.time()
    machine.run()
    measured = machine.staged.outcome().fields["measured"]
    times = measured.pop("times")
    assert times.pop("began") == 100.5
    assert list(times) == ["fetched", "ran_from", "ran_to", "delivered"]
    assert before - 0.001 <= times["fetched"] <= times["ran_from"] <= times["ran_to"] <= times["delivered"]
    assert measured.pop("cpu_seconds") > 0
    assert measured.pop("peak_memory_bytes", 1) > 0
    assert measured == {"machine": {"instance": "17", "zone": "us-east1-b"}}
    assert [left.name for left in machine.tasks.iterdir()] == ["0-0.lock"]
