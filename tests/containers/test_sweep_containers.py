"""Tasks of a sweep as real containers: their ends, their output, their limits and whom their files belong to."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from local_runs import Sweep, bring, located, sweep_file
from registry_server import running_registry

from covalent_parallel_plugin.containers.cleanup import kill_clients
from covalent_parallel_plugin.containers.engine import ContainerEngine
from covalent_parallel_plugin.programs.result_values import ResultSource
from covalent_parallel_plugin.sweep.local.container_backend import LABEL, TaskContainers
from covalent_parallel_plugin.sweep.local.image import ImagePullError, pin_image
from covalent_parallel_plugin.sweep.tasks import PinnedImage

pytestmark = pytest.mark.containers


@pytest.fixture(scope="session")
def pinned(engine: str, image: str) -> PinnedImage:
    return pin_image(ContainerEngine(engine), image, "missing")


@pytest.fixture
def sweep_id() -> str:
    return uuid.uuid4().hex[:12]


MakeSweep = Callable[..., Sweep]


@pytest.fixture
def make_sweep(engine: str, pinned: PinnedImage, sweep_id: str, tmp_path: Path) -> Iterator[MakeSweep]:
    made = []

    def make(*words: str, inputs: dict[str, Path] | None = None, kind: type[Sweep] = Sweep, **fields: Any) -> Sweep:
        tasks = fields.pop("tasks", 1)
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        backend = TaskContainers(ContainerEngine(engine), sweep_file(**fields), pinned, sweep_id, out, inputs or {})
        made.append(backend)
        return kind(out, *words, tasks=tasks, backend=backend, **fields)

    yield make
    for backend in made:
        backend.remove_leftovers()
    assert containers(engine, sweep_id) == []


def containers(engine: str, sweep_id: str) -> list[str]:
    words = ["ps", "--all", f"--filter=label={LABEL}={sweep_id}", "--format={{.Names}}"]
    return ContainerEngine(engine).call(*words).stdout.split()


def python(code: str) -> tuple[str, ...]:
    return ("python3", "-c", code)


def test_a_container_works_in_its_folder_and_its_output_is_kept(make_sweep: MakeSweep, tmp_path: Path) -> None:
    code = "import os, sys; print({x}); print('oh', file=sys.stderr); open('{folder}/made', 'w').write('{x}')"
    sweep = make_sweep(*python(code), tasks=3, outputs="/mnt/data")
    sweep.run()
    assert {name: (end.status, end.exit) for name, end in sweep.memory.ends.items()} == dict.fromkeys(
        ("x=0", "x=1", "x=2"), ("done", 0)
    )
    for number in range(3):
        task = f"x={number}"
        assert (sweep.text("stdout.txt", task), sweep.text("stderr.txt", task)) == (f"{number}\n", "oh\n")
        assert sweep.text("files/made", task) == f"{number}"
        assert stat.S_IMODE((sweep.out.path / task / "files").stat().st_mode) & 0o022 == 0
    assert sweep.memory.most <= 2


@pytest.mark.parametrize(
    ("words", "status", "exit_status", "number"),
    [
        (("sh", "-c", "exit 3"), "failed", 3, None),
        (("sh", "-c", "exit 125"), "failed", 125, None),
        (("sh", "-c", "no-such-program"), "failed", 127, None),
        (("sh", "-c", "echo Error: all wrong >&2; exit 126"), "failed", 126, None),
        (("sh", "-c", "sh -c 'kill -9 $$'; exit $?"), "killed", 137, 9),
        (("no-such-program",), "refused", None, None),
        (("/etc/passwd",), "refused", None, None),
    ],
)
def test_how_a_container_ends(
    make_sweep: MakeSweep, words: tuple[str, ...], status: str, exit_status: int | None, number: int | None
) -> None:
    sweep = make_sweep(*words)
    sweep.run()
    assert (sweep.end.status, sweep.end.exit, sweep.end.signal) == (status, exit_status, number)
    if status == "refused":
        assert words[0] in sweep.end.reason


def test_what_another_user_wrote_belongs_to_the_caller(make_sweep: MakeSweep, tmp_path: Path) -> None:
    source = tmp_path / "private"
    source.write_text("brought in")
    source.chmod(0o600)
    code = """
