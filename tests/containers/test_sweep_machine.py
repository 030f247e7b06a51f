"""Tasks of a sweep as Batch's machines run them: the supervisor in any image, its outcomes read back."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import do_without
from container_jobs import PARENT, ContainerJobs, container_jobs
from google.cloud import batch_v1
from sweep_rounds import SweepRound, bucket_at

from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.emulator import Emulator, Fault, Faults
from covalent_parallel_plugin.protocol import sweep_machine
from covalent_parallel_plugin.protocol.environment import ENV_PLACE

pytestmark = pytest.mark.containers


class MachineJobs:
    """Jobs of two runnables, as a sweep submits them."""

    def __init__(self, jobs: ContainerJobs, emulator: Emulator, helper: str) -> None:
        self.jobs, self.emulator, self._helper = jobs, emulator, helper

    def round(self, **setup: Any) -> SweepRound:
        return SweepRound(bucket_at(self.emulator.environment["STORAGE_EMULATOR_HOST"]), setup)

    def submit(
        self, staged: SweepRound, image: str, tasks: int = 1, *, options: str = "", at_once: int = 0, **spec: Any
    ) -> batch_v1.Job:
        """Submit a job of so many tasks, on one machine."""
        shared, own = (
            f"{name}:{folder}"
            for name, folder in (
                (sweep_machine.SHARED_VOLUME, sweep_machine.SHARED_FOLDER),
                (sweep_machine.TASKS_VOLUME, sweep_machine.TASKS_FOLDER),
            )
        )
        prepare = batch_v1.Runnable(
            container=batch_v1.Runnable.Container(
                image_uri=self._helper,
                entrypoint="python3",
                commands=runner_archive.command(for_sweeps=True),
                volumes=[shared, own],
            ),
            environment=batch_v1.Environment(
                variables=dict.fromkeys(("TMPDIR", ENV_PLACE), sweep_machine.SHARED_FOLDER)
            ),
        )
        program = batch_v1.Runnable(
            container=batch_v1.Runnable.Container(
                image_uri=image,
                entrypoint=sweep_machine.LOADER,
                commands=sweep_machine.SUPERVISOR,
                volumes=[f"{shared}:ro", own],
                options=options,
            )
        )
        task_spec = batch_v1.TaskSpec(
            runnables=[prepare, program],
            environment=batch_v1.Environment(variables=staged.environment),
            **spec,
        )
        group = batch_v1.TaskGroup(
            task_spec=task_spec, task_count=tasks, parallelism=at_once or tasks, task_count_per_node=at_once or tasks
        )
        policy = batch_v1.LogsPolicy(destination="CLOUD_LOGGING")
        return self.jobs.client.create_job(parent=PARENT, job=batch_v1.Job(task_groups=[group], logs_policy=policy))

    def run(self, staged: SweepRound, image: str, tasks: int = 1, **fields: Any) -> list[str]:
        """Run such a job to its end, which is a success; return the lines of its log."""
        job = self.jobs.wait(self.submit(staged, image, tasks, **fields))
        lines = self.jobs.output(job)
        assert job.status.state.name == "SUCCEEDED", lines
        return lines


@pytest.fixture
def machine(emulator: Emulator, image: str, engine: str) -> Iterator[MachineJobs]:
    with container_jobs(emulator, image) as made:
        yield MachineJobs(made, emulator, image)


@pytest.fixture(scope="session")
def make_image(engine: str) -> Iterator[Callable[..., str]]:
    """Build an image of some lines of a Dockerfile, and files beside it; all are removed in the end."""
    made = []

    def make(*lines: str, **files: Path) -> str:
        name = f"localhost/covalent-parallel-test-machine:{uuid.uuid4().hex[:12]}"
        with tempfile.TemporaryDirectory() as folder:
            for target, path in files.items():
                shutil.copy(path, Path(folder, target))
            Path(folder, "Dockerfile").write_text("\n".join([*lines, ""]))
            words = [engine, "build", "--network=host", "--tag", name, folder]
            ended = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
            assert ended.returncode == 0, ended.stderr
        made.append(name)
        return name

    yield make
    if made:
        subprocess.run([engine, "rmi", "--force", *made], capture_output=True, timeout=300, check=False)


@pytest.fixture(scope="session")
def static_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian's busybox-static, which needs nothing of its image."""
    folder = tmp_path_factory.mktemp("busybox")
    try:
        subprocess.run(
            ["apt-get", "download", "busybox-static"], cwd=folder, check=True, capture_output=True, timeout=120
        )
        (package,) = folder.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        do_without(f"busybox-static cannot be had: {error}")
    return folder / "bin" / "busybox"


@pytest.fixture(scope="session")
def static_image(make_image: Callable[..., str], static_program: Path) -> str:
    """An image with one file, which is a shell under that name, and a user with a number alone."""
    return make_image(
        "FROM scratch", "COPY ash /tools/ash", "USER 65532", "ENV LD_PRELOAD=/nowhere.so", ash=static_program
    )


def python(code: str) -> dict[str, Any]:
    return {"argv": ["python3", "-c", code]}


