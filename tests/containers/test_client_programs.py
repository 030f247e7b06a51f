"""Programs that nobody here wrote, unchanged from the package index, on the emulator's Storage and Batch.

Each runs in an environment of its own, kept below XDG_CACHE_HOME. Their endpoint is set as their users set it: by
STORAGE_EMULATOR_HOST or a variable of their own, or by an argument; for Airflow, which has neither, by
`emulator_site/sitecustomize.py`. They start no containers, but need a package index, as container tests do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from base_image import cache_folder
from conftest import do_without
from program_environments import NotInstalled, program_environment

from covalent_parallel_plugin.emulator import Emulator

pytestmark = pytest.mark.containers

HERE = Path(__file__).parent
SECONDS = 300
# Else gcsfs asks for a bucket's layout over gRPC with TLS first, at the same address, and waits for that
GCSFS = {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
# One that names no credentials: "Google Cloud Connection" in the documentation of Airflow's provider
ANONYMOUS = '{"conn_type": "google_cloud_platform", "extra": {"is_anonymous": true}}'


@pytest.fixture(scope="module")
def local_emulator() -> Iterator[Emulator]:
    """An emulator whose tasks are processes."""
    with Emulator(buckets=("data",)) as made:
        yield made


def outcome(emulator: Emulator, folder: Path, program: str, *command: str, **variables: str) -> dict[str, Any]:
    """Run one of the client programs, and return the JSON object that it prints last."""
    ended = subprocess.run(
        [*command, str(HERE / "client_programs" / program)],
        cwd=folder,
        env=inherited() | emulator.environment | {"HOME": str(folder), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def inherited() -> dict[str, str]:
    """This process's environment without what would change another Python or name other services."""
    others = ("COVALENT", "PYTHON", "GOOGLE_", "GCLOUD_", "GCSFS_", "LITHOPS_", "AIRFLOW", "CLOUDSDK_")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}


def environment(*requirements: str) -> Path:
    """Return the folder of the programs of an environment with these packages."""
    try:
        return program_environment(*requirements) / "bin"
    except NotInstalled as error:
        do_without(str(error))
        raise


def test_gcsfs_with_fsspec_and_pandas(local_emulator: Emulator, tmp_path: Path) -> None:
    python = environment("gcsfs==2026.10.1", "pandas==3.1.1", "pyarrow==26.0.1") / "python"
    done = outcome(local_emulator, tmp_path, "gcsfs_files.py", str(python), **GCSFS)
    bucket = "gcsfs-files/"
    assert done["mv"] == [bucket + name for name in ("a/0.txt", "a/2.txt", "a/3.txt", "b/moved.txt")]
    assert done["mv of a folder"] == [bucket + name for name in ("b/moved.txt", "c/0.txt", "c/2.txt", "c/3.txt")]
    assert done["mv to another bucket"] == [False, 30]
    copied = [bucket + name for name in ("c/0.txt", "c/2.txt", "d/0.txt", "d/2.txt")]
    assert done["glob"] == [
        sorted([bucket + "b/moved.txt", *copied]),
        [bucket + "c/2.txt", bucket + "d/2.txt"],
        copied,
    ]
    assert done["ranges"] == ["89", "789", ["01", "56"]]
    assert done["kinds"] == [True, False, False]
    assert done["seek"] == ["aabb", 999_998, "ee"]
    assert (done["append"], done["exclusive"]) == ("third\n", "refused")
    assert done["attributes"] == ["text/csv", "1"]
    assert done["merge"] == 26
    assert done["transaction"] == [False, True]
    assert done["put"] == [bucket + "put/a b+c%20#é", bucket + "put/below/x"]
    assert done["get"] == {"a b+c%20#é": "1", "x": "22"}
    frame = {"a": [1, 2], "b": ["x", "y"]}
    assert (done["frame.csv"], done["frame.csv.gz"], done["frame.parquet"]) == (frame, frame, [1, 2])
    assert done["fsspec"] == "a,b\n1,x\n2,y\n"
    left = ("b", "d", "frame.parquet", "large", "merged", "transaction")
    assert done["rm"] == [bucket + name for name in left]
    assert done["rm of a bucket"] is False


