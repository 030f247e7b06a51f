"""What `sweep plan --check` asks Google: those of the doctor's checks that a sweep rests on, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from covalent_parallel_plugin.cli.doctor import report
from covalent_parallel_plugin.cli.doctor.check_runner import Check, Facts, check, run_checks
from covalent_parallel_plugin.cli.doctor.checks import account, bucket, credentials, image, machines, network, project
from covalent_parallel_plugin.cli.doctor.results import CheckResult, ok, warning
from covalent_parallel_plugin.cli.doctor.setup import Setup
from covalent_parallel_plugin.cloud.emulator_runtime import require_containers
from covalent_parallel_plugin.settings.config_file import read_config_file
from covalent_parallel_plugin.sweep.batch.image_pin import pin_batch_image
from covalent_parallel_plugin.sweep.batch.planned_job import machines_of

if TYPE_CHECKING:
    from google.cloud import batch_v1

    from covalent_parallel_plugin.sweep.sweep_file import SweepFile

_SUBJECTS = (credentials, project, bucket, machines, network, account)
# About electrons, or about one machine
_LEFT_OUT = (bucket.writable, bucket.lifecycle, machines.cpu_quota, machines.gpu_quota)


def run_sweep_checks(file: SweepFile, job: batch_v1.Job, environment: Mapping[str, str], is_error: bool) -> int:
    """Run the checks and print what they found, to standard error if `is_error`; return the exit status."""
    settings = replace(file.settings, container_image_uri=file.image, secrets=file.secrets)
    setup = Setup(environment, read_config_file(environment), {}, {}, {}, settings, (), frozenset())
    results = run_checks(_checks(file, machines_of(job)), setup)
    console = Console(highlight=False, soft_wrap=True, stderr=is_error)
    for line in report.lines(report.shown_results(results, is_all=True)):
        console.print(line)
    console.print(report.summary(results, is_all=True))
    return report.exit_status(results)


def _checks(file: SweepFile, count: int) -> list[Check]:
    found = [each for subject in _SUBJECTS for each in vars(subject).values() if isinstance(each, Check)]
    return [*(each for each in found if each not in _LEFT_OUT), *_own_checks(file, count), image.helper]


def _own_checks(file: SweepFile, count: int) -> list[Check]:
    @check("quota.cpus", "", "", needs=(machines.MACHINE,), facts_of=(machines.ZONES,))
    def cpu_quota(setup: Setup, facts: Facts) -> CheckResult:
        return machines.look_at_cpu_quota(setup.settings, facts, count)

    @check("quota.gpus", "", "", facts_of=(machines.ZONES,))
    def gpu_quota(setup: Setup, facts: Facts) -> CheckResult:
        return machines.look_at_gpu_quota(setup.settings, facts, count)

    @check(image.REACHABLE, "", "correct `image` in the sweep's file", seconds=image.IMAGE_SECONDS)
    def reachable(setup: Setup, facts: Facts) -> CheckResult:
        found = pin_batch_image(file, setup.environment)
        if found.pinned.digest == file.image:
            text = f"{file.image} cannot be read from here, and is taken as its name says"
            return warning(text, "see that the name is right, and that the machines may pull it")
        return ok(f"{file.image}, {found.pinned.digest}")

    @check("services.runtime", "", "start the emulator with `--runtime podman` or `--runtime docker`")
    def runtime(setup: Setup, facts: Facts) -> CheckResult:
        require_containers(setup.environment)
        return ok("tasks are containers")

    return [runtime, cpu_quota, gpu_quota, reachable]
