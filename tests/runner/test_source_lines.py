"""The user's file, line and source in each way to fail, whichever cloudpickle the client and the image have."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import covalent_parallel_plugin
from covalent_parallel_plugin.electron.call import Map
from covalent_parallel_plugin.electron.map.item_table import ValueStore
from covalent_parallel_plugin.electron.map.report import read_task, report_with_source_lines
from covalent_parallel_plugin.electron.traceback_source import SourceText, with_source_lines
from covalent_parallel_plugin.protocol.envelope import REFUSED
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED
from covalent_parallel_plugin.protocol.object_names import outcome_name

VERSIONS = ("3.0.0", "3.1.2", "3.1.3")
# One that later ones cannot read, nor it them
OLD_VERSION = "2.2.1"
# Where this package is, as an image that has it would have it
PACKAGE = str(Path(covalent_parallel_plugin.__file__).parent.parent)

SCRIPT = '''\
"""A user's script."""

import os
import sys
import time

import cloudpickle


def helper(item):
    table = {"present": item}
    return table["missing"] + table["present"]  # the line in the helper


def waits(item):
    while True:
        time.sleep(0.1)  # the line that waits


def crashes(item):
    import ctypes

    ctypes.string_at(0)  # the line that crashes


def calls_helper(item=0):
    return helper(item)  # the line in the electron


def calls_waits(item=0):
    print("started")
    waits(item)


def calls_crashes(item=0):
    crashes(item)


def returns_helper():
    return lambda item: str(item)


class Model:
    def fit(self):
        return [helper(each) for each in [1]]  # the line in the method


def calls_method(item=0):
    return Model().fit()


folder, name = sys.argv[1:]
with open(os.path.join(folder, "function"), "wb") as file:
    cloudpickle.dump(globals()[name], file)
with open(os.path.join(folder, "version"), "w") as file:
    file.write(cloudpickle.__version__)