def test_the_file_system_of_pyarrow(local_emulator: Emulator, tmp_path: Path) -> None:
    python = environment("pyarrow==26.0.1") / "python"
    address = local_emulator.environment["STORAGE_EMULATOR_HOST"]
    done = outcome(local_emulator, tmp_path, "arrow_files.py", str(python), CLOUD_STORAGE_EMULATOR_ENDPOINT=address)
    assert done["tree"] == [
        ["arrow-files/folder", "Directory", None],
        ["arrow-files/folder/a b+c%20#é", "File", 10],
        ["arrow-files/folder/below", "Directory", None],
        ["arrow-files/folder/empty", "File", 0],
        ["arrow-files/large", "File", 20 << 20],
    ]
    assert done["large"] == 20 << 20
    assert done["range"] == ["3456", 10, "89"]
    assert done["metadata"] == {"Content-Type": "text/plain", "metadata.k": "v"}
    assert done["kinds"] == ["Directory", "NotFound", "NotFound"]
    assert done["move"] == [["data/arrow/moved", "File", 20 << 20]]
    assert (done["parquet"], done["dataset"], done["address"]) == (1000, 1000, 1000)
    assert (done["deleted"], done["emptied"], done["bucket"]) == ("not found", [], "NotFound")


def test_zarr_and_dask_over_gcsfs(local_emulator: Emulator, tmp_path: Path) -> None:
    python = environment("zarr==3.1.6", "gcsfs==2026.10.1", "dask[array]==2026.8.0") / "python"
    done = outcome(local_emulator, tmp_path, "zarr_arrays.py", str(python), **GCSFS)
    assert (done["dask"], done["zarr"]) == (49_995_000, [10, "v", ["a"]])


def test_tensorstore(local_emulator: Emulator, tmp_path: Path) -> None:
    python = environment("tensorstore==0.1.86") / "python"
    address = local_emulator.environment["STORAGE_EMULATOR_HOST"]
    done = outcome(local_emulator, tmp_path, "tensorstore_arrays.py", str(python), TENSORSTORE_GCS_HTTP_URL=address)
    assert (done["conditional"], done["stale"], done["missing"]) == ("three", "", "missing")
    assert (done["keys"], done["left"]) == (["b/c"], ["b/c"])
    assert done["array"] == [49_995_000, [1005, 1105]]


def test_smart_open(local_emulator: Emulator, tmp_path: Path) -> None:
    python = environment("smart_open[gcs]==9.0.2") / "python"
    done = outcome(local_emulator, tmp_path, "smart_open_files.py", str(python), GOOGLE_CLOUD_PROJECT="local")
    lines = ["hé\n", "wo\n"]
    assert (done["plain"], done["text.gz"], done["text.bz2"]) == (lines, lines, lines)
    assert done["seek"] == [(3 << 20) - 2, "zzend"]
    assert done["described"] == ["text/plain", {"a": "b"}]
    assert done["broken"] is False
    assert done["names"] == [
        f"smart/{name}" for name in ("described", "empty", "large", "plain", "text.bz2", "text.gz")
    ]


def test_the_storage_backend_of_lithops(local_emulator: Emulator, tmp_path: Path) -> None:
    python = environment("lithops==3.8.0", "google-cloud-storage==3.17.1") / "python"
    done = outcome(local_emulator, tmp_path, "lithops_storage.py", str(python), GOOGLE_CLOUD_PROJECT="local")
    assert (done["whole"], done["range"], done["stream"]) == ("0123456789", "234", "file")
    assert (done["head"], done["head of the bucket"]) == (["text/plain", "4"], 200)
    assert done["list"] == [["a/bytes", 10], ["a/file", 4], ["a/text", 4]]
    assert (done["upload"], done["download"], done["downloaded"]) == (True, True, "uploaded")
    assert done["left"] == ["a/bytes"]
    assert done["missing"] == dict.fromkeys(("get", "head", "delete"), "no such key")


def test_the_batch_hooks_of_airflow(local_emulator: Emulator, tmp_path: Path) -> None:
    # pip takes many minutes for Airflow, and uv half of one; what it installs it keeps itself
    uv = environment("uv==0.13.9") / "uv"
    words = ("run", "--no-project", "--python", sys.executable, "--with", "apache-airflow-providers-google==22.8.0")
    done = outcome(
        local_emulator,
        tmp_path,
        "airflow_batch.py",
        str(uv),
        *words,
        "python",
        UV_CACHE_DIR=str(cache_folder() / "uv"),
        PYTHONPATH=str(HERE / "emulator_site"),
        AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT=ANONYMOUS,
    )
    assert (done["well"], done["asynchronous"], done["listed"]) == ("SUCCEEDED", "SUCCEEDED", True)
    assert done["tasks"] == ["SUCCEEDED", "SUCCEEDED"]
    assert "airflow-failing has failed" in done["failing"]
    assert done["deleted"]
    assert done["left"] == ["airflow-failing"]
    text = [record.text for record in local_emulator.logs.records()]
    assert sorted(line for line in text if line.startswith("task ")) == ["task 0", "task 1"]
