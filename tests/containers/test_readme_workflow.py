"""The replaced plugin's README: its workflow and its configuration, in containers of a stock image and of our own.

Changed are the versions of the two packages, of which the ones there exist for no Python that Covalent runs on, and the
image's name, which is not a legal one.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.emulator import ContainerRuntime, Emulator

pytestmark = pytest.mark.containers

CLIENT_SECONDS = 400
BUCKET = "covalent-storage-bucket"

WORKFLOW = """
import json
import sys

from numpy.random import permutation
from sklearn import svm, datasets
import covalent as ct

deps_pip = ct.DepsPip(packages=["numpy==%(numpy)s", "scikit-learn==%(sklearn)s"])

%(executor)s

@ct.electron(executor=executor, deps_pip=deps_pip)
def train_svm(data, C, gamma):
    X, y = data
    clf = svm.SVC(C=C, gamma=gamma)
    clf.fit(X[90:], y[90:])
    return clf

@ct.electron
def load_data():
    iris = datasets.load_iris()
    perm = permutation(iris.target.size)
    iris.data = iris.data[perm]
    iris.target = iris.target[perm]
    return iris.data, iris.target

@ct.electron
def score_svm(data, clf):
    X_test, y_test = data
    return clf.score(X_test[:90], y_test[:90])

@ct.lattice
def run_experiment(C=1.0, gamma=0.7):
    data = load_data()
    clf = train_svm(data=data, C=C, gamma=gamma)
    return score_svm(data=data, clf=clf)

if __name__ == "__main__":
    dispatch_id = ct.dispatch(run_experiment)(C=1.0, gamma=0.7)
    result = ct.get_result(dispatch_id, wait=True)
    with open(sys.argv[1], "w") as file:
        streams = {node["node_name"]: node["stderr"] for node in result.get_all_node_results()}
        score = result.result if str(result.status) == "COMPLETED" else None
        json.dump([str(result.status), score, streams], file)
"""
CONSTRUCTED = """
executor = ct.executor.GCPBatchExecutor(
    project_id='covalent_gcp_batch',
    region='us-east1',
    bucket_name='covalent-storage-bucket',
    container_image_uri='%(image)s',
    service_account_email='covalentsaaccount@covalenttesting.iam.gserviceaccount.com',
    vcpus = 2,  # Number of vCPUs to allocate
    memory = 512,  # Memory in MB to allocate
    time_limit = 300,  # Time limit of job in seconds
    poll_freq = 3,  # Number of seconds to pause before polling for the job's status
  )
"""
CONFIGURED = 'executor = "gcpbatch"'


@pytest.fixture(scope="module")
def google(image: str, engine: str) -> Iterator[Emulator]:
    with Emulator(buckets=(BUCKET,), runtime=ContainerRuntime(engine)) as running:
        yield running


@pytest.fixture(scope="module")
def server(
    google: Emulator, own_python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateCovalentServer]:
    # What the replaced plugin writes into Covalent's file, with its own defaults, and the README's values
    section = {
        "bucket_name": BUCKET,
        "project_id": "covalent_gcp_batch",
        "container_image_uri": own_python,
        "service_account_email": "covalentsaaccount@covalenttesting.iam.gserviceaccount.com",
        "region": "us-east1",
        "vcpus": 2,
        "memory": 512,
        "time_limit": 300,
        "poll_freq": 3,
        "retries": 3,
        "cache_dir": str(tmp_path_factory.mktemp("cache")),
    }
    home = tmp_path_factory.mktemp("covalent")
    with PrivateCovalentServer(home, google.environment, configuration={"executors.gcpbatch": section}) as running:
        yield running


def run(server: PrivateCovalentServer, executor: str, folder: Path) -> None:
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "scikit-learn")}
    source = WORKFLOW % {"executor": executor, "numpy": versions["numpy"], "sklearn": versions["scikit-learn"]}
    script, answer = folder / "workflow.py", folder / "answer.json"
    script.write_text(source)
    client = subprocess.run(
        [sys.executable, str(script), str(answer)],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert answer.exists(), (client.stdout, client.stderr, server.log_tail())
    status, score, streams = json.loads(answer.read_text())
    assert status == "COMPLETED", streams
    assert score > 0.8


def test_it_runs_in_a_stock_image_without_any_build(
    server: PrivateCovalentServer, own_python: str, tmp_path: Path
) -> None:
    run(server, CONSTRUCTED % {"image": own_python}, tmp_path)


def test_it_runs_in_the_image_that_the_configuration_names(server: PrivateCovalentServer, tmp_path: Path) -> None:
    run(server, CONFIGURED, tmp_path)


def test_it_runs_in_the_plugins_own_image(server: PrivateCovalentServer, runner_image: str, tmp_path: Path) -> None:
    run(server, CONSTRUCTED % {"image": runner_image}, tmp_path)


def test_nothing_is_left_in_the_bucket(server: PrivateCovalentServer, google: Emulator) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    assert google.storage is not None
    client = storage.Client(
        project="local", credentials=AnonymousCredentials(), client_options={"api_endpoint": google.storage.address}
    )

    def left() -> list[str]:
        names = [blob.name for blob in client.list_blobs(BUCKET)]
        return [name for name in names if not name.startswith("covalent-parallel-runner/")]

    # Of what returned it is deleted some seconds later
    until = time.monotonic() + 60
    while left() and time.monotonic() < until:
        time.sleep(0.2)
    assert left() == []
