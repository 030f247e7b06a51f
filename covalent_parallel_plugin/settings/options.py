"""Every option once: name, unit, default, rule and help; the executor, the docs and the command line read it here.

Where a value comes from: the constructor, else `[executors.gcpbatch]` in Covalent's configuration file, else the
default. `None` and the empty string mean "not given"; 0 and False are values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any, cast

from ..errors import SettingsError, without_passwords
from ..protocol.value_text import Limits, shortened, type_name
from . import container_rules as containers
from . import disk_types, machine_names, quantities
from . import machine_limits as limits
from . import machine_rules as machines
from . import validators as rules
from .container_rules import stock_image
from .validators import Rule

SECTION = "executors.gcpbatch"
# More of a wrong value than this helps nobody
SHOWN = Limits(characters=2000, entries=2000, depth=40, text=2000)
# Batch refuses jobs that are longer; rules are to take no time for what cannot be meant
LONGEST_TEXT = 2**20
# No bucket keeps a value for longer
MOST_CACHE_SECONDS = 100 * 365 * 24 * 3600


@dataclass(frozen=True)
class Option:
    """What is known of one option beside its type: the rule its values follow, their unit, and a line of help."""

    name: str
    rule: Rule
    unit: str
    default: object
    help: str
    required: bool


def _option(default: object, rule: Rule, help: str, unit: str = "", required: bool = False) -> Any:
    metadata = {"rule": rule, "unit": unit, "help": help, "required": required}
    if isinstance(default, (dict, list)):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


class FrozenDict(dict[str, str]):
    """A dict that nobody changes, so that it can be hashed."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(frozenset(self.items()))


