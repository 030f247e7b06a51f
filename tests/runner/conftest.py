"""A bare Python environment, and tasks that run in it exactly as their job says, on the emulator's storage."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from ended_process import Ended, ended
from google.cloud import batch_v1

from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.electron.call import Call, Pickles
from covalent_parallel_plugin.electron.electron_job import electron_job
from covalent_parallel_plugin.electron.outcome import Outcome, read_outcome
from covalent_parallel_plugin.protocol.envelope import CALL, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding
from covalent_parallel_plugin.protocol.object_names import call_name, outcome_name
from covalent_parallel_plugin.settings import Settings

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

Python = Path


@dataclass
class Task:
    """A staged call, and how to run it.

    Attributes:
        python: the image's interpreter.
        machine: the machine's folder for temporary files.
    """

    store: ObjectStore
    python: Python
    machine: Path
    services: Mapping[str, str]
    settings: Settings
    call: Call
    identity: CallIdentity
    variables: dict[str, str] = field(default_factory=dict)

    def stage(self, pickles: Pickles, key: bytes | None = None) -> None:
        runner = runner_archive.runner_archive()
        self.store.put(runner.object_name, runner.data)
        bound_to = task_binding(CALL, self.identity.call_id)
        prefix = seal_envelope(
            self.call.header(self.identity.call_id, self.settings.requirements),
            pickles,
            key or self.identity.key,
            bound_to,
        )
        self.store.put(call_name(self.identity.folder), b"".join(envelope_chunks(prefix, pickles)))

    def start(self, **variables: str) -> subprocess.Popen[bytes]:
        """Start it as the job asks; `variables` stand in for what Batch or the job set."""
        spec = electron_job(self.settings, self.call, self.identity).task_groups[0].task_spec
        container: batch_v1.Runnable.Container = spec.runnables[0].container
        assert container.entrypoint == "python3"
        (self.machine / "tmp").mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.machine),
            "TMPDIR": str(self.machine / "tmp"),
            **self.services,
            **spec.environment.variables,
            **self.variables,
            **variables,
        }
        return subprocess.Popen(
            [str(self.python), *container.commands],
            env=environment,
            cwd=self.machine,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, **variables: str) -> Ended:
        """Run it to its end."""
        return ended(self.start(**variables))

    def outcome(self) -> Outcome | None:
        """What it delivered."""
        data = self.object(outcome_name(self.identity.folder))
        return None if data is None else read_outcome(io.BytesIO(data), self.identity.task())

    def object(self, name: str) -> bytes | None:
        stream = io.BytesIO()
        return stream.getvalue() if self.store.get(name, stream) else None

    @property
    def left_on_the_machine(self) -> list[str]:
        """What is in the temporary folder, and beside the runner."""
        folders = self.machine / "tmp", self.runner_on_the_machine.parent
        return sorted(path.name for folder in folders if folder.exists() for path in folder.iterdir())

    @property
    def runner_on_the_machine(self) -> Path:
        folder = self.machine / ".cache" / f"covalent-parallel-{os.getuid()}"
        return folder / f"{runner_archive.runner_archive().sha256}.zip"


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment that holds nothing, not even pip."""
    folder = tmp_path_factory.mktemp("bare") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python3"


@pytest.fixture
def with_mounts(tmp_path: Path) -> Any:
    """Make an interpreter that does these mounts first, which it alone sees."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs mounts of its own")

    def make(python: Path, *commands: str) -> Path:
        mounts, launcher = tmp_path / "mounts", tmp_path / "python3"
        mounts.write_text("\n".join(["set -e", *commands, f'exec {python} "$@"\n']))
        launcher.write_text(f'#!/bin/sh\nexec unshare -rm sh {mounts} "$@"\n')
        launcher.chmod(0o755)
        return launcher

    return make


@pytest.fixture(scope="session")
def store(emulator: Emulator) -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch:
        for name, address in emulator.environment.items():
            patch.setenv(name, address)
        yield ObjectStore.shared("local", "covalent")


@pytest.fixture
def make_task(store: ObjectStore, emulator: Emulator, bare_python: Path, tmp_path: Path) -> Any:
    """Stage a call of a function and give its task."""

    def make(
        function: Any,
        *args: Any,
        before: Sequence[tuple[bytes, str]] = (),
        before_args: Sequence[Any] = (),
        after: Sequence[bytes] = (),
        python: Path | None = None,
        call: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Task:
        pickles: Pickles = {"function": function if isinstance(function, bytes) else cloudpickle.dumps(function)}
        pickles.update({f"arg{index}": cloudpickle.dumps(value) for index, value in enumerate(args)})
        pickles.update({f"kwarg:{name}": cloudpickle.dumps(value) for name, value in kwargs.items()})
        hooks = {f"before{index}": (pickle, list(before_args)) for index, (pickle, _) in enumerate(before)}
        hooks.update((f"after{index}", (pickle, [])) for index, pickle in enumerate(after))
        for name, (pickle, taken) in hooks.items():
            pickles[f"{name}.function"] = pickle
            pickles[f"{name}.args"] = cloudpickle.dumps(taken)
            pickles[f"{name}.kwargs"] = cloudpickle.dumps({})
        electron = Call(
            dispatch_id=str(uuid.uuid4()),
            node_id=0,
            name="electron",
            python=sys.version.split()[0],
            covalent="0.240.0",
            args=len(args),
            kwargs=tuple(kwargs),
            before=tuple(("hook", keyword) for _, keyword in before),
            after=tuple(("hook", "") for _ in after),
        )
        electron = replace(electron, **(call or {}))
        options = Settings(bucket_name="covalent", project_id="local", time_limit=30)
        identity = CallIdentity("0" * 16, os.urandom(32), electron.folder("0" * 16))
        task = Task(
            store,
            python or bare_python,
            tmp_path / "machine",
            emulator.environment,
            replace(options, **(settings or {})),
            electron,
            identity,
        )
        task.stage(pickles)
        return task

    return make