'''


@pytest.fixture(scope="session")
def cloudpickles(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A folder with each version."""
    folder = tmp_path_factory.mktemp("cloudpickles")
    for version in (*VERSIONS, OLD_VERSION):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        subprocess.run([*command, "--target", str(folder / version), f"cloudpickle=={version}"], check=True)
    return {version: folder / version for version in (*VERSIONS, OLD_VERSION)}


@dataclass(frozen=True)
class Client:
    """A user's machine: its script, and the folder with its cloudpickle."""

    folder: Path
    cloudpickle: Path

    @property
    def script(self) -> Path:
        return self.folder / "search.py"

    def pickled(self, name: str) -> bytes:
        """The pickle of one of the script's functions."""
        self.script.write_text(SCRIPT)
        subprocess.run(
            [sys.executable, str(self.script), str(self.folder), name],
            env={**os.environ, "PYTHONPATH": str(self.cloudpickle)},
            check=True,
        )
        assert (self.folder / "version").read_text() == self.cloudpickle.name
        return (self.folder / "function").read_bytes()

    def pickled_without_file(self, name: str) -> bytes:
        """The same from a session that has no file, such as a notebook's or an interpreter's."""
        subprocess.run(
            [sys.executable, "-", str(self.folder), name],
            env={**os.environ, "PYTHONPATH": str(self.cloudpickle)},
            input=SCRIPT,
            text=True,
            check=True,
        )
        return (self.folder / "function").read_bytes()

    def line(self, text: str) -> int:
        return next(number for number, line in enumerate(SCRIPT.splitlines(), 1) if text in line)

    def run_hidden(self, task: Any, **variables: str) -> int:
        """Run the task where the script is not to be found, as in a container; returns the exit status."""
        away = self.script.with_suffix(".away")
        self.script.rename(away)
        try:
            return int(task.run(**variables).status)
        finally:
            away.rename(self.script)


@pytest.fixture(
    params=[(client, image) for client in VERSIONS for image in VERSIONS], ids=lambda pair: "-in-".join(pair)
)
def client(request: pytest.FixtureRequest, cloudpickles: Mapping[str, Path], tmp_path: Path) -> Client:
    folder = tmp_path / "home"
    folder.mkdir()
    return Client(folder, cloudpickles[request.param[0]])


@pytest.fixture
def image(request: pytest.FixtureRequest, cloudpickles: Mapping[str, Path], client: Client) -> dict[str, str]:
    """An image that has this package and one of the versions."""
    version = request.node.callspec.params["client"][1]
    return {"PYTHONPATH": os.pathsep.join((str(cloudpickles[version]), PACKAGE))}


def shows(text: str, client: Client, function: str, line: str, comma: str = ",") -> None:
    """Assert that the frame is there with its source line right below."""
    number = client.line(line)
    frame = f'  File "{client.script}", line {number}{comma} in {function}\n'
    assert frame in text
    below = text.split(frame)[1].split("\n")[0]
    assert below.strip() == SCRIPT.splitlines()[number - 1].strip()


def test_an_exception_in_a_helper(client: Client, image: dict[str, str], make_task: Any) -> None:
    task = make_task(client.pickled("calls_helper"))
    assert client.run_hidden(task, **image) == EXIT_DELIVERED
    raised = with_source_lines(task.outcome(), SourceText()).raised
    shows(raised.traceback, client, "calls_helper", "the line in the electron")
    shows(raised.traceback, client, "helper", "the line in the helper")
    if sys.version_info >= (3, 11):
        assert "\n           ~~~~~^^^^^^^^^^^\nKeyError" in raised.traceback


def test_an_exception_in_a_class_of_the_script(client: Client, image: dict[str, str], make_task: Any) -> None:
    task = make_task(client.pickled("calls_method"))
    assert client.run_hidden(task, **image) == EXIT_DELIVERED
    raised = with_source_lines(task.outcome(), SourceText()).raised
    shows(raised.traceback, client, "fit", "the line in the method")
    shows(raised.traceback, client, "helper", "the line in the helper")


def test_an_exception_in_a_helper_of_an_item(
    client: Client, image: dict[str, str], make_task: Any, tmp_path: Path
) -> None:
    task = make_task(client.pickled("calls_helper"), [7], call={"map": Map(items=1)})
    assert client.run_hidden(task, **image) == EXIT_DELIVERED
    identity, store = task.identity, ValueStore(str(tmp_path))
    data = io.BytesIO(task.object(outcome_name(identity.folder)))
    report = report_with_source_lines(read_task(data, identity.task(0, 0), store), SourceText())
    raised = report.items[0].raised
    store.close()
    assert raised is not None
    shows(raised.traceback, client, "calls_helper", "the line in the electron")
    shows(raised.traceback, client, "helper", "the line in the helper")


def test_the_stack_at_the_time_limit(client: Client, image: dict[str, str], make_task: Any) -> None:
    task = make_task(client.pickled("calls_waits"), settings={"time_limit": 4})
    assert client.run_hidden(task, **image) == EXIT_DELIVERED
    outcome = with_source_lines(task.outcome(), SourceText())
    assert outcome.reason == "time_limit"
    shows(outcome.stderr, client, "waits", "the line that waits", comma="")
    shows(outcome.stderr, client, "calls_waits", "    waits(item)", comma="")


def test_the_stack_of_a_segmentation_fault(client: Client, image: dict[str, str], make_task: Any) -> None:
    task = make_task(client.pickled("calls_crashes"))
    assert client.run_hidden(task, **image) == EXIT_DELIVERED
    outcome = with_source_lines(task.outcome(), SourceText())
    assert outcome.signal == 11
    shows(outcome.stderr, client, "crashes", "the line that crashes", comma="")
    shows(outcome.stderr, client, "calls_crashes", "    crashes(item)", comma="")


@pytest.mark.parametrize("name", ["calls_helper", "calls_waits", "calls_crashes"])
def test_an_electron_without_a_file_shows_its_own_text(
    client: Client, image: dict[str, str], make_task: Any, name: str
) -> None:
    task = make_task(client.pickled_without_file(name), settings={"time_limit": 4})
    assert task.run(**image).status == EXIT_DELIVERED
    # Covalent keeps the function's text.
    lines = SCRIPT.splitlines()
    first = lines.index(next(line for line in lines if line.startswith(f"def {name}(")))
    outcome = with_source_lines(task.outcome(), SourceText("\n".join(lines[first : first + 3])))
    text = outcome.raised.traceback if outcome.raised is not None else outcome.stderr
    call = next(line for line in lines[first:] if line.startswith("    ") and "(item)" in line)
    assert f"line {lines.index(call) + 1}" in text
    assert f"in {name}\n    {call.strip()}\n" in text
    assert " in helper\n" in text or " in waits\n" in text or " in crashes\n" in text


def test_a_pickle_that_the_images_cloudpickle_cannot_read_is_refused_with_both_versions(
    cloudpickles: Mapping[str, Path], make_task: Any, tmp_path: Path
) -> None:
    function = Client(tmp_path, cloudpickles["3.1.3"]).pickled("calls_helper")
    task = make_task(function, call={"cloudpickle": "3.1.3"})
    task.run(PYTHONPATH=os.pathsep.join((str(cloudpickles[OLD_VERSION]), PACKAGE)))
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (REFUSED, "cloudpickle")
    assert "cloudpickle 3.1.3" in outcome.message and "cloudpickle 2.2.1" in outcome.message
    assert "pip install cloudpickle==3.1.3" in outcome.message


def test_a_value_refers_to_cloudpickle_as_it_is(
    cloudpickles: Mapping[str, Path], make_task: Any, tmp_path: Path
) -> None:
    """What the runner does so that functions know their files is in no pickle that it makes."""
    client = Client(tmp_path, cloudpickles["3.1.3"])
    task = make_task(client.pickled("returns_helper"))
    task.run(PYTHONPATH=os.pathsep.join((str(cloudpickles["3.1.3"]), PACKAGE)))
    pickle = bytes(task.outcome().pickle)
    assert b"_function_setstate" in pickle
    assert b"code_files" not in pickle
    assert cloudpickle.loads(pickle)({"missing": 0}.get) is not None
