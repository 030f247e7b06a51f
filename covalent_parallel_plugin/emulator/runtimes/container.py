"""Run tasks as containers of podman or docker, with the limits that their jobs ask for."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ...containers import cleanup
from ...containers.container import Bind, ContainerIdentity, ContainerSpec
from ...containers.engine import ContainerEngine
from ...containers.local_process import LocalProcess
from ...containers.ownership import new_owner, users_below
from ...containers.process import ContainerProcess, PreparedClient, PreparedProcess
from ...containers.run_command import credentials_json, run_arguments, sort_variables
from ..model.runtime_interface import (
    BARE_VM,
    CANNOT_START,
    HOSTS_FILE,
    HOSTS_TEXT,
    Command,
    LogFolder,
    Mount,
    ResourceLimits,
    StartFailed,
    VmSpec,
)
from ..model.user_cache import UserCache
from .container_volumes import ContainerVolume, is_of_system, own_volume, paths_of_vm, place_below, resolve_volumes
from .gcsfuse_folder import BucketFolder, mounted_bucket
from .pip_settings import SETTINGS_PATH, read_pip_settings, settings_files
from .process import ProcessRuntime, ProcessWorkspace
from .script_process import OWN_PYTHON, VmView, refuse_elsewhere
from .task_environment import inherited
from .vm_share import VmShare

_log = logging.getLogger(__name__)
# Where a container finds what pip has downloaded for others
DOWNLOADS_PATH = "/mnt/covalent-parallel-emulator/pip-cache"


class ContainerRuntime:
    """Runs each runnable that names an image as a container on this machine's network, and scripts as processes.

    Scripts see the task's volumes, and the folders of the VM that its containers have, at the same paths.

    Memory (without swap) and CPU are limited to what the task asked for. A task's volumes are folders: a bucket's
    objects, laid out before the task and written back after it; the folder that `nfs` gives for SERVER:/PATH; an empty
    one for a local disk. Volumes that have a name belong to the VM, as its disk does. Containers of emulators that died
    are removed at the start, the own ones at `close`. Raises ValueError if the engine is not installed.
    """

    def __init__(self, engine: str = "podman", nfs: Mapping[str, Path] | None = None) -> None:
        self.engine = ContainerEngine(engine)
        self.nfs = {export.rstrip("/"): folder.absolute() for export, folder in (nfs or {}).items()}
        self.owner = new_owner()
        # Google's client would look each bucket up in the background, for traces that are not wanted
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "1")
        self.downloads = UserCache(os.environ).folder(f"pip-{engine}")
        self.pip = read_pip_settings(os.environ, settings_files(os.environ))
        # For scripts, which run on the VM itself: there is no image whose packages could be missing
        self._processes = ProcessRuntime(engine=engine, site_packages=True)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._root: Path | None = None
        self._shares: dict[str, dict[str, VmShare]] = {}
        self._log_buckets: dict[str, BucketFolder] = {}
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="emulator-containers")
        self._later(cleanup.remove_leftovers, self.engine)

    def open(self, attempt: str, limits: ResourceLimits, vm: VmSpec = BARE_VM) -> ContainerWorkspace:
        """Make the attempt's folder."""
        with self._lock:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(prefix=f"{cleanup.FOLDER_PREFIX}{self.owner}="))
            folder = self._root / str(next(self._numbers))
            folder.mkdir()
            shares = self._shares.setdefault(vm.job_uid, {})
            share = shares.get(vm.name)
            if share is None:
                place = f"{cleanup.NAME_PREFIX}-{self.owner}-{next(self._numbers)}"
                share = shares[vm.name] = VmShare(self.engine, self._root / f"vm{next(self._numbers)}", place)
        scripts = self._processes.open(attempt, limits)
        return ContainerWorkspace(self, folder, limits, vm, share, scripts, self._leave(folder, scripts.close))

    def log_bucket(self, job_uid: str, remote_path: str, services: Mapping[str, str]) -> BucketFolder:
        """Return the folder of a job's log files that belong into a bucket. Raises StartFailed."""
        with self._lock:
            if job_uid not in self._log_buckets:
                assert self._root is not None
                folder = self._root / f"logs{next(self._numbers)}"
                self._log_buckets[job_uid] = mounted_bucket(remote_path, folder, services)
            return self._log_buckets[job_uid]

    def release(self, job_uid: str) -> None:
        """Remove the volumes and disks of the job's VMs, in the background."""
        with self._lock:
            shares = self._shares.pop(job_uid, {})
            logs = self._log_buckets.pop(job_uid, None)
        if logs is not None:
            self._later(cleanup.remove_folder, self.engine, logs.folder)
        for share in shares.values():
            self._later(self._remove_share, share)

    def task_users(self) -> Collection[int]:
        """List the users that processes in the containers run as: those of their images, or made up by the engine."""
        return users_below(self.engine.process_ids(*self._names()))

    def close(self) -> None:
        """Remove all containers, volumes and folders of this runtime."""
        self._pool.shutdown(wait=True)
        if self._root is not None:
            self.engine.remove(*self._names())
            for name, owner in cleanup.list_volumes(self.engine):
                if owner == self.owner:
                    self.engine.call("volume", "rm", name)
            cleanup.remove_folder(self.engine, self._root)
            self._root = None
        self._processes.close()

    def _leave(self, folder: Path, close_scripts: Callable[[], None]) -> Callable[[], None]:
        def leave() -> None:
            close_scripts()
            self._later(cleanup.remove_folder, self.engine, folder)

        return leave

    def _names(self) -> Iterator[str]:
        return (name for name, owner in cleanup.list_containers(self.engine) if owner == self.owner)

    def _later(self, act: Callable[..., None], *arguments: object) -> None:
        self._pool.submit(act, *arguments).add_done_callback(_log_failure)

    def _remove_share(self, share: VmShare) -> None:
        for name in sorted(share.volumes):
            self.engine.call("volume", "rm", name)
        cleanup.remove_folder(self.engine, share.folder)