def test_exit_codes_output_and_files_come_back(machine: MachineJobs, image: str) -> None:
    staged = machine.round()
    code = (
        "import os, sys; print('out', os.environ['X']); print('err', file=sys.stderr);"
        "os.chdir(os.environ['FOLDER']); os.makedirs('deep'); open('deep/made', 'w').write('made'); sys.exit(3)"
    )
    folder = sweep_machine.program_folder(0, 0)
    staged.stage({**python(code), "environment": {"X": "7", "FOLDER": folder}})
    machine.run(staged, image)
    outcome = staged.outcome()
    assert (outcome.status, outcome.fields["exit"], outcome.fields["signal"]) == ("failed", 3, None)
    assert (outcome.stdout, outcome.stderr, outcome.files) == (b"out 7\n", b"err\n", {"deep/made": b"made"})


def test_an_image_of_one_static_program_ends_in_every_way(machine: MachineJobs, static_image: str) -> None:
    folder = sweep_machine.program_folder(0, 4)
    staged = machine.round(time_limit=8.0, image={"user": "65532", "environment": {"LD_PRELOAD": "/nowhere.so"}})
    scripts = [
        "echo $X $LD_PRELOAD; exit 3",
        "kill -SEGV $$",
        None,
        "echo begun; x=aaaaaaaa; while :; do x=$x$x; done",
        f"echo begun; echo kept > {folder}/kept; while :; do :; done",
        "echo no more",
    ]
    staged.stage(*({"argv": ["/tools/ash", "-c", script] if script else ["/no/such/program"]} for script in scripts))
    machine.run(staged, static_image, len(scripts), compute_resource={"memory_mib": 150})
    ends = [staged.outcome(index) for index in range(len(scripts))]
    assert [(end.status, end.fields["exit"], end.fields["signal"]) for end in ends] == [
        ("failed", 3, None),
        ("killed", 139, 11),
        ("refused", None, None),
        ("killed", 137, 9),
        ("timeout", 143, 15),
        ("done", 0, None),
    ]
    assert [end.stdout for end in ends] == [b"0 /nowhere.so\n", b"", b"", b"begun\n", b"begun\n", b"no more\n"]
    assert [end.files for end in ends] == [{}, {}, {}, {}, {"kept": b"kept\n"}, {}]
    assert ends[2].fields["reason"] == "/no/such/program: not found"
    assert ends[3].fields["reason"] == "out of memory: raise memory"
    assert ends[4].fields["reason"] == "ran longer than time_limit, 8 s"


def test_a_fixed_path_is_another_folder_for_each_of_eight_tasks_at_a_time(
    machine: MachineJobs, make_image: Callable[..., str], image: str
) -> None:
    own = make_image(
        f"FROM {image}",
        "RUN useradd --uid 4321 --home-dir /home/worker --create-home worker && groupadd --gid 777 more"
        " && usermod --append --groups more worker",
        "RUN mkdir /mnt/data",
        "WORKDIR /mnt/data/inner",
        "USER worker",
    )
    staged = machine.round(outputs="/mnt/data", image={"user": "worker", "environment": {}})
    staged.setup["files"] = [staged.content(b"brought", "in/brought", mode=0o600)]
    code = (
        "import os; print(os.getuid(), os.getgid(), sorted(os.getgroups()), os.environ['HOME'], os.getcwd());"
        "assert open('/mnt/data/in/brought').read() == 'brought';"
        "open('/mnt/data/made', 'w').write(os.environ['X']); print(sorted(os.listdir('/mnt/data')))"
    )
    staged.stage(*[python(code)] * 8)
    machine.run(staged, own, 8, options="--user 0")
    for index in range(8):
        end = staged.outcome(index)
        assert (end.status, end.files) == ("done", {"made": str(index).encode()}), (end.fields, end.stderr)
        where = sweep_machine.program_folder(0, index)
        assert end.stdout.decode() == f"4321 4321 [777, 4321] /home/worker {where}/inner\n['in', 'inner', 'made']\n"


def test_a_fixed_path_with_files_in_it_or_a_read_only_root_is_refused(
    machine: MachineJobs, make_image: Callable[..., str], image: str
) -> None:
    full = make_image(f"FROM {image}", "RUN mkdir -p /mnt/data/deep && touch /mnt/data/deep/there")
    staged = machine.round(outputs="/mnt/data")
    staged.stage(python("print('never')"))
    machine.run(staged, full, options="--user 0")
    end = staged.outcome()
    assert (end.status, end.stdout) == ("refused", b"") and "/mnt/data/deep/there" in end.fields["reason"]
    staged = machine.round(outputs="/mnt/data")
    staged.stage(python("print('never')"))
    machine.run(staged, image, options="--user 0 --read-only")
    end = staged.outcome()
    assert (end.status, end.stdout) == ("refused", b"") and "read-only root" in end.fields["reason"]