@dataclass(frozen=True)
class Settings:
    """The options of one electron, checked; hashable, so lists become tuples.

    The first eleven stand in the order in which the replaced plugin's constructor takes them.
    """

    bucket_name: str = _option(
        "", rules.bucket_name, "bucket that holds calls and outcomes on their way", required=True
    )
    container_image_uri: str = _option(
        "", rules.image_uri, f"image the electron runs in; empty: {stock_image('X.Y')} of the dispatching Python"
    )
    service_account_email: str = _option(
        "",
        rules.service_account_email,
        "identity of the job's machines; empty: the project's default for Compute Engine",
    )
    project_id: str = _option("", rules.project_id, "Google Cloud project that runs and pays", required=True)
    region: str = _option("us-east1", machines.region, "region of the jobs")
    vcpus: float = _option(
        2, rules.number(above=0, most=limits.MOST_VCPUS), "virtual CPUs per electron, fractions allowed", "vCPU"
    )
    memory: int = _option(512, quantities.size("MB", least=1), "memory per electron", "MB")
    time_limit: float = _option(
        300,
        quantities.seconds(above=0, most=rules.MAX_TIME_LIMIT_SECONDS),
        "longest run of one attempt, queue excluded",
        "s",
    )
    poll_freq: float = _option(5, quantities.seconds(above=0, most=3600), "pause between two looks at the job", "s")
    retries: int = _option(
        3,
        rules.whole_number(least=0, most=rules.MAX_RETRIES),
        "new attempts of what never reported back (preempted, machine lost); the electron's own exceptions are final",
    )
    cache_dir: str = _option("/tmp/covalent", rules.text, "folder for large values on their way; nothing stays there")
    machine_type: str = _option(
        "",
        machine_names.machine_type,
        "Compute Engine machine type; empty: Batch chooses. A map's tasks share machines of a named type, as many at a"
        " time as `vcpus` and `memory` let fit",
    )
    gpu_type: str = _option("", machine_names.gpu_type, "accelerator, such as nvidia-tesla-t4; drivers are installed")
    gpu_count: int | None = _option(
        None, rules.whole_number(least=0, most=16), "accelerators per machine; not given: 1 where gpu_type is"
    )
    spot: bool = _option(False, rules.truth, "Spot machines: cheaper, and taken away at times (see retries)")
    spot_fallback: bool = _option(
        False, rules.truth, "once more on a standard machine when all attempts on Spot machines were lost (with spot)"
    )
    provisioning: str = _option(
        "",
        machines.provisioning,
        "how machines are had: FLEX_START (cheaper, once there is capacity), or by a reservation; empty: as they come",
    )
    boot_disk_gb: int = _option(
        30, quantities.size("GB", least=10, most=65536), "boot disk of the machine, which also holds the image", "GB"
    )
    boot_disk_type: str = _option("", disk_types.boot_disk_type, "type of the boot disk; empty: Batch chooses")
    local_ssd_gb: int = _option(
        0,
        machines.local_ssd_gb,
        "local SSDs, seen as one folder, /mnt/disks/local-ssd; emptied with the machine",
        "GB",
    )
    zones: Sequence[str] = _option([], machines.zones, "zones of `region` to take machines from; empty: all of them")
    network: str = _option("", machines.network, "VPC network of the machines; empty: the project's default")
    subnetwork: str = _option("", machines.subnetwork, "subnetwork of the machines, in `region`")
    external_ip: bool = _option(
        True, rules.truth, "whether the machines have addresses on the internet; False needs network and subnetwork"
    )
    labels: Mapping[str, str] = _option({}, rules.labels, "labels of the job and its machines, for cost reports")
    environment: Mapping[str, str] = _option(
        {}, rules.environment, "environment variables of the electron, readable by whoever may view the job"
    )
    secrets: Mapping[str, str] = _option(
        {}, containers.secrets, "environment variables whose values Secret Manager holds; the job shows the names only"
    )
    volumes: Mapping[str, str] = _option(
        {}, containers.volumes, "buckets and NFS exports as folders: NAME is seen at /mnt/disks/NAME"
    )
    container_options: str = _option("", containers.container_options, "further options of `docker run`")
    registry_username: str = _option(
        "", containers.username, "user of a private registry (Artifact Registry needs none); with registry_password"
    )
    registry_password: str = _option("", containers.secret, "secret of Secret Manager that holds this user's password")
    requirements: Sequence[str] = _option(
        [], containers.requirements, "packages that pip installs in the container before the electron runs"
    )
    priority: int = _option(
        0, rules.whole_number(least=0, most=rules.MAX_PRIORITY), "jobs of higher priority are scheduled first"
    )
    max_parallel: int = _option(
        16, rules.whole_number(least=1, most=rules.MAX_PARALLEL), "tasks of one job that run at a time"
    )
    retry_exceptions: bool = _option(
        False, rules.truth, "let `retries` also count for electrons that raise, crash or are killed"
    )
    queue_limit: float = _option(
        86400,
        quantities.seconds(above=0, most=rules.MAX_QUEUE_SECONDS),
        "longest wait for a machine before giving up",
        "s",
    )
    service_nodes: str = _option(
        "local",
        rules.service_nodes,
        "where Covalent's own small nodes run (lists, dicts, items, attributes, arithmetic, postprocess): `local`, in a"
        " process beside Covalent's server, where an item, an attribute, a sum or the final result unpickles what a"
        " container wrote, as the server's user; or `batch`, each on a machine of its own",
    )
    keep_objects: bool = _option(False, rules.truth, "leave the call and the outcome in the bucket afterwards")
    live_output: bool = _option(
        True, rules.truth, "deliver output while the electron runs, from its tenth second on (`covalent-parallel logs`)"
    )
    own_modules: bool = _option(
        True,
        rules.truth,
        "bring along what the electron imports from the folder of the script or notebook, or from an editable install",
    )
    trace: bool = _option(
        True, rules.truth, "record what a dispatch did, with times and machines, in a file beside Covalent's server"
    )
    trace_days: int = _option(
        60, rules.whole_number(least=1, most=36500), "days after which a trace is deleted", "days"
    )
    max_machine_hours: float | None = _option(
        None,
        rules.number(above=0, most=1e9),
        "most hours that all machines of a dispatch together may run; past it its jobs are cancelled, and its electrons"
        " fail with BudgetError; not given: no limit",
        "h",
    )
    cache: bool | float = _option(
        False,
        quantities.truth_or_seconds(above=0, most=MOST_CACHE_SECONDS),
        "take the value of an equal electron (same code, inputs and environment) from the bucket, without a job; True,"
        " or how old a value may be at most",
        "s",
    )
    cache_version: str = _option(
        "", rules.text, "any text; another one makes values in the cache count no longer (with cache)"
    )
    checkpoint: bool = _option(
        False,
        rules.truth,
        "give the electron a folder, COVALENT_PARALLEL_CHECKPOINT, whose contents its next attempt finds as well",
    )

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if isinstance(value, list):
                self.__dict__[name] = tuple(value)
            elif isinstance(value, dict):
                self.__dict__[name] = FrozenDict(value)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(self.__dict__.values()))

    @property
    def parent(self) -> str:
        """The jobs' parent in the Batch API."""
        return f"projects/{self.project_id}/locations/{self.region}"

    @property
    def grace_seconds(self) -> int:
        """How long after `time_limit` Batch ends the task."""
        return _grace_seconds(self.checkpoint)

    @property
    def mounted_volumes(self) -> list[containers.Volume]:
        """The volumes, read."""
        return [containers.volume(name, source) for name, source in self.volumes.items()]

    @property
    def accelerators(self) -> int:
        """Accelerators to ask for, with `gpu_count` not given understood."""
        if self.gpu_count is None:
            return 1 if self.gpu_type else 0
        return self.gpu_count

    @property
    def needs_gpu_drivers(self) -> bool:
        """Whether the machine has GPUs, attached or built in."""
        return self.accelerators > 0 or machines.has_built_in_gpus(self.machine_type)