def _log_failure(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.error("a clean-up of containers failed", exc_info=error)


class ContainerWorkspace:
    """What the runnables of one attempt share: their mounts."""

    def __init__(
        self,
        runtime: ContainerRuntime,
        folder: Path,
        limits: ResourceLimits,
        vm: VmSpec,
        share: VmShare,
        scripts: ProcessWorkspace,
        close: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._folder = folder
        self._limits = limits
        self._vm = vm
        self._share = share
        self._scripts = scripts
        self.close = close
        self._runnables = itertools.count()
        self._buckets: dict[str, BucketFolder] = {}
        self._written: set[str] = set()
        # containers in the background start and end beside others
        self._buckets_lock = threading.Lock()

    def log_folder(self, path: str, services: Mapping[str, str]) -> LogFolder:
        """Return the folder that the VM has there; for a bucket one whose files are written to it in the end."""
        wanted = resolve_volumes(self._vm.mounts, [f"{path}:{path}"])[0]
        if "ro" in wanted.options.split(","):
            raise StartFailed(CANNOT_START, "it is mounted read-only")
        mount = next((mount for mount in self._vm.mounts if mount.path == wanted.source), None)
        if mount is None or mount.kind != "gcs":
            return LogFolder(Path(next(iter(self._binds([wanted], services))).source))
        bucket = self._runtime.log_bucket(self._vm.job_uid, f"{mount.source}/{wanted.below}", services)
        return LogFolder(bucket.folder, bucket.put_back)

    def start(self, command: Command) -> PreparedProcess | LocalProcess:
        """Start a runnable; the process itself reports why a container does not start. Raises StartFailed."""
        if not command.image:
            return self._start_script(command)
        number = next(self._runnables)
        name = f"{cleanup.NAME_PREFIX}-{self._runtime.owner}-{self._folder.name}-{number}"
        files = self._folder / f"runnable{number}"
        return ContainerProcess(
            self._runtime.engine,
            name,
            lambda: self._prepare(command, ContainerIdentity(name, self._runtime.owner), files),
            lambda: self._clear_up(files),
        )

    def _start_script(self, command: Command) -> PreparedProcess | LocalProcess:
        volumes = resolve_volumes(self._vm.mounts, [own_volume(mount) for mount in self._vm.mounts])
        paths = paths_of_vm(self._vm.mounts, self._vm.volumes)
        if not volumes and not paths:
            return self._scripts.start(command)
        refuse_elsewhere([*(volume.target for volume in volumes), *paths][0])

        def prepare() -> PreparedClient:
            client = self._scripts.prepare(command)
            view = VmView(
                disk=str(self._share.folder),
                folders=tuple(self._binds(volumes, client.environment)),
                paths=tuple(paths),
                own=(str(self._scripts.folder), *OWN_PYTHON),
            )
            return view.seen_by(client)

        return self._scripts.start_later(prepare, self._put_back)

    def _prepare(self, command: Command, identity: ContainerIdentity, files: Path) -> PreparedClient:
        engine = self._runtime.engine
        files.mkdir(mode=0o700)
        outer = dict(os.environ)
        pip = {"PIP_CONFIG_FILE": SETTINGS_PATH} if self._runtime.pip.text else {}
        environment = {**inherited(outer), **pip, **command.environment}
        volumes = resolve_volumes(self._vm.mounts, command.volumes)
        binds = [*self._pip_binds(files), *self._binds(volumes, environment)]
        if downloads := self._runtime.downloads:
            environment.setdefault("PIP_CACHE_DIR", DOWNLOADS_PATH)
            binds.append(Bind(str(downloads), DOWNLOADS_PATH))
        if command.has_hosts_file:
            hosts = files / "hosts"
            hosts.write_text(HOSTS_TEXT)
            hosts.chmod(0o644)
            binds.append(Bind(str(hosts), HOSTS_FILE, "ro"))
        variables = sort_variables(environment, outer)
        variables_file = _private_file(files / "variables", "".join(f"{line}\n" for line in variables.lines))
        credentials_file = ""
        if command.username:
            text = credentials_json(command.image, command.username, command.password)
            credentials_file = _private_file(files / "config.json", text)
            if engine.name == "docker":
                outer["DOCKER_CONFIG"] = str(files)
        # podman takes the locks of a new container's volumes in any order: two containers could wait for each other
        has_volumes = sum(not bind.source.startswith("/") for bind in binds) > 1
        monitor_file = str(files / "monitor") if engine.name == "podman" and has_volumes else ""
        arguments = run_arguments(
            engine.name,
            ContainerSpec(
                engine.image(command.image), command.entrypoint, command.arguments, command.options, self._limits
            ),
            identity,
            binds=binds,
            variables=variables,
            variables_file=variables_file,
            cpus=os.cpu_count() or 1,
            passes_streams=engine.passes_streams,
            credentials_file=credentials_file,
            monitor_file=monitor_file,
        )
        environment = {**outer, **variables.handed_on}
        return PreparedClient(arguments, environment, str(files), made_file=monitor_file)

    def _clear_up(self, files: Path) -> list[str]:
        shutil.rmtree(files, ignore_errors=True)
        return self._put_back()

    def _put_back(self) -> list[str]:
        with self._buckets_lock:
            return [line for path in sorted(self._written) for line in self._buckets[path].put_back()]

    def _pip_binds(self, files: Path) -> Iterator[Bind]:
        pip = self._runtime.pip
        if pip.text:
            path = files / "pip.conf"
            path.write_text(pip.text)
            path.chmod(0o644)  # for a container's other users; the folder around it is closed
            yield Bind(str(path), SETTINGS_PATH, "ro")
        for local in pip.paths:
            yield Bind(local, local, "ro")

    def _binds(self, volumes: Sequence[ContainerVolume], environment: Mapping[str, str]) -> Iterator[Bind]:
        mounts = {mount.path: mount for mount in self._vm.mounts}
        for wanted in volumes:
            if wanted.kind == "name":
                yield Bind(self._share.volume(wanted.source), wanted.target, wanted.options)
            elif wanted.kind == "disk" and is_of_system(wanted.source) and Path(wanted.source).exists():
                yield self._system_bind(wanted)
            elif wanted.kind == "disk":
                yield Bind(str(self._share.disk(wanted.source)), wanted.target, wanted.options)
            else:
                yield self._bind_mount(mounts[wanted.source], wanted, environment)

    def _system_bind(self, wanted: ContainerVolume) -> Bind:
        """Bind a file of the system, such as /etc/localtime, as it is here; a folder is an empty one."""
        path = Path(wanted.source)
        if path.is_dir():
            return Bind(str(self._share.disk(wanted.source)), wanted.target, wanted.options)
        if not path.is_file():
            raise StartFailed(CANNOT_START, f"{path} cannot be mounted: the VMs of this emulator have no services")
        return Bind(str(path), wanted.target, "ro")

    def _bind_mount(self, mount: Mount, wanted: ContainerVolume, environment: Mapping[str, str]) -> Bind:
        if mount.kind != "gcs":
            folder = self._shared(mount)
        else:
            with self._buckets_lock:
                folder = self._bucket(mount, environment)
                if "ro" not in wanted.options.split(","):
                    self._written.add(mount.path)
        folder = _made_below(folder, wanted.below)
        return Bind(str(folder), wanted.target, wanted.options)

    def _shared(self, mount: Mount) -> Path:
        if mount.kind == "disk":
            return self._share.disk(mount.path)
        return exported_folder(mount.source, self._runtime.nfs)

    def _bucket(self, mount: Mount, environment: Mapping[str, str]) -> Path:
        folder = self._folder / f"mount{len(self._buckets)}"
        if mount.path in self._buckets:
            return self._buckets[mount.path].folder
        made = mounted_bucket(mount.source, folder, environment, mount.options)
        made.fill()
        self._buckets[mount.path] = made
        return folder


def exported_folder(source: str, exports: Mapping[str, Path]) -> Path:
    """Find the folder that stands for SERVER:/PATH, or for a path below an exported one. Raises StartFailed."""
    over = [export for export in exports if source == export or source.startswith(f"{export}/")]
    if not over:
        raise StartFailed(
            CANNOT_START,
            f"mount.nfs: {source} is not known here: name the folder that stands for it, --nfs {source}=FOLDER",
        )
    export = max(over, key=len)
    return place_below(exports[export], source[len(export) :])


def _made_below(folder: Path, below: str) -> Path:
    place = place_below(folder, below)
    place.mkdir(parents=True, exist_ok=True)
    return place


def _private_file(path: Path, text: str) -> str:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return str(path)