import os, json
os.chdir('{folder}')
print(os.getuid(), open('private').read())
os.mkdir('sub', 0o700); open('sub/file', 'w').close(); os.chmod('sub/file', 0o400)
os.symlink('/etc/passwd', 'out'); os.mkfifo('pipe')
"""

    class WithFile(Sweep):
        def lay_out(self, task: Any, launch: Any, files: Path) -> Any:
            return [bring(source, files / "private")]

    sweep = make_sweep(*python(code), kind=WithFile, options={"container_options": "--user 1234:1234"})
    sweep.run()
    assert sweep.end.status == "done", sweep.text("stderr.txt")
    assert sweep.text("stdout.txt") == "1234 brought in\n"
    files = sweep.out.path / "x=0" / "files"
    assert sorted(path.name for path in files.iterdir()) == ["out", "pipe", "sub"]
    for path in (files, files / "sub", files / "sub/file", files / "out"):
        assert path.lstat().st_uid == os.geteuid()
    assert stat.S_IMODE((files / "sub/file").stat().st_mode) == 0o400
    assert sweep.end.left == ("out", "pipe") and Path("/etc/passwd").stat().st_uid == 0


def test_inputs_are_read_only_and_variables_arrive_unchanged(make_sweep: MakeSweep, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "file").write_text("input")
    code = """
import os, json
try:
    open('{inputs.base}/new', 'w')
except OSError as error:
    print(type(error).__name__)
print(open('{inputs.base}/file').read(), json.dumps([os.environ[n] for n in ('MODE', 'TOKEN', 'SOME_LINES')]))
"""
    sweep = make_sweep(
        *python(code),
        inputs={"base": tmp_path / "base"},
        environment=located({"MODE": "a $(id) {x}", "SOME_LINES": "a\nb"}),
        secrets={"TOKEN": "name"},
    )
    sweep.secrets = {"TOKEN": "s3 cret"}
    sweep.run()
    assert sweep.text("stdout.txt") == 'OSError\ninput ["a $(id) 0", "s3 cret", "a\\nb"]\n', sweep.text("stderr.txt")
    assert list((tmp_path / "base").iterdir()) == [tmp_path / "base" / "file"]


def test_a_secret_is_in_no_file_and_no_command_line_while_it_is_used(make_sweep: MakeSweep, tmp_path: Path) -> None:
    code = """
import os, pathlib, time
print('TOKEN' in os.environ, flush=True)
while not pathlib.Path('{folder}/go').exists():
    time.sleep(0.05)