def test_a_bundle_shares_a_container_and_a_machine_its_files(machine: MachineJobs, image: str) -> None:
    staged = machine.round(bundle=3)
    staged.setup["files"] = [staged.content(b"weights", "weights.bin"), staged.content(b"weights", "copy", keep=False)]
    staged.setup["inputs"] = [
        {"name": "table", "files": [{**input_of(staged, b"1,2"), "path": ""}]},
        {"name": "many", "files": [{**input_of(staged, b"deep"), "path": "a/b"}]},
    ]
    inputs = sweep_machine.INPUTS_FOLDER
    code = (
        "import os, subprocess; os.chdir(os.environ['FOLDER']);"
        "print(open('weights.bin').read(), open('copy').read(), open('config.json').read(), open('t').read(),"
        f"open('{inputs}/table').read(), open('{inputs}/many/a/b').read());"
        "open('made', 'w').write(os.environ['X']); open('copy', 'a').write('changed');"
        "subprocess.Popen(['sleep', '1000'], start_new_session=True);"
        "print(open('/etc/hostname').read() if False else os.getppid())"
    )
    staged.setup["config"] = "json"
    tasks = [
        {
            **python(code),
            "environment": {"X": str(index), "FOLDER": sweep_machine.program_folder(0, index)},
            "config": f"{{{index}}}",
            "templates": {"t": {"text": f"filled {index}", "mode": 0o644, "mtime_ns": 10**18, "keep": True}},
        }
        for index in range(7)
    ]
    staged.stage(*tasks)
    machine.run(staged, image, 3)
    for index in range(7):
        end = staged.outcome(index)
        assert end.stdout.decode() == f"weights weights {{{index}}} filled {index} 1,2 deep\n1\n", end.stderr
        # of config.json, too, which tasks keep on this machine as well
        assert end.files == {"made": str(index).encode(), "config.json": f"{{{index}}}".encode()}


def test_any_user_may_run_the_programs_of_an_input(machine: MachineJobs, image: str) -> None:
    staged = machine.round()
    staged.setup["inputs"] = [
        {
            "name": "tool",
            "files": [
                {**input_of(staged, b"#!/bin/sh\necho ran"), "path": "run", "mode": 0o700},
                {**input_of(staged, b"read"), "path": "text", "mode": 0o600},
            ],
        }
    ]
    folder = f"{sweep_machine.INPUTS_FOLDER}/tool"
    staged.stage({"argv": ["sh", "-c", f"{folder}/run; cat {folder}/text; test -x {folder}/text || echo , no more"]})
    machine.run(staged, image, options="--user 65532")
    assert (staged.outcome().stdout, staged.outcome().stderr) == (b"ran\nread, no more\n", b"")


def test_two_executions_of_a_task_on_one_machine_do_not_share_its_folder(
    machine: MachineJobs, image: str, emulator: Emulator
) -> None:
    staged = machine.round()
    folder = sweep_machine.program_folder(0, 0)
    staged.stage({"argv": ["sh", "-c", f"echo begun; sleep 4; ls {folder}; echo end | tee {folder}/made"]})
    emulator.faults.set(Faults((Fault("attempt.twice", after_seconds=2),)))
    try:
        machine.run(staged, image)
    finally:
        emulator.faults.set(Faults())
    end = staged.outcome()
    assert (end.status, end.stdout, end.files) == ("done", b"begun\nend\n", {"made": b"end\n"})


def input_of(staged: SweepRound, data: bytes) -> dict[str, Any]:
    entry = staged.content(data, "")
    return {"bucket": staged.bucket.name, "object": entry["object"], "generation": 0, "size": len(data)}


def test_a_pattern_is_searched_for_in_much_output_by_the_machines_own_python(
    machine: MachineJobs, static_image: str
) -> None:
    staged = machine.round(result={"pattern": "value = (?P<v>.*)", "flags": 32})
    staged.stage({"argv": ["/tools/ash", "-c", "i=0; while [ $i -lt 6000 ]; do echo value = $i; i=$((i+1)); done"]})
    machine.run(staged, static_image)
    row = staged.outcome().row
    assert row is not None and row.result == {"v": 5999} and row.output is None


def test_a_machine_that_is_taken_away_leaves_an_attempt(machine: MachineJobs, image: str) -> None:
    staged = machine.round()
    staged.stage(python("import time; print('begun', flush=True); time.sleep(600)"))
    job = machine.submit(staged, image)
    machine.jobs.wait_for_line(job, "begun")
    machine.jobs.client.cancel_job(name=job.name)
    machine.jobs.wait(job)
    (attempt,) = staged.attempts()
    assert (attempt.status, attempt.stdout) == ("lost", b"begun\n") and not staged.has_outcome(0)


def test_requests_to_the_bucket_are_two_a_task_and_one_a_file(machine: MachineJobs, image: str) -> None:
    staged = machine.round()
    staged.stage(*[python("print('nothing')")] * 12)
    before = object_requests(machine.emulator)
    machine.run(staged, image, 12, at_once=4)
    # of the machine itself: the setup, and the runner, which tasks that start together may fetch each
    assert 2 * 12 + 2 <= object_requests(machine.emulator) - before <= 2 * 12 + 5


def object_requests(emulator: Emulator) -> int:
    # Google's client looks a bucket up in the background
    return sum(count for kind, count in emulator.request_counts.items() if kind.startswith("objects."))
