"""What a machine type's name tells, against Compute Engine's tables of machine types (machine_types.csv).

https://cloud.google.com/compute/docs/machine-resource and its pages for each family
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from google.cloud import batch_v1
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin import settings
from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.electron.electron_job import electron_job
from covalent_parallel_plugin.emulator.project import defaults as known_defaults
from covalent_parallel_plugin.emulator.project.machine_types import vcpus_of
from covalent_parallel_plugin.protocol.identity import CallIdentity
from covalent_parallel_plugin.settings.machine_sizes import MachineSize, machine_size, tasks_per_machine

with (Path(__file__).parent / "machine_types.csv").open() as table:
    SIZES = {row["machine_type"]: (int(row["vcpus"]), int(row["memory_mib"])) for row in csv.DictReader(table)}
CALL = Call("d", 0, "train", "3.11.7", "0.240.0")
IDENTITY = CallIdentity("0123456789abcdef", bytes(32), CALL.folder("0123456789abcdef"))


def group(tasks: int = 1, **options: Any) -> batch_v1.TaskGroup:
    values = settings.resolve({"bucket_name": "some-bucket", "project_id": "my-project", **options}, {})
    return electron_job(settings.check(values), CALL, IDENTITY, tasks).task_groups[0]


@pytest.mark.parametrize("machine", SIZES)
def test_the_name_tells_vcpus_and_memory(machine: str) -> None:
    assert machine_size(machine) == MachineSize(*SIZES[machine])


@pytest.mark.parametrize("machine", SIZES)
def test_the_emulator_reads_the_same_off_it(machine: str) -> None:
    assert vcpus_of(machine) in (None, SIZES[machine][0])
    assert known_defaults.machine_size(machine) in (None, SIZES[machine])


@pytest.mark.parametrize("machine", ["x9-standard-8", "n2-something-8", "x4-megamem-8-metal", "c2-highcpu-8"])
def test_memory_that_the_name_does_not_tell_is_the_least_of_any_family(machine: str) -> None:
    assert machine_size(machine) == MachineSize(8, 7 * 1024)
    whole_cores = [size for name, size in SIZES.items() if "custom" not in name and re.search(r"-\d+", name)]
    assert min(memory / vcpus for vcpus, memory in whole_cores) > 7 * 1024 / 8


@pytest.mark.parametrize("machine", ["something", "a2-highgpu-1g", "x4-480-8t-metal", "n2-standard", ""])
def test_a_name_that_does_not_tell_its_vcpus_tells_nothing(machine: str) -> None:
    assert machine_size(machine) is None
    assert tasks_per_machine(machine, 1, 1) == 1


@pytest.mark.parametrize("machine", SIZES)
def test_every_type_of_the_tables_is_a_name_and_holds_a_task_of_its_size(machine: str) -> None:
    vcpus, memory = SIZES[machine]
    assert settings.OPTIONS["machine_type"].rule(machine) == machine
    asked = {"machine_type": machine, "vcpus": vcpus, "memory": memory}
    assert settings.contradictions(settings.resolve(asked, {})) == []
    too_large = {**asked, "memory": memory + 1}
    assert len(settings.contradictions(settings.resolve(too_large, {}))) == 1


@given(st.sampled_from(sorted(SIZES)), st.integers(1, 500_000), st.integers(1, 12_000_000))
def test_as_many_tasks_share_a_machine_as_fit_and_no_more(machine: str, cpu_milli: int, memory_mib: int) -> None:
    vcpus, memory = SIZES[machine]
    tasks = tasks_per_machine(machine, cpu_milli, memory_mib)

    def fit(number: int) -> bool:
        return number * cpu_milli <= vcpus * 1000 and number * memory_mib <= memory

    assert 1 <= tasks <= 20
    assert fit(tasks) or tasks == 1
    assert tasks == 20 or not fit(tasks + 1)


@pytest.mark.parametrize(
    ("options", "tasks"),
    [
        ({}, 1),
        ({"vcpus": 0.25}, 1),
        ({"machine_type": "n2-standard-8"}, 4),
        ({"machine_type": "n2-standard-8", "vcpus": 1}, 8),
        ({"machine_type": "n2-standard-8", "vcpus": 1, "memory": 8192}, 4),
        ({"machine_type": "n2-standard-8", "vcpus": 0.5, "memory": 1024}, 16),
        ({"machine_type": "n2-standard-8", "vcpus": 8, "memory": 32768}, 1),
        ({"machine_type": "n2-highcpu-8", "vcpus": 1, "memory": 2048}, 4),
        ({"machine_type": "n1-highcpu-96", "vcpus": 1, "memory": 4000}, 20),
        ({"machine_type": "n2-standard-96", "vcpus": 1}, 20),
        ({"machine_type": "e2-micro", "vcpus": 0.25}, 2),
        ({"machine_type": "x9-standard-8", "vcpus": 1, "memory": 3584}, 2),
        ({"machine_type": "x4-480-8t-metal"}, 1),
        ({"machine_type": "n1-standard-32", "gpu_type": "nvidia-tesla-t4"}, 1),
        ({"machine_type": "g2-standard-96"}, 1),
        ({"machine_type": "a2-highgpu-8g"}, 1),
    ],
)
@pytest.mark.parametrize("count", [1, 5000])
def test_every_job_says_how_many_of_its_tasks_share_a_machine(options: dict[str, Any], tasks: int, count: int) -> None:
    assert group(count, **options).task_count_per_node == tasks
