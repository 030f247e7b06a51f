"""How runnables become commands of podman and docker: pure parts, which need no engine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from covalent_parallel_plugin.containers.container import (
    Bind,
    ContainerIdentity,
    ContainerSpec,
    ContainerVariables,
    ResourceLimits,
    StartFailed,
)
from covalent_parallel_plugin.containers.engine import ContainerEngine, registry_of
from covalent_parallel_plugin.containers.ownership import is_dead, new_owner
from covalent_parallel_plugin.containers.run_command import credentials_json, run_arguments, sort_variables
from covalent_parallel_plugin.emulator.model.runtime_interface import Mount
from covalent_parallel_plugin.emulator.runtimes.container import exported_folder
from covalent_parallel_plugin.emulator.runtimes.container_volumes import paths_of_vm, place_below, resolve_volumes
from covalent_parallel_plugin.emulator.runtimes.pip_settings import read_pip_settings
from covalent_parallel_plugin.emulator.runtimes.script_process import refuse_elsewhere
from covalent_parallel_plugin.emulator.runtimes.vm_share import VmShare

BUCKET = Mount("/mnt/disks/data", "gcs", "bucket/prefix")
READ_ONLY = Mount("/mnt/disks/fixed", "nfs", "server:/x", ("ro",))


def words(
    engine: str = "docker",
    *,
    cpus: int = 4,
    limits: ResourceLimits | None = None,
    passes: bool = False,
    lines: tuple[str, ...] = (),
    **container: object,
) -> list[str]:
    limits = ResourceLimits(1500, 512) if limits is None else limits
    return run_arguments(
        engine,
        ContainerSpec("image", limits=limits, **container),  # type: ignore[arg-type]
        ContainerIdentity("name", "owner"),
        binds=[Bind("/here", "/there", "ro")],
        variables=ContainerVariables(lines, {"LONG": "value"}),
        variables_file="/file",
        cpus=cpus,
        passes_streams=passes,
    )


def test_a_task_gets_its_memory_without_swap_and_its_part_of_the_cpus() -> None:
    assert words()[1:4] == ["--memory=512m", "--memory-swap=512m", "--cpus=1.5"]


def test_more_cpus_than_there_are_is_no_limit_which_docker_would_refuse() -> None:
    assert not any(word.startswith("--cpus") for word in words(cpus=1))


def test_the_jobs_options_come_after_the_limits_and_before_what_a_container_is_known_by() -> None:
    made = words(options="--memory 2g --name 'my own' --entrypoint x", entrypoint="python3", arguments=("-c", "1"))
    assert made.index("--memory=512m") < made.index("--memory") < made.index("--name=name")
    assert made.index("--entrypoint") < made.index("--entrypoint=python3")
    assert made[made.index("--name") + 1] == "my own" and made[-3:] == ["image", "-c", "1"]


def test_the_network_is_this_machines_unless_the_job_says_another() -> None:
    assert "--network=host" in words()
    assert "--network=host" not in words(options="--network none")


def test_no_value_of_a_variable_is_in_the_command() -> None:
    made = words(lines=("KEY=s3cret",))
    assert "s3cret" not in " ".join(made) and "--env=LONG" in made and "--env-file=/file" in made


def test_options_that_no_shell_could_split_are_exit_code_125() -> None:
    with pytest.raises(StartFailed, match="cannot be split") as caught:
        words(options="--label 'open")
    assert caught.value.exit_code == 125


def test_variables_with_several_lines_or_of_great_length_go_through_the_clients_environment() -> None:
    made = sort_variables({"A": "x=#'\"", "B": "one\ntwo", "C": "y" * 70_000}, {"PATH": "/bin"})
    assert (list(made.lines), set(made.handed_on)) == (["A=x=#'\""], {"B", "C"})


@pytest.mark.parametrize("name", ["PATH", "DOCKER_HOST", "CONTAINERS_CONF"])
def test_such_a_variable_that_the_client_reads_itself_is_exit_code_125(name: str) -> None:
    with pytest.raises(StartFailed, match=name):
        sort_variables({name: "one\ntwo"}, {"PATH": "/bin"})


def test_a_variable_that_the_client_has_with_the_same_value_is_handed_on() -> None:
    key = "-----BEGIN KEY-----\nx\n"
    made = sort_variables({"DOCKER_KEY": key, "KEY": key}, {"DOCKER_KEY": key, "KEY": key})
    assert made.handed_on == {"DOCKER_KEY": key, "KEY": key}


@pytest.mark.parametrize(
    ("uri", "registry"),
    [
        ("python:3.11-slim", "docker.io"),
        ("someone/image", "docker.io"),
        ("us-docker.pkg.dev/p/r/image:1", "us-docker.pkg.dev"),
        ("localhost:5000/image", "localhost:5000"),
    ],
)
def test_credentials_are_for_the_images_registry(uri: str, registry: str) -> None:
    assert registry_of(uri) == registry
    auths = json.loads(credentials_json(uri, "user", "pass:word"))["auths"]
    assert base64.b64decode(auths[registry]["auth"]) == b"user:pass:word"


def test_an_engine_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="podman or docker"):
        ContainerEngine("runc")


MIRRORED, SHORT, HUBS = (f"{host}python:3.11-slim" for host in ("mirror.gcr.io/library/", "", "docker.io/library/"))


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ContainerEngine]:
    """A container engine that has these images and notes what it is asked."""

    def make(name: str, *images: str) -> ContainerEngine:
        has = "".join(f'[ "$3" = "{image}" ] && exit 0; ' for image in images)
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "$3" >>"{tmp_path}/asked"\n{has}exit 1\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return ContainerEngine(name)

    return make


@pytest.mark.parametrize("name", ["podman", "docker"])
@pytest.mark.parametrize("here", [MIRRORED, SHORT, HUBS])
@pytest.mark.parametrize("asked", [MIRRORED, SHORT, HUBS])
def test_an_official_image_that_is_here_under_another_name_is_used(
    engine: Callable[..., ContainerEngine], name: str, here: str, asked: str
) -> None:
    assert engine(name, here).image(asked) == here


def test_of_two_names_that_are_here_the_given_one_is_used(engine: Callable[..., ContainerEngine]) -> None:
    made = engine("podman", MIRRORED, SHORT)
    assert (made.image(MIRRORED), made.image(SHORT)) == (MIRRORED, SHORT)


@pytest.mark.parametrize(
    ("name", "uri", "pulled"),
    [
        ("podman", MIRRORED, MIRRORED),
        ("podman", SHORT, HUBS),
        ("podman", "someone/image", "docker.io/someone/image"),
        ("podman", "us-docker.pkg.dev/p/r/image:1", "us-docker.pkg.dev/p/r/image:1"),
        ("docker", MIRRORED, MIRRORED),
        ("docker", SHORT, SHORT),
        ("docker", "someone/image", "someone/image"),
    ],
)
def test_an_image_that_is_not_here_is_pulled_as_the_job_names_it(
    engine: Callable[..., ContainerEngine], name: str, uri: str, pulled: str
) -> None:
    assert engine(name).image(uri) == pulled


def test_an_image_that_was_found_is_not_looked_for_again(
    engine: Callable[..., ContainerEngine], tmp_path: Path
) -> None:
    made = engine("podman", SHORT)
    assert [made.image(MIRRORED) for _ in range(3)] == [SHORT] * 3
    assert (tmp_path / "asked").read_text().split() == [MIRRORED, SHORT]


def test_a_container_without_volumes_gets_every_mount() -> None:
    made = resolve_volumes([BUCKET, READ_ONLY], [])
    assert [(volume.kind, volume.target, volume.options) for volume in made] == [
        ("mount", "/mnt/disks/data", "rw"),
        ("mount", "/mnt/disks/fixed", "ro"),
    ]


def test_a_volume_may_be_a_folder_below_a_mount() -> None:
    (made,) = resolve_volumes([BUCKET], ["/mnt/disks/data/a/b:/in:ro"])
    assert (made.source, made.below, made.target, made.options) == ("/mnt/disks/data", "a/b", "/in", "ro")


def test_what_is_mounted_below_a_folder_of_the_vms_comes_with_it() -> None:
    made = resolve_volumes([BUCKET], ["/mnt:/all"])
    assert [(volume.kind, volume.target) for volume in made] == [("disk", "/all"), ("mount", "/all/disks/data")]


def test_a_name_that_only_begins_like_a_mount_is_another_folder() -> None:
    (made,) = resolve_volumes([BUCKET], ["/mnt/disks/database:/x"])
    assert made.kind == "disk"


def test_a_mount_that_is_read_only_stays_so() -> None:
    (made,) = resolve_volumes([READ_ONLY], ["/mnt/disks/fixed:/x:rw"])
    assert made.options == "ro"
    assert Mount("/x", "gcs", "b", ("-o allow_other", "-o ro")).is_read_only
    assert not Mount("/x", "gcs", "b", ("-o allow_other", "--file-mode=666")).is_read_only


@pytest.mark.parametrize(
    ("mounts", "volume"),
    [
        ([BUCKET], "/mnt/disks/data/../../../../tmp/x:/x:rw"),
        ([BUCKET], "/mnt/disks/data/..:/x"),
        ([], "/../../etc:/x"),
        ([Mount("/mnt/../../../etc", "disk")], "/mnt:/x"),
    ],
)
def test_a_volume_by_way_of_two_dots_is_exit_code_125(mounts: list[Mount], volume: str) -> None:
    with pytest.raises(StartFailed, match=r"'\.\.'") as caught:
        resolve_volumes(mounts, [volume])
    assert caught.value.exit_code == 125


def test_a_script_has_the_paths_of_its_vm_that_containers_have_but_not_those_of_the_system() -> None:
    mounts = [Mount("/mnt/disks/data", "disk", "data")]
    volumes = ["/tmp/work:/x", "/mnt/disks/data/in:/in", "packages:/p", "/etc/ssl:/ssl", "/:/host", "/opt/a:/a:ro"]
    assert paths_of_vm(mounts, volumes) == ["/opt/a", "/tmp/work"]
    assert paths_of_vm(mounts, []) == []


def test_a_script_with_volumes_is_refused_in_words_where_there_is_no_linux() -> None:
    with pytest.raises(StartFailed, match=r"^/mnt/disks/x cannot be mounted: scripts see volumes on Linux only"):
        refuse_elsewhere("/mnt/disks/x", "darwin")
    refuse_elsewhere("/mnt/disks/x", "linux")


def test_a_place_below_a_folder_is_found_whether_it_is_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    root = tmp_path.resolve()
    assert place_below(tmp_path, "a/..b") == root / "a" / "..b"
    assert place_below(tmp_path, "") == root
    assert place_below(tmp_path, "/from/the/root") == root / "from" / "the" / "root"
    assert place_below(tmp_path, "alias/x") == root / "real" / "x"


@pytest.mark.parametrize("below", ["../private", "out", "out/x", "dangling", "loop", "zero\0byte"])
def test_a_place_that_leads_out_of_its_folder_is_exit_code_125(tmp_path: Path, below: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "private").mkdir()
    (root / "out").symlink_to(tmp_path / "private")
    (root / "dangling").symlink_to("/nowhere/at/all")
    (root / "loop").symlink_to("loop")
    with pytest.raises(StartFailed, match="cannot be mounted") as caught:
        place_below(root, below)
    assert caught.value.exit_code == 125


def test_an_exports_folder_is_found_also_for_a_path_below_it() -> None:
    exports = {"server:/data": Path("/local"), "server:/data/deep": Path("/other")}
    assert exported_folder("server:/data/x", exports) == Path("/local/x")
    assert exported_folder("server:/data/deep/x", exports) == Path("/other/x")
    with pytest.raises(StartFailed, match="--nfs server:/database=FOLDER"):
        exported_folder("server:/database", exports)


def test_neither_an_export_nor_a_jobs_disk_leads_out_of_its_folder(
    tmp_path: Path, engine: Callable[..., ContainerEngine]
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir(mode=0o700)
    (inside / "link").symlink_to(outside)
    for path in ("/../outside", "/link", "/link/new"):
        with pytest.raises(StartFailed, match="cannot be mounted"):
            exported_folder(f"server:/data{path}", {"server:/data": inside})
        with pytest.raises(StartFailed, match="cannot be mounted"):
            VmShare(engine("podman"), inside, "place").disk(path)
    assert list(outside.iterdir()) == []
    assert outside.stat().st_mode & 0o777 == 0o700


def test_pips_index_settings_are_joined_and_local_paths_in_them_found(tmp_path: Path) -> None:
    (tmp_path / "index" / "simple").mkdir(parents=True)
    (tmp_path / "wheels").mkdir()
    everyone, own = tmp_path / "global.conf", tmp_path / "own.conf"
    everyone.write_text(
        f"[global]\nindex-url = https://a/simple\ntarget = /elsewhere\nfind-links = {tmp_path}/wheels\n"
    )
    own.write_text(f"[global]\nindex-url = file://{tmp_path}/index/simple\n")
    made = read_pip_settings({"PIP_CERT": __file__}, [str(everyone), str(own)])
    assert "https://a/simple" not in made.text and "elsewhere" not in made.text
    assert f"file://{tmp_path}/index/simple" in made.text
    # the whole index: its files lie beside its pages
    assert made.paths == sorted([f"{tmp_path}/wheels", f"{tmp_path}/index", __file__])


def test_an_owner_lives_as_long_as_its_process() -> None:
    code = "from covalent_parallel_plugin.containers.ownership import new_owner; print(new_owner()); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    assert not is_dead(owner)
    process.communicate("\n", timeout=60)
    assert is_dead(owner)


def test_only_owners_of_this_machine_are_judged() -> None:
    own = new_owner()
    host = own.partition("_")[0]
    assert not is_dead(own.replace(host, "elsewhere", 1)) and not is_dead("something else")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
def test_a_later_process_of_the_same_number_is_another_owner() -> None:
    host, boot, pid, started, runtime = new_owner().split("_")
    assert int(pid) == os.getpid()
    assert is_dead("_".join([host, boot, pid, str(int(started) - 1), runtime]))
    assert is_dead("_".join([host, "0" * 8, pid, started, runtime]))
