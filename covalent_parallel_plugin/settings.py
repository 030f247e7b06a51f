"""Every option once: name, unit, default, rule and help; the executor, the docs and the command line read it here.

Where a value comes from: the constructor, else `[executors.gcpbatch]` in Covalent's configuration file, else the
default. `None` and the empty string mean "not given"; 0 and False are values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, cast

from . import rules
from .errors import SettingsError
from .rules import Rule

SECTION = "executors.gcpbatch"


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
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """The options of one electron, checked.

    The first eleven stand in the order in which the replaced plugin's constructor takes them.
    """

    bucket_name: str = _option(
        "", rules.bucket_name, "bucket that holds calls and outcomes on their way", required=True
    )
    container_image_uri: str = _option(
        "", rules.image_uri, "image the electron runs in; empty: python:X.Y-slim of the dispatching Python"
    )
    service_account_email: str = _option(
        "",
        rules.service_account_email,
        "identity of the job's machines; empty: the project's default for Compute Engine",
    )
    project_id: str = _option("", rules.project_id, "Google Cloud project that runs and pays", required=True)
    region: str = _option("us-east1", rules.region, "region of the jobs")
    vcpus: float = _option(2, rules.number(above=0, most=1000), "virtual CPUs per electron, fractions allowed", "vCPU")
    memory: int = _option(512, rules.whole_number(least=1), "memory per electron", "MB")
    time_limit: float = _option(
        300, rules.number(above=0, most=rules.MAX_TIME_LIMIT_SECONDS), "longest run of one attempt, queue excluded", "s"
    )
    poll_freq: float = _option(5, rules.number(above=0, most=3600), "pause between two looks at the job", "s")
    retries: int = _option(
        3,
        rules.whole_number(least=0, most=rules.MAX_RETRIES),
        "new attempts of what never reported back (preempted, machine lost); the electron's own exceptions are final",
    )
    cache_dir: str = _option("/tmp/covalent", rules.text, "folder for large payloads on their way, emptied afterwards")
    machine_type: str = _option("", rules.machine_type, "Compute Engine machine type; empty: Batch chooses")
    gpu_type: str = _option("", rules.gpu_type, "accelerator, such as nvidia-tesla-t4; drivers are installed")
    gpu_count: int | None = _option(
        None, rules.whole_number(least=0, most=16), "accelerators per machine; not given: 1 where gpu_type is"
    )
    spot: bool = _option(False, rules.truth, "Spot machines: cheaper, and taken away at times (see retries)")
    spot_fallback: bool = _option(
        False, rules.truth, "once more on a standard machine when all attempts on Spot machines were lost (with spot)"
    )
    boot_disk_gb: int = _option(
        30, rules.whole_number(least=10, most=65536), "boot disk of the machine, which also holds the image", "GB"
    )
    labels: Mapping[str, str] = _option({}, rules.labels, "labels of the job and its machines, for cost reports")
    environment: Mapping[str, str] = _option(
        {}, rules.environment, "environment variables of the electron, readable by whoever may view the job"
    )
    retry_exceptions: bool = _option(
        False, rules.truth, "let `retries` also count for electrons that raise, crash or are killed"
    )
    queue_limit: float = _option(
        86400, rules.number(above=0, most=rules.MAX_QUEUE_SECONDS), "longest wait for a machine before giving up", "s"
    )
    keep_objects: bool = _option(False, rules.truth, "leave the call and the outcome in the bucket afterwards")

    @property
    def parent(self) -> str:
        """The jobs' parent in the Batch API."""
        return f"projects/{self.project_id}/locations/{self.region}"

    @property
    def accelerators(self) -> int:
        """Accelerators to ask for, with `gpu_count` not given understood."""
        if self.gpu_count is None:
            return 1 if self.gpu_type else 0
        return self.gpu_count

    @property
    def needs_gpu_drivers(self) -> bool:
        """Whether the machine has GPUs, attached or built in."""
        return self.accelerators > 0 or rules.has_built_in_gpus(self.machine_type)


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