OPTIONS: Mapping[str, Option] = {
    f.name: Option(
        name=f.name,
        rule=cast(Rule, f.metadata["rule"]),
        unit=f.metadata["unit"],
        default=f.default if f.default is not MISSING else cast(Any, f.default_factory)(),
        help=f.metadata["help"],
        required=f.metadata["required"],
    )
    for f in fields(Settings)
}


def _grace_seconds(checkpoint: bool) -> int:
    return rules.GRACE_SECONDS + (rules.CHECKPOINT_SECONDS if checkpoint else 0)


def is_given(value: object) -> bool:
    """Whether a value is one, rather than "take it from elsewhere"."""
    return value is not None and not (issubclass(type(value), str) and value == "")


def resolve(given: Mapping[str, object], configured: Mapping[str, object]) -> dict[str, object]:
    """Every option's value: given, else configured, else the default; nothing is checked.

    A fallback from Spot machines that only the file wants goes with them.
    """
    values: dict[str, object] = {}
    for name, option in OPTIONS.items():
        candidates = (given.get(name), configured.get(name))
        values[name] = next((value for value in candidates if is_given(value)), option.default)
    if plain("spot", given.get("spot")) is False and not is_given(given.get("spot_fallback")):
        values["spot_fallback"] = False
    return values


def plain(name: str, value: object) -> object:
    """The value as its rule writes it (a number for "2"), or the value itself where the rule refuses it."""
    try:
        return apply_rule(name, value)
    except ValueError:
        return value


def apply_rule(name: str, value: object) -> Any:
    """The value as its rule writes it.

    Raises:
        ValueError: the rule refuses it, or the value's class raised something else; continues "option = value ...".
    """
    _refuse_long_text(value)
    try:
        return OPTIONS[name].rule(value)
    except ValueError:
        raise
    except RecursionError as error:
        raise ValueError("is nested too deeply: write it flat") from error
    except Exception as error:
        # Whatever the value's class does, such as a dict's that answers to every name
        raise ValueError(f"cannot be read, {type_name(value)} raised {type_name(error)}: use plain values") from error


def _refuse_long_text(value: object) -> None:
    kind = type(value)
    entries = (*value, *value.values()) if kind is dict else value if kind in (list, tuple) else (value,)  # type: ignore[attr-defined,misc]  # it has them
    for entry in entries:  # type: ignore[attr-defined]  # the same
        if type(entry) in (str, bytes) and len(entry) > LONGEST_TEXT:
            raise ValueError(f"holds {len(entry)} characters: use {LONGEST_TEXT} at most")


def mistakes_in(values: Mapping[str, object]) -> list[str]:
    """One sentence for each given value that its rule refuses, naming option, value and remedy."""
    mistakes = []
    for name, value in values.items():
        if is_given(value):
            try:
                apply_rule(name, value)
            except ValueError as error:
                unit = f" (in {OPTIONS[name].unit})" if OPTIONS[name].unit else ""
                mistakes.append(without_passwords(f"{name} = {shortened(value, limits=SHOWN)} {error}{unit}"))
    return mistakes


