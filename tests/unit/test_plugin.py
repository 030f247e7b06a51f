"""Covalent's contract for an executor plugin; each in a process whose configuration is its own."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin import gcpbatch, grid, pmap, settings
from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor

REPLACED_ORDER = [
    "bucket_name",
    "container_image_uri",
    "service_account_email",
    "project_id",
    "region",
    "vcpus",
    "memory",
    "time_limit",
    "poll_freq",
    "retries",
    "cache_dir",
]
OF_THE_REPLACED_PLUGIN = """
[executors.gcpbatch]
bucket_name = ""
container_image_uri = ""
service_account_email = ""
project_id = ""
region = ""
vcpus = 2
memory = 512
time_limit = 300.0
poll_freq = 5
retries = 3
cache_dir = "/tmp/covalent"
prefix = ""
credentials_file = ""
"""
# One value for each option, none of them the default
OTHER_VALUES: dict[str, Any] = {
    "bucket_name": "some-bucket",
    "container_image_uri": "python:3.12-slim",
    "service_account_email": "a@p.iam.gserviceaccount.com",
    "project_id": "my-project",
    "region": "europe-west4",
    "vcpus": 0.5,
    "memory": 2048,
    "time_limit": 1.5,
    "poll_freq": 0.25,
    "retries": 0,
    "cache_dir": "/elsewhere",
    "machine_type": "n1-standard-4",
    "gpu_type": "nvidia-tesla-t4",
    "gpu_count": 2,
    "spot": True,
    "spot_fallback": True,
    "provisioning": "RESERVATION:mine",
    "boot_disk_gb": 50,
    "boot_disk_type": "pd-ssd",
    "local_ssd_gb": 375,
    "zones": ["europe-west4-a"],
    "network": "global/networks/inner",
    "subnetwork": "inner",
    "external_ip": False,
    "labels": {"team": "blue"},
    "environment": {"COLOUR": "red"},
    "secrets": {"TOKEN": "token:2"},
    "volumes": {"data": "gs://some-data:rw"},
    "container_options": "--shm-size=1g",
    "registry_username": "us",
    "registry_password": "hub",
    "requirements": ["scikit-learn"],
    "priority": 7,
    "max_parallel": 50,
    "retry_exceptions": True,
    "queue_limit": 60.5,
    "service_nodes": "batch",
    "keep_objects": True,
    "live_output": False,
    "own_modules": False,
    "trace": False,
    "trace_days": 7,
    "max_machine_hours": 1.5,
    "cache": 3600,
    "cache_version": "2",
    "checkpoint": True,
}


NEEDED_BESIDE = {
    "gpu_count": ["gpu_type"],
    "spot_fallback": ["spot"],
    "provisioning": ["machine_type"],
    "local_ssd_gb": ["machine_type"],
    "zones": ["region"],
    "external_ip": ["network", "subnetwork"],
    "registry_username": ["registry_password"],
    "registry_password": ["registry_username"],
}


@pytest.fixture
def covalent_process(tmp_path: Path) -> Callable[..., Any]:
    """Run code after `import covalent as ct`, with a configuration file; it sets `answer`, which is JSON."""

    def run(code: str, configuration: str = "") -> Any:
        folder = tmp_path / "covalent"
        folder.mkdir(exist_ok=True)
        if configuration:
            (folder / "covalent.conf").write_text(configuration)
        program = (
            "import json, warnings\n"
            "warnings.simplefilter('ignore')\n"
            "import covalent as ct\n"
            "warnings.simplefilter('always')\n"
            "with warnings.catch_warnings(record=True) as caught:\n"
            + "".join(f"    {line}\n" for line in code.splitlines())
            + "print(json.dumps([answer, [str(w.message) for w in caught]]))\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COVALENT_CONFIG_DIR": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    return run


def test_the_entry_point_is_registered() -> None:
    (entry,) = metadata.entry_points(group="covalent.executor.executor_plugins", name="gcpbatch")
    assert entry.value == "covalent_parallel_plugin.gcpbatch"


def test_the_plugins_name_is_a_class_of_that_module() -> None:
    plugin = getattr(gcpbatch, gcpbatch.EXECUTOR_PLUGIN_NAME)
    assert plugin is GCPBatchExecutor
    assert plugin.__module__ == gcpbatch.__name__


def parameters() -> list[str]:
    kinds = inspect.signature(GCPBatchExecutor).parameters.values()
    return [parameter.name for parameter in kinds if parameter.kind is not parameter.VAR_KEYWORD]


def test_defaults_parameters_and_options_are_the_same_names() -> None:
    assert list(gcpbatch._EXECUTOR_PLUGIN_DEFAULTS) == parameters() == list(settings.OPTIONS) == list(OTHER_VALUES)


def test_no_default_is_frozen_into_a_file() -> None:
    assert all(not settings.is_given(value) for value in gcpbatch._EXECUTOR_PLUGIN_DEFAULTS.values())


def test_the_first_eleven_stand_in_the_replaced_plugins_order() -> None:
    assert parameters()[:11] == REPLACED_ORDER


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_every_option_survives_the_way_through_json(name: str) -> None:
    needs = NEEDED_BESIDE.get(name, [])
    given = {key: OTHER_VALUES[key] for key in (name, *needs)}
    executor = GCPBatchExecutor(**given)
    copy = GCPBatchExecutor().from_dict(json.loads(json.dumps(executor.to_dict())))
    assert getattr(copy, name) == getattr(executor, name) == OTHER_VALUES[name]
    assert vars(copy) == vars(executor)


def test_an_unknown_keyword_is_a_type_error_with_the_nearest_name() -> None:
    with pytest.raises(TypeError, match=r"no option 'bucket' .did you mean 'bucket_name'"):
        GCPBatchExecutor(bucket="x")


def test_all_unknown_keywords_are_told_at_once() -> None:
    with pytest.raises(TypeError, match=r"'memroy' .did you mean 'memory'.*'vcpu' .did you mean 'vcpus'"):
        GCPBatchExecutor(memroy=1, vcpu=2)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("return_exceptions", "an argument of pmap: @pmap(executor=GCPBatchExecutor(...), return_exceptions=...)"),
        ("call_before", "an argument of ct.electron and pmap: @ct.electron(call_before=...), @pmap(call_before=...)"),
    ],
)
def test_what_belongs_elsewhere_is_refused_with_its_place(name: str, place: str) -> None:
    with pytest.raises(TypeError) as caught:
        GCPBatchExecutor(**{name: True})
    assert str(caught.value) == f"GCPBatchExecutor has no option {name!r}, which is {place}"


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: GCPBatchExecutor(vcpus="two"),
        lambda: GCPBatchExecutor(vcpu=2),
        lambda: pmap(vcpus=2),
        lambda: pmap(len)(3),
        lambda: pmap(len).local("text"),
        lambda: grid(a="text"),
    ],
)
def test_the_traceback_of_a_mistake_ends_at_the_users_line(mistake: Callable[[], Any]) -> None:
    with pytest.raises((SettingsError, TypeError)) as caught:
        mistake()
    named = [frame for frame in caught.traceback if "covalent_parallel_plugin" in str(frame.path)]
    # Before Python 3.11 a frame that raises again is in the traceback
    assert len(named) == (sys.version_info < (3, 11))


def test_the_traceback_of_what_the_users_function_raises_is_whole() -> None:
    def raises(item: int) -> None:
        raise TypeError("mine")

    with pytest.raises(TypeError) as caught:
        pmap(raises).local([1])
    assert caught.traceback[-1].name == "raises"


def test_wrong_values_of_the_caller_are_refused_together() -> None:
    with pytest.raises(SettingsError) as caught:
        GCPBatchExecutor(memory=-1, bucket_name="Not Legal", vcpus="two")
    assert len(caught.value.mistakes) == 3


def test_contradictions_of_the_caller_are_refused() -> None:
    with pytest.raises(SettingsError, match="needs gpu_type"):
        GCPBatchExecutor(gpu_count=2)


def test_a_contradiction_within_the_file_is_told_when_an_electron_runs(covalent_process: Callable[..., Any]) -> None:
    code = """