"""
    sweep = make_sweep(*python(code), secrets={"TOKEN": "name"})
    sweep.secrets = {"TOKEN": "s3cret"}
    thread = threading.Thread(target=sweep.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not sweep.memory.output and time.monotonic() < deadline:
        time.sleep(0.05)
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "out/x=0/files/go").touch()
    thread.join(60)
    assert sweep.end.status == "done" and sweep.text("stdout.txt") == "True\n"
    assert found == [] and "s3cret" not in lines


def test_a_container_past_its_time_is_ended(make_sweep: MakeSweep) -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); print(1); time.sleep(60)"
    sweep = make_sweep(*python(code), options={"time_limit": 2})
    sweep.run()
    assert (sweep.end.status, sweep.end.exit, sweep.end.signal) == ("timeout", 9, None)


def test_a_silent_container_is_idle(make_sweep: MakeSweep) -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); time.sleep(60)"
    sweep = make_sweep(*python(code), idle_limit_seconds=2)
    sweep.run()
    assert sweep.end.status == "idle"


def test_cancelling_ends_the_containers(make_sweep: MakeSweep, engine: str, sweep_id: str) -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); print(1, flush=True)"
    sweep = make_sweep(*python(f"{code}; time.sleep(60)"), tasks=4)
    run = sweep.make()
    thread = threading.Thread(target=run.run)
    thread.start()
    deadline = time.monotonic() + 30
    while len(sweep.memory.output) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(containers(engine, sweep_id)) == 2
    run.cancel()
    thread.join(30)
    assert {name: end.status for name, end in sweep.memory.ends.items()} == {"x=0": "cancelled", "x=1": "cancelled"}
    assert containers(engine, sweep_id) == []


def test_the_image_keeps_its_entry_point_unless_the_file_has_one(
    engine: str, image: str, names: Callable[[str], str], tmp_path: Path, sweep_id: str
) -> None:
    name = names("entrypoint")
    (tmp_path / "Dockerfile").write_text(
        f'FROM {image}\nENTRYPOINT ["echo", "inner"]\nCMD ["default"]\nUSER 1000\nWORKDIR /usr/lib\n'
    )
    subprocess.run(["podman", "build", "--quiet", "--tag", name, str(tmp_path)], check=True, capture_output=True)
    pinned = pin_image(ContainerEngine(engine), name, "always")
    assert (pinned.entrypoint, pinned.command) == (("echo", "inner"), ("default",))
    assert (pinned.user, pinned.workdir) == ("1000", "/usr/lib") and pinned.digest.startswith("sha256:")

    def output(number: int, *words: str, entrypoint: tuple[str, ...] | None = None, **fields: Any) -> str:
        out = tmp_path / f"out{number}"
        out.mkdir()
        backend = TaskContainers(ContainerEngine(engine), sweep_file(**fields), pinned, sweep_id, out, {})
        sweep = Sweep(out, *words, backend=backend, **fields)
        sweep.entrypoint = entrypoint
        sweep.run()
        return sweep.text("stdout.txt") + sweep.text("stderr.txt")

    assert output(1) == "inner default\n"
    assert output(2, "a b") == "inner a b\n"
    assert output(3, "c", entrypoint=("echo", "own")) == "own c\n"
    assert output(4, "pwd", entrypoint=()) == "/usr/lib\n"
    assert output(5, "pwd", entrypoint=(), workdir="/var") == "/var\n"


def test_a_result_is_found_in_what_a_container_wrote(make_sweep: MakeSweep) -> None:
    sweep = make_sweep("echo", "pi_hat = 3.14", result=ResultSource(pattern=re.compile(r"pi_hat = (?P<pi_hat>\S+)")))
    sweep.run()
    assert sweep.end.result == {"pi_hat": 3.14}


def test_a_container_out_of_memory_says_what_to_raise(make_sweep: MakeSweep) -> None:
    sweep = make_sweep(*python("x = b'x' * 400_000_000"), options={"memory": 64})
    sweep.run()
    assert (sweep.end.status, sweep.end.signal) == ("killed", 9)
    assert sweep.end.reason == "out of memory: raise memory"


@pytest.mark.parametrize("part", ["client", "monitor"])
def test_a_container_whose_client_or_monitor_is_killed_is_lost_and_tried_again(
    make_sweep: MakeSweep, engine: str, sweep_id: str, part: str
) -> None:
    if part == "monitor" and engine != "podman":
        pytest.skip("docker's monitor is not a process of the client's")
    code = "import time; print({attempt}, flush=True); time.sleep(60 if {attempt} == 1 else 0)"
    sweep = make_sweep(*python(code), options={"retries": 1})
    thread = threading.Thread(target=sweep.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not sweep.memory.output and time.monotonic() < deadline:
        time.sleep(0.05)
    if part == "client":
        kill_clients(LABEL, lambda value: value == sweep_id)
    else:
        words = ["inspect", "--format={{.State.ConmonPid}}", *containers(engine, sweep_id)]
        os.kill(int(ContainerEngine(engine).call(*words).stdout), signal.SIGKILL)
    thread.join(60)
    assert (sweep.end.status, sweep.end.attempts) == ("done", 2)
    assert containers(engine, sweep_id) == []
    assert sweep.text("attempt-0/stdout.txt") == "1\n" and sweep.text("stdout.txt") == "2\n"
    assert '"status": "lost"' in sweep.text("attempt-0/task.json")


def test_a_login_that_a_registry_wants_is_named(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_registry() as registry:
        registry.token, registry.keeps_tokens = "secret", True
        settings = tmp_path / "registries.conf"
        settings.write_text(f'[[registry]]\nlocation = "{registry.host}"\ninsecure = true\n')
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(settings))
        with pytest.raises(ImagePullError, match=f"log in with `{engine} login {registry.host}`"):
            pin_image(ContainerEngine(engine), f"{registry.host}/sims/art:1.4", "missing")


def test_a_killed_run_leaves_nothing_that_the_next_one_does_not_remove(
    make_sweep: MakeSweep, engine: str, pinned: PinnedImage, sweep_id: str, tmp_path: Path
) -> None:
    other = f"{sweep_id[:-1]}x"
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from local_runs import Sweep, sweep_file
from covalent_parallel_plugin.containers.cleanup import kill_clients
from covalent_parallel_plugin.containers.engine import ContainerEngine
from covalent_parallel_plugin.sweep.local.container_backend import TaskContainers
from covalent_parallel_plugin.sweep.sweep_file import ResultSource
from covalent_parallel_plugin.sweep.tasks import PinnedImage
out = Path({str(tmp_path / "killed")!r}) / sys.argv[1]
out.mkdir(parents=True)
backend = TaskContainers(ContainerEngine({engine!r}), sweep_file(), {pinned!r}, sys.argv[1], out, {{}})
words = ["sh", "-c", "touch {{folder}}/made; chown 10001 {{folder}}/made; sleep 60"]
Sweep(out, *words, tasks=2, backend=backend).run()
"""
    children = [subprocess.Popen([sys.executable, "-c", script, name]) for name in (sweep_id, other)]
    deadline = time.monotonic() + 60
    folders = [tmp_path / "killed" / sweep_id / task for task in ("x=0", "x=1")]
    made = [folder / "files" / "made" for folder in folders]
    while not all(path.exists() and path.stat().st_uid != os.getuid() for path in made) or any(
        len(containers(engine, name)) < 2 for name in (sweep_id, other)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for child in children:
        child.kill()
        child.wait()
    mine, others = (
        TaskContainers(ContainerEngine(engine), sweep_file(), pinned, name, tmp_path / "killed" / name, {})
        for name in (sweep_id, other)
    )
    mine.remove_leftovers(folders)
    assert [path.stat().st_uid for path in made] == [os.getuid()] * 2
    assert not any(path.parent.stat().st_mode & 0o077 for path in made)
    assert containers(engine, sweep_id) == [] and len(containers(engine, other)) == 2
    assert list((tmp_path / "killed" / sweep_id).glob(".*")) == []
    others.remove_leftovers()
    assert containers(engine, other) == []


def test_an_image_that_was_built_here_needs_no_registry(engine: str, image: str) -> None:
    name = f"built-here-{uuid.uuid4().hex[:8]}"
    subprocess.run([engine, "tag", image, f"localhost/{name}"], check=True)
    try:
        pinned = {pin_image(ContainerEngine(engine), tag, "always").reference for tag in (name, f"localhost/{name}")}
        assert len(pinned) == 1
    finally:
        subprocess.run([engine, "untag", f"localhost/{name}", f"localhost/{name}"], check=True)


@pytest.mark.parametrize("name", ["localhost/built-nowhere:1", "built-nowhere:1"])
def test_an_image_that_was_not_built_yet_says_how(engine: str, name: str) -> None:
    with pytest.raises(ImagePullError) as raised:
        pin_image(ContainerEngine(engine), name, "missing")
    assert str(raised.value).endswith(f": build it with `{engine} build -t {name} FOLDER`, or correct the name")


@pytest.mark.parametrize("pull", ["always", "missing"])
def test_an_image_that_cannot_be_pulled_is_named_with_the_registrys_words(engine: str, pull: Any) -> None:
    with pytest.raises(ImagePullError) as raised:
        pin_image(ContainerEngine(engine), "localhost:1/nothing:there", pull)
    assert str(raised.value).startswith("image 'localhost:1/nothing:there' cannot be pulled: ")
    assert "connection refused" in str(raised.value)


def test_an_image_for_other_machines_is_refused(
    engine: str, image: str, names: Callable[[str], str], tmp_path: Path
) -> None:
    name = names("arm")
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\n")
    (tmp_path / "empty.tar").write_bytes(bytes(10240))
    subprocess.run(
        [engine, "import", "--arch=arm64", "--os=linux", str(tmp_path / "empty.tar"), name],
        check=True,
        capture_output=True,
    )
    with pytest.raises(ImagePullError, match=r"is for linux/arm64, not for linux/amd64"):
        pin_image(ContainerEngine(engine), name, "missing")
