"""The options of an emulator, for each command that starts one, and the emulator that they ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from .. import missing_package
from ..exit_statuses import shown_error
from .options import read_exports, read_faults, read_images, read_known_file, read_secrets
from .taken_port import port_error

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator
    from covalent_parallel_plugin.emulator.model.job_summary import JobSummary
    from covalent_parallel_plugin.emulator.runtimes.choose import RuntimeChoice

F = TypeVar("F", bound=Callable[..., object])
DEFAULT_BUCKET = "covalent"

_OPTIONS = (
    click.option(
        "--bucket",
        "buckets",
        multiple=True,
        metavar="NAME",
        help=f"Bucket to make, repeatable [{DEFAULT_BUCKET}].",
    ),
    click.option(
        "--python",
        type=click.Path(path_type=Path),
        help="Python that tasks run on, with its packages [one of this version with the standard library and pip].",
    ),
    click.option(
        "--site-packages",
        is_flag=True,
        help="Let tasks see the packages that this command's own Python has, Covalent too; on Google they would not.",
    ),
    click.option(
        "--image",
        "images",
        multiple=True,
        metavar="URI=COMMAND",
        callback=read_images,
        help="Interpreter and default command that an image stands for, may be repeated.",
    ),
    click.option(
        "--runtime",
        "runtime_asked",
        # Emulator's own list is not imported for the help
        type=click.Choice(("auto", "podman", "docker", "process")),
        default="auto",
        help="What tasks run as: containers of podman or docker, or processes [auto: the first of these that works].",
    ),
    click.option(
        "--nfs",
        "exports",
        multiple=True,
        metavar="SERVER:/PATH=FOLDER",
        callback=read_exports,
        help="Folder that stands for an NFS export that tasks mount, may be repeated; for containers.",
    ),
    click.option(
        "--secrets-file",
        type=click.Path(path_type=Path),
        help="File of secrets, in lines projects/P/secrets/S/versions/V=VALUE.",
    ),
    click.option(
        "--secret",
        "secrets",
        multiple=True,
        metavar="NAME=VALUE",
        help="One secret, projects/P/secrets/S/versions/V=VALUE, may be repeated; others can see it.",
    ),
    click.option("--tasks", type=click.IntRange(1), help="Tasks that run at a time [the number of CPUs, at least 2]."),
    click.option(
        "--vms", type=click.IntRange(1), help="Model VMs: at most so many at a time, later jobs wait [no model]."
    ),
    click.option("--boot", type=click.FloatRange(0), help="Model VMs: seconds that one takes to boot."),
    click.option("--pull", type=click.FloatRange(0), help="Model VMs: seconds that each takes to pull the image."),
    click.option(
        "--faults",
        "faults_file",
        type=click.Path(path_type=Path),
        help="JSON file of what is to go wrong, see the docs.",
    ),
    click.option(
        "--fault",
        "fault_rules",
        multiple=True,
        metavar="RULE",
        help="One thing that is to go wrong, such as rpc:GetJob:UNAVAILABLE:rate=0.1; may be repeated.",
    ),
    click.option("--fault-seed", type=int, help="Seed of the faults' random numbers [the file's, else 0]."),
    click.option(
        "--known",
        "known_file",
        type=click.Path(path_type=Path),
        help="TOML file of what exists in the project, see the docs [what a well-made project has].",
    ),
    click.option(
        "--log-reads-per-minute", type=click.IntRange(0), help="Limit of Cloud Logging [none; Google's is 60]."
    ),
)


def emulator_options(command: F) -> F:
    """Give a command the options, which it hands to `EmulatorOptions` by name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class EmulatorOptions:
    """The values of the options, by the names of their parameters."""

    buckets: tuple[str, ...] = ()
    python: Path | None = None
    site_packages: bool = False
    images: Mapping[str, list[str]] = field(default_factory=dict)
    runtime_asked: str = "auto"
    exports: Mapping[str, Path] = field(default_factory=dict)
    secrets_file: Path | None = None
    secrets: tuple[str, ...] = ()
    tasks: int | None = None
    vms: int | None = None
    boot: float | None = None
    pull: float | None = None
    faults_file: Path | None = None
    fault_rules: tuple[str, ...] = ()
    fault_seed: int | None = None
    known_file: Path | None = None
    log_reads_per_minute: int | None = None

    @property
    def bucket(self) -> str:
        """The bucket to configure Covalent with."""
        return (self.buckets or (DEFAULT_BUCKET,))[0]

    def start(
        self,
        on_job_end: Callable[[JobSummary], None],
        storage_port: int = 0,
        batch_port: int = 0,
        logging_port: int = 0,
    ) -> tuple[Emulator, RuntimeChoice]:
        """Start the emulator, which the caller stops, and say what its tasks run as.

        Raises:
            ClickException: a package is missing, a port is taken, a value cannot be used.
        """
        try:
            from covalent_parallel_plugin.emulator import Emulator
            from covalent_parallel_plugin.emulator.emulator import PortTaken
            from covalent_parallel_plugin.emulator.execution.vm_pool import VmModel
            from covalent_parallel_plugin.emulator.runtimes.choose import RuntimeRequest, choose_runtime, create_runtime
        except ModuleNotFoundError as error:
            raise missing_package(error) from error
        try:
            faults = read_faults(self.faults_file, self.fault_rules, self.fault_seed)
            known_secrets = read_secrets(self.secrets_file, self.secrets)
            known = None if self.known_file is None else read_known_file(self.known_file)
            request = RuntimeRequest(self.runtime_asked, self.python, self.images, self.exports, self.site_packages)
            choice = choose_runtime(request)
            emulator = Emulator(
                storage_port,
                batch_port,
                logging_port,
                buckets=self.buckets or (DEFAULT_BUCKET,),
                runtime=create_runtime(request, choice.name),
                tasks_at_once=self.tasks,
                faults=faults,
                log_reads_per_minute=self.log_reads_per_minute,
                known=known,
                secrets=known_secrets,
                machines=(
                    None
                    if self.vms is self.boot is self.pull is None
                    else VmModel(self.vms, self.boot or 0.0, self.pull or 0.0)
                ),
                on_job_end=on_job_end,
            )
            emulator.start()
        except PortTaken as error:
            raise port_error(error.service, error.port) from error
        except (ValueError, OSError) as error:
            raise shown_error(error) from error
        return emulator, choice