def in_python(name: str) -> str:
    """How an option is given in a program."""
    return f"pass GCPBatchExecutor({name}=...)"


def check(values: Mapping[str, object], way: Callable[[str], str] = in_python) -> Settings:
    """The settings made of resolved values; `way` says how the reader of the message gives an option that is missing.

    Raises:
        SettingsError: values that are wrong, missing or contradict each other, all of them in one message.
    """
    mistakes = mistakes_in(values)
    for option in OPTIONS.values():
        if option.required and not is_given(values.get(option.name)):
            mistakes.append(
                f"{option.name} is missing ({option.help}): {way(option.name)} or set it under"
                f" [{SECTION}] in Covalent's configuration file"
            )
    mistakes += contradictions(values)
    if mistakes:
        raise SettingsError(mistakes)
    checked = {
        name: option.rule(values[name]) if is_given(values.get(name)) else copy(option.default)
        for name, option in OPTIONS.items()
    }
    return Settings(**checked)  # type: ignore[arg-type]  # each rule returns its field's type


def contradictions(values: Mapping[str, object]) -> list[str]:
    """One sentence for each pair of options that cannot stand together; those with a value that is wrong by itself are
    left out, since only `mistakes_in` knows what is wrong there."""
    known: dict[str, Any] = {}
    wrong = set()
    for name, option in OPTIONS.items():
        value = values.get(name)
        try:
            known[name] = apply_rule(name, value) if is_given(value) else option.default
        except ValueError:
            known[name] = option.default
            wrong.add(name)
    found = [
        *machines.gpu_problems(known["machine_type"], known["gpu_type"], known["gpu_count"]),
        *limits.size_problems(known["machine_type"], known["vcpus"], known["memory"]),
        *limits.gpu_size_problems(
            known["machine_type"],
            known["gpu_type"],
            1 if known["gpu_count"] is None else known["gpu_count"],
            known["vcpus"],
            known["memory"],
        ),
        *machines.disk_problems(known["machine_type"], known["boot_disk_type"], known["local_ssd_gb"]),
        *machines.provisioning_problems(
            known["machine_type"],
            known["provisioning"],
            known["spot"],
            known["time_limit"],
            _grace_seconds(known["checkpoint"]),
        ),
        *_other_contradictions(known),
    ]
    return [problem for problem in found if wrong.isdisjoint(re.findall(r"\w+", problem))]


def _other_contradictions(known: Mapping[str, Any]) -> list[str]:
    found = []
    region, subnetwork = known["region"], known["subnetwork"]
    if known["spot_fallback"] and not known["spot"]:
        found.append("spot_fallback = True has no meaning without spot = True: set spot, or leave spot_fallback out")
    for zone in known["zones"]:
        if machines.region_of(zone) != region:
            # google.cloud.batch_v1.AllocationPolicy.LocationPolicy.allowed_locations
            found.append(f"zones = {known['zones']!r} holds {zone!r}, which is not in region = {region!r}: change one")
    if machines.subnetwork_region(subnetwork) not in ("", region):
        found.append(f"subnetwork = {subnetwork!r} is not in region = {region!r}: use one that is")
    zone = machines.reservation_zone(known["provisioning"])
    if zone and (machines.region_of(zone) != region or (known["zones"] and zone not in known["zones"])):
        where = f"zones = {known['zones']!r}" if machines.region_of(zone) == region else f"region = {region!r}"
        found.append(
            f"provisioning = {known['provisioning']!r} is in zone {zone!r}, which is not in {where}: change one"
        )
    missing = [name for name in ("network", "subnetwork") if not known[name]]
    if not known["external_ip"] and missing:
        # google.cloud.batch_v1.AllocationPolicy.NetworkInterface.no_external_ip_address
        found.append(
            f"external_ip = False needs {' and '.join(missing)}: name one from which Google can be reached"
            " (Private Google Access, or Cloud NAT)"
        )
    both = sorted(set(known["environment"]) & set(known["secrets"]))
    if both:
        found.append(f"environment and secrets both set {', '.join(both)}: leave it out in one of them")
    if bool(known["registry_username"]) != bool(known["registry_password"]):
        found.append("registry_username and registry_password need each other: set both, or none")
    return found