def is_given(value: object) -> bool:
    """Whether a value is one, rather than "take it from elsewhere"."""
    return value is not None and value != ""


def resolve(given: Mapping[str, object], configured: Mapping[str, object]) -> dict[str, object]:
    """Every option's value: given, else configured, else the default; nothing is checked."""
    values: dict[str, object] = {}
    for name, option in OPTIONS.items():
        candidates = (given.get(name), configured.get(name))
        values[name] = next((value for value in candidates if is_given(value)), option.default)
    return values


def plain(name: str, value: object) -> object:
    """The value as its rule writes it (a number for "2"), or the value itself where the rule refuses it."""
    try:
        return OPTIONS[name].rule(value)
    except ValueError:
        return value


def mistakes_in(values: Mapping[str, object]) -> list[str]:
    """One sentence for each given value that its rule refuses, naming option, value and remedy."""
    mistakes = []
    for name, value in values.items():
        if is_given(value):
            try:
                OPTIONS[name].rule(value)
            except ValueError as error:
                unit = f" (in {OPTIONS[name].unit})" if OPTIONS[name].unit else ""
                mistakes.append(f"{name} = {value!r} {error}{unit}")
    return mistakes


def check(values: Mapping[str, object]) -> Settings:
    """The settings made of resolved values.

    Raises:
        SettingsError: values that are wrong, missing or contradict each other, all of them in one message.
    """
    mistakes = mistakes_in(values)
    for option in OPTIONS.values():
        if option.required and not is_given(values.get(option.name)):
            mistakes.append(
                f"{option.name} is missing ({option.help}): pass GCPBatchExecutor({option.name}=...) or set it under"
                f" [{SECTION}] in Covalent's configuration file"
            )
    mistakes += contradictions(values)
    if mistakes:
        raise SettingsError(mistakes)
    checked = {
        name: option.rule(values[name]) if is_given(values.get(name)) else option.default
        for name, option in OPTIONS.items()
    }
    return Settings(**checked)  # type: ignore[arg-type]  # each rule returns its field's type


def contradictions(values: Mapping[str, object]) -> list[str]:
    """One sentence for each pair of options that cannot stand together."""
    gpu_type, gpu_count, machine_type = (values.get(name) for name in ("gpu_type", "gpu_count", "machine_type"))
    machine = str(machine_type or "")
    built_in = rules.has_built_in_gpus(machine)
    found = []
    spot, fallback = (plain(name, values.get(name)) for name in ("spot", "spot_fallback"))
    if fallback is True and spot is not True:
        found.append("spot_fallback = True has no meaning without spot = True: set spot, or leave spot_fallback out")
    if is_given(gpu_type) and gpu_count == 0 and gpu_count is not False:
        found.append(f"gpu_count = 0 contradicts gpu_type = {gpu_type!r}: leave one of the two out")
    if is_given(gpu_count) and gpu_count != 0 and not is_given(gpu_type) and not built_in:
        found.append(f"gpu_count = {gpu_count!r} needs gpu_type: name the accelerator, such as nvidia-tesla-t4")
    if is_given(gpu_type) and built_in:
        found.append(
            f"gpu_type = {gpu_type!r} contradicts machine_type = {machine!r}, whose GPUs are built in:"
            " leave gpu_type and gpu_count out"
        )
    elif is_given(gpu_type) and machine and not machine.startswith(("n1-", "custom-")):
        found.append(
            f"gpu_type = {gpu_type!r} cannot be attached to machine_type = {machine!r}: only N1 machines"
            " (n1-standard-4, ...) take accelerators; others bring theirs (g2-, a2-, a3-)"
        )
    return found


def nearest(name: str, names: Iterable[str] = OPTIONS) -> str | None:
    """The option that a mistyped name most likely means."""
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return matches[0] if matches else None
