"""A Dockerfile of the user's own, built with `image build --context`: the commands, and what is said of mistakes."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from image_commands import Command
from shelf import Shelf

from covalent_parallel_plugin.cli.image.build import BuildError
from covalent_parallel_plugin.cli.image.external_programs import CLOUD_BUILD
from covalent_parallel_plugin.cli.image.own_dockerfile import (
    DockerfileOptions,
    build_dockerfile,
    check_dockerfile,
    cloud_build_config,
    dockerfile_commands,
)
from covalent_parallel_plugin.errors import MistakeError

TAG = "us-docker.pkg.dev/p/r/calculator:1"
PINNED = f"us-docker.pkg.dev/p/r/calculator@sha256:{'a' * 64}"


@pytest.fixture
def options(tmp_path: Path) -> DockerfileOptions:
    context = tmp_path / "code"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n")
    return DockerfileOptions(tag=TAG, context=context, project="p", region="us-east1")


def silent(line: str) -> None: ...


def test_docker_builds_the_folders_own_dockerfile_for_batchs_machines(options: DockerfileOptions) -> None:
    wanted = replace(options, push=True, arguments=("A=b c",), engine_arguments=("--network=host",))
    context = str(options.context)
    assert dockerfile_commands("docker", wanted, "FOLDER") == [
        (
            "docker", "build", "--platform=linux/amd64", f"--file={context}/Dockerfile", f"--tag={TAG}",
            "--build-arg=A=b c", "--network=host", context,
        ),
        ("docker", "push", TAG),
    ]  # fmt: skip


def test_a_dockerfile_may_be_elsewhere_than_its_context(options: DockerfileOptions, tmp_path: Path) -> None:
    other = tmp_path / "other.Dockerfile"
    other.write_text("FROM scratch\n")
    wanted = replace(options, dockerfile=other)
    check_dockerfile(wanted, "podman")
    (build,) = dockerfile_commands("podman", wanted, "FOLDER")
    assert f"--file={other}" in build and build[-1] == str(options.context)


def test_cloud_build_gets_the_context_and_a_file_of_its_own(options: DockerfileOptions) -> None:
    (submitted,) = dockerfile_commands(CLOUD_BUILD, options, "FOLDER")
    assert submitted == (
        "gcloud", "builds", "submit", str(options.context), "--config=FOLDER/cloudbuild.json", "--project=p",
        "--region=us-east1",
    )  # fmt: skip
    config = cloud_build_config(replace(options, arguments=("PRICE=$5",)))
    (step,) = config["steps"]
    assert step["args"] == [
        "build", "--platform=linux/amd64", "--file=Dockerfile", f"--tag={TAG}", "--build-arg=PRICE=$$5", ".",
    ]  # fmt: skip
    assert config["images"] == [TAG]


def test_cloud_build_gets_a_dockerfile_from_outside_the_context_as_it_is(
    options: DockerfileOptions, tmp_path: Path
) -> None:
    other = tmp_path / "large.Dockerfile"
    other.write_text("FROM scratch\n" + "# $HOME ünï\n" * 3000)
    write, build = cloud_build_config(replace(options, dockerfile=other))["steps"]
    assert max(map(len, write["args"])) < 10_000 and len(write["args"]) <= 100
    # As Cloud Build gives the words to the step: $$ is a dollar
    words = [word.replace("$$", "$") for word in write["args"]]
    words[1] = words[1].replace(">/dockerfile/Dockerfile", "")
    written = subprocess.run(["bash", *words], capture_output=True, check=True, timeout=60).stdout
    assert written == other.read_bytes()
    assert "--file=/dockerfile/Dockerfile" in build["args"]
    assert write["volumes"] == build["volumes"]


def test_all_mistakes_are_told_at_once(options: DockerfileOptions) -> None:
    wrong = replace(options, context=options.context / "none", arguments=("A",), tag="Bad", platform="amd64", push=True)
    with pytest.raises(MistakeError) as refused:
        check_dockerfile(wrong, "docker")
    told = str(refused.value).splitlines()
    assert [line.split()[0] for line in told] == ["--context", "--build-arg", "--platform", "--tag:"]


@pytest.mark.parametrize(
    ("engine", "changes", "why"),
    [
        ("docker", {"dockerfile": Path("/nowhere/Dockerfile")}, "--dockerfile /nowhere/Dockerfile is no file"),
        ("docker", {"tag": "localhost/x:1", "push": True}, "names no registry to push to"),
        (CLOUD_BUILD, {"project": ""}, "needs --project"),
        (CLOUD_BUILD, {"tag": "localhost/x:1"}, "Google's registries"),
    ],
)
def test_what_could_only_fail_later_is_refused(
    options: DockerfileOptions, engine: str, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(MistakeError, match=re.escape(why)):
        check_dockerfile(replace(options, **changes), engine)


def test_another_dockerfile_of_the_context_is_found_by_its_name_there(
    options: DockerfileOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = replace(options, dockerfile=Path("small.Dockerfile"))
    (options.context / "small.Dockerfile").write_text("FROM scratch\n")
    check_dockerfile(own, "docker")
    assert own.file == options.context / "small.Dockerfile"
    # As docker has it, that of the working folder comes first
    (tmp_path / "small.Dockerfile").write_text("FROM scratch\n")
    assert own.file == Path("small.Dockerfile")


def test_a_folder_without_a_dockerfile_is_refused(options: DockerfileOptions) -> None:
    (options.context / "Dockerfile").unlink()
    with pytest.raises(MistakeError, match="code/Dockerfile is no file: give one with --dockerfile"):
        check_dockerfile(options, "docker")


@pytest.mark.parametrize(
    ("engine", "script"),
    [
        ("docker", f'echo "1: digest: sha256:{"a" * 64} size: 528"'),
        (
            "podman",
            f'for word in "$@"; do case $word in --digestfile=*) echo sha256:{"a" * 64} >"${{word#*=}}";; esac; done',
        ),
        ("gcloud", f'echo "1: digest: sha256:{"a" * 64} size: 528"; echo DONE'),
    ],
)
def test_what_was_pushed_is_named_by_its_digest(
    options: DockerfileOptions, shelf: Shelf, engine: str, script: str
) -> None:
    shelf.put(engine, script)
    name = CLOUD_BUILD if engine == "gcloud" else engine
    assert build_dockerfile(name, replace(options, push=True), shelf.programs, silent) == PINNED


def test_without_a_digest_it_is_named_by_its_tag(options: DockerfileOptions, shelf: Shelf) -> None:
    shelf.put("docker", "echo done")
    assert build_dockerfile("docker", replace(options, push=True), shelf.programs, silent) == TAG
    assert build_dockerfile("docker", options, shelf.programs, silent) == TAG


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ERROR: failed to solve: python:3.99: failed to resolve source metadata for x: not found", "its FROM lines"),
        ("Error: creating build container: initializing source docker://x: lookup x: no such host", "--network=host"),
        ("denied: Permission denied", "gcloud auth configure-docker us-docker.pkg.dev"),
        ("write /x: no space left on device", "disk is full"),
        # What a step of the Dockerfile printed is no word of the engine's
        ("tests/run.sh: Permission denied\nError: exit status 126", "docker build ended with status 1: Error: exit"),
    ],
)
def test_a_failure_is_told_with_what_to_do(options: DockerfileOptions, shelf: Shelf, said: str, remedy: str) -> None:
    (shelf.folder / "said").write_text(said + "\n")
    shelf.put("docker", f"cat {shelf.folder}/said; exit 1")
    with pytest.raises(BuildError) as failed:
        build_dockerfile("docker", options, shelf.programs, silent)
    assert remedy in str(failed.value) and said.splitlines()[-1] in str(failed.value)


def test_a_push_that_reaches_no_registry_is_told_its_name(options: DockerfileOptions, shelf: Shelf) -> None:
    shelf.put("docker", 'test "$1" != push || { echo "dial tcp: lookup us-docker.pkg.dev: no such host"; exit 1; }')
    with pytest.raises(BuildError) as failed:
        build_dockerfile("docker", replace(options, push=True), shelf.programs, silent)
    assert "the name us-docker.pkg.dev is right" in str(failed.value) and "--engine-arg" not in str(failed.value)


def test_the_command_prints_the_line_for_a_sweeps_file(
    options: DockerfileOptions, shelf: Shelf, command: Command
) -> None:
    shelf.put("docker", "echo 27")
    ended = command("build", "--context", str(options.context), "--tag", "localhost/calculator:1")
    assert (ended.returncode, ended.stdout) == (0, "image: localhost/calculator:1\n"), ended.stderr
    assert "docker on this machine has it: for `sweep run --local`" in ended.stderr


def test_dry_run_prints_the_commands_and_cloud_builds_file(options: DockerfileOptions, command: Command) -> None:
    words = ("build", "--context", str(options.context), "--tag", TAG, "--dry-run")
    ended = command(*words, "--engine", "cloud-build", "--project", "p")
    head, _, rest = ended.stdout.partition("\n")
    config, end = json.JSONDecoder().raw_decode(rest)
    assert (head, config) == ("# FOLDER/cloudbuild.json:", cloud_build_config(options))
    assert rest[end:].split()[:3] == ["gcloud", "builds", "submit"]
    assert "docker push" in command(*words, "--push").stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--context", "."), "--context needs --tag"),
        (("--dockerfile", "x"), "--dockerfile: for a Dockerfile of your own: give its folder as --context"),
        (
            ("--context", ".", "--base", "x", "--python", "3.11", "--requirements", "r", "--pip-conf", "p"),
            "--base, --python, --requirements, --pip-conf: for this package's own Dockerfile: leave that out, or"
            " --context; --context needs --tag, the image's name",
        ),
    ],
)
def test_options_of_the_other_dockerfile_are_refused_in_one_message(
    command: Command, words: tuple[str, ...], why: str
) -> None:
    ended = command("build", *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert why in " ".join(ended.stderr.split())