answer = []
ct.executor.GCPBatchExecutor(vcpus=4)
for options in ({"region": "us-west1"}, {"network": "n"}):
    try:
        ct.executor.GCPBatchExecutor(**options)
    except ValueError as error:
        answer.append(str(error))
"""
    configuration = '[executors.gcpbatch]\nexternal_ip = false\nzones = ["us-east1-b"]\nregion = "us-east1"\n'
    (region, network), _ = covalent_process(code, configuration)
    assert "zones" in region
    assert "external_ip" not in region
    assert "external_ip = False needs subnetwork" in network


def test_a_fallback_without_spot_is_refused() -> None:
    with pytest.raises(SettingsError, match="no meaning without spot = True"):
        GCPBatchExecutor(spot_fallback=True)


def test_a_file_of_the_replaced_plugin_works_and_warns_once(covalent_process: Callable[..., Any]) -> None:
    code = (
        "from covalent.executor import _executor_manager as manager\n"
        "made = [manager.get_executor('gcpbatch') for _ in range(3)]\n"
        "answer = [made[2].vcpus, made[2].time_limit, made[2].region, made[2].bucket_name]"
    )
    answer, warned = covalent_process(code, OF_THE_REPLACED_PLUGIN)
    assert answer == [2, 300, "us-east1", ""]
    for key in ("prefix", "credentials_file"):
        assert sum(repr(key) in text for text in warned) == 1


def test_a_wrong_value_in_the_file_does_not_keep_covalent_from_starting(covalent_process: Callable[..., Any]) -> None:
    code = "from covalent.executor import _executor_manager as m\nanswer = str(m.get_executor('gcpbatch').memory)"
    answer, _ = covalent_process(code, "[executors.gcpbatch]\nmemory = -1\nvcpus = 'two'\n")
    assert answer == "-1"


def test_the_constructor_wins_over_the_file_and_the_file_over_the_default(covalent_process: Callable[..., Any]) -> None:
    code = (
        "executor = ct.executor.GCPBatchExecutor(memory=1024, retries=0)\n"
        "answer = [executor.memory, executor.retries, executor.region, executor.time_limit, executor.spot]"
    )
    file = '[executors.gcpbatch]\nmemory = 4096\nretries = 7\nregion = "europe-west4"\nspot = true\n'
    assert covalent_process(code, file)[0] == [1024, 0, "europe-west4", 300, True]


def test_false_wins_over_a_true_in_the_file(covalent_process: Callable[..., Any]) -> None:
    code = "answer = ct.executor.GCPBatchExecutor(spot=False).spot"
    assert covalent_process(code, "[executors.gcpbatch]\nspot = true\n")[0] is False


def test_an_unknown_keyword_is_refused_also_where_the_file_has_others(covalent_process: Callable[..., Any]) -> None:
    code = "try:\n    ct.executor.GCPBatchExecutor(vcpu=2)\nexcept TypeError as error:\n    answer = str(error)"
    assert "did you mean 'vcpus'" in covalent_process(code, OF_THE_REPLACED_PLUGIN)[0]


def test_the_file_that_covalent_writes_freezes_no_default(covalent_process: Callable[..., Any], tmp_path: Path) -> None:
    covalent_process("answer = 1")
    written = (tmp_path / "covalent" / "covalent.conf").read_text()
    section = written.split("[executors.gcpbatch]")[1].split("[", 1)[0]
    assert section.strip() == ""
