"""The image, built by podman from a base made on this machine, and what runs in it."""

from __future__ import annotations

import asyncio
import base64
import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tarfile
import uuid
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from image_command import BUILD_SECONDS, command
from registry_server import Registry, running_registry

from covalent_parallel_plugin import __version__
from covalent_parallel_plugin.cli.image.check import compare
from covalent_parallel_plugin.cli.image.external_programs import Programs
from covalent_parallel_plugin.cli.image.inspect_image import inspect_image
from covalent_parallel_plugin.cli.image.versions import LABELS, versions_here
from covalent_parallel_plugin.cli.image.wheel import write_wheel
from covalent_parallel_plugin.cloud.registry.client import read_image_config

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator
    from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor
pytestmark = pytest.mark.containers

# What a failed build had made so far would stay as images without a name
LEAVE_NOTHING = "--engine-arg=--layers=false"
REQUIREMENTS = ("scikit-learn", "numpy")
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "images.md").read_text()
# What it tells users to put into their own Dockerfile
TWO_LINES = PAGE.partition("```dockerfile\n")[2].partition("```")[0]


def podman(*words: str) -> str:
    done = subprocess.run(["podman", *words], capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def in_container(image: str, code: str, *options: str) -> str:
    return podman("run", "--rm", "--network=none", *options, image, "-c", code)


@pytest.fixture(scope="module")
def learning_image(
    runner_image: str, names: Callable[[str], str], pip_arguments: list[str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The same with the demo's packages, in the versions of this environment."""
    name = names("learning")
    file = tmp_path_factory.mktemp("requirements") / "requirements.txt"
    file.write_text("".join(f"{package}=={importlib.metadata.version(package)}\n" for package in REQUIREMENTS))
    wanted = [f"--tag={name}", f"--requirements={file}"]
    ended = command("build", "--engine=podman", *wanted, *pip_arguments)
    assert ended.returncode == 0, ended.stderr
    return name


@pytest.fixture(scope="module")
def own_image(own_python: str, names: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image from a user's own Dockerfile; its packages come from a folder, as if from an index."""
    name, folder = names("own"), tmp_path_factory.mktemp("own")
    wheels = tmp_path_factory.mktemp("wheels")
    write_wheel(wheels)
    cloudpickle = f"cloudpickle=={importlib.metadata.version('cloudpickle')}"
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), cloudpickle]
    subprocess.run(download, check=True, capture_output=True)
    (folder / "Dockerfile").write_text(TWO_LINES.replace("python:3.11-slim", own_python))
    (folder / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    outside = [f"--volume={folder}/pip.conf:/etc/pip.conf:ro", f"--volume={wheels}:/wheels:ro"]
    podman("build", "--network=none", *outside, f"--tag={name}", str(folder))
    return name


def test_the_image_fits_the_environment_that_built_it(runner_image: str) -> None:
    report = compare(inspect_image(runner_image, Programs(), ["podman"]), versions_here())
    assert report.fits
    assert [finding for finding in report.findings if finding.level == "warning"] == []


def test_what_its_labels_say_is_what_is_inside(runner_image: str) -> None:
    code = (
        "import sys, json; from importlib.metadata import version as v;"
        "print(json.dumps(['%d.%d' % sys.version_info[:2],"
        " v('covalent'), v('cloudpickle'), v('covalent-parallel-plugin')]))"
    )
    here = versions_here()
    assert json.loads(in_container(runner_image, code)) == [here.python, here.covalent, here.cloudpickle, here.plugin]
    assert inspect_image(runner_image, Programs(), ["podman"]).inside == here


@pytest.mark.parametrize("user", ["", "4711", "root"])
def test_its_home_can_be_written_to_by_any_user(runner_image: str, user: str) -> None:
    code = "import os, pathlib; pathlib.Path('~/new').expanduser().write_text('x'); print(os.getuid())"
    options = [f"--user={user}"] if user else []
    assert in_container(runner_image, code, *options) == {"": "10001", "root": "0"}.get(user, user)


def test_the_builds_own_files_and_settings_stay_out(runner_image: str) -> None:
    code = (
        "import os; print(os.path.exists('/etc/pip.conf'), os.listdir('/tmp'), [n for n in os.environ if 'PIP' in n])"
    )
    assert in_container(runner_image, code) == "False [] []"


def test_covalent_imports_with_this_plugin_and_without_its_servers_packages(runner_image: str) -> None:
    code = (
        "import covalent as ct, importlib.util as u; print(ct.executor.GCPBatchExecutor.__name__,"
        " [n for n in ('fastapi', 'sqlalchemy', 'alembic', 'uvicorn', 'distributed', 'boto3', 'google.cloud')"
        " if u.find_spec(n.split('.')[0])])"
    )
    assert in_container(runner_image, code) == "GCPBatchExecutor []"


def test_covalent_imports_where_the_root_is_read_only(runner_image: str) -> None:
    code = "import covalent; print(covalent.__version__)"
    assert (
        in_container(runner_image, code, "--read-only", "--tmpfs=/tmp", "--env=HOME=/tmp") == versions_here().covalent
    )


def test_the_same_build_again_takes_the_layers_it_made(
    runner_image: str, names: Callable[[str], str], pip_arguments: list[str]
) -> None:
    ended = command("build", "--engine=podman", f"--tag={names('again')}", *pip_arguments)
    assert ended.returncode == 0, ended.stderr
    assert "Collecting" not in ended.stderr


@pytest.mark.parametrize("step", ["echo begun; sleep 600; echo done", "echo begun; trap '' TERM INT; sleep 600"])
def test_a_build_that_is_stopped_leaves_no_container_behind(
    image: str, names: Callable[[str], str], tmp_path: Path, step: str
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nRUN {step}\n")
    before = set(podman("ps", "--all", "--external", "--quiet").split())

    def interrupted(line: str) -> None:
        if line == "begun":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Programs().show(["podman", "build", f"--tag={names('stopped')}", str(tmp_path)], BUILD_SECONDS, interrupted)
    assert set(podman("ps", "--all", "--external", "--quiet").split()) <= before


def test_a_base_with_another_python_is_refused_in_one_line(own_python: str, names: Callable[[str], str]) -> None:
    other = ["--python=3.2", f"--base=docker.io/library/{own_python}", LEAVE_NOTHING]
    ended = command("build", "--engine=podman", f"--tag={names('other')}", *other)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("Error: the base image has Python 3.11.")


def test_requirements_that_exclude_covalents_version_are_refused(
    names: Callable[[str], str], pip_arguments: list[str], runner_image: str, tmp_path: Path
) -> None:
    (tmp_path / "r.txt").write_text("cloudpickle==2.0.0\n")
    wanted = [f"--tag={names('clash')}", f"--requirements={tmp_path}/r.txt", f"--base={runner_image}", LEAVE_NOTHING]
    ended = command("build", "--engine=podman", *wanted, *pip_arguments)
    assert ended.returncode == 1
    assert "exclude one another" in ended.stderr


def test_a_base_that_cannot_be_pulled_is_named(names: Callable[[str], str]) -> None:
    ended = command("build", "--engine=podman", "--base=127.0.0.1:1/no/such:image", f"--tag={names('none')}")
    assert ended.returncode == 1
    assert "127.0.0.1:1/no/such:image" in ended.stderr.splitlines()[-1]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[tuple[Registry, dict[str, str]]]:
    """A registry on this machine, and the variable that lets podman speak plain HTTP to it."""
    with running_registry() as running:
        settings = tmp_path / "registries.conf"
        settings.write_text(f'[[registry]]\nlocation = "{running.host}"\ninsecure = true\n')
        yield running, {"CONTAINERS_REGISTRIES_CONF": str(settings)}


def test_an_image_that_podman_pushed_is_checked_in_its_registry(
    names: Callable[[str], str], registry: tuple[Registry, dict[str, str]], tmp_path: Path
) -> None:
    running, variables = registry
    name = names("labelled")
    # small, since podman compresses what it pushes: labels tell the versions, and nothing is run
    labels = " ".join(f'{label}="{getattr(versions_here(), field)}"' for field, label in LABELS.items())
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /\nUSER 7\nLABEL {labels}\n")
    podman("build", f"--tag={name}", str(tmp_path))
    remote = f"{running.host}/p/r/labelled:1"
    done = subprocess.run(
        ["podman", "push", name, remote], env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seen = inspect_image(remote, Programs(), ["podman"])
    assert (seen.source, seen.inside, seen.config.user) == ("registry", versions_here(), "7")
    assert compare(seen, versions_here()).fits
    assert read_image_config(f"{running.host}/p/r/labelled@{seen.config.digest}").digest == seen.config.digest


def test_a_refused_push_is_told_with_the_way_in(
    runner_image: str, pip_arguments: list[str], registry: tuple[Registry, dict[str, str]]
) -> None:
    running, variables = registry
    running.refuses_pushes = True
    name = f"{running.host}/p/r/runner:1"
    try:
        ended = command("build", "--engine=podman", f"--tag={name}", "--push", *pip_arguments, **variables)
    finally:
        subprocess.run(["podman", "rmi", "--ignore", name], capture_output=True, timeout=60)
    assert ended.returncode == 1
    assert f"podman login {running.host}" in ended.stderr


# Electrons, through the emulator, as its jobs say


@pytest.fixture
def run(make_executor: Callable[..., GCPBatchExecutor]) -> Callable[..., Any]:
    """Run a function as an electron in an image, with hooks; its TransportableObject."""
    from covalent._workflow.transportable_object import TransportableObject
    from covalent.executor.utils.wrappers import wrapper_fn

    def run(image: str, function: Any, *args: Any, before: Any = (), after: Any = (), **options: Any) -> Any:
        executor = make_executor(container_image_uri=image, **options)
        hooks = [[hook.apply() for hook in group] for group in (before, after)]
        wrapped = partial(wrapper_fn, TransportableObject(function), *hooks)
        metadata = {"dispatch_id": str(uuid.uuid4()), "node_id": 0, "results_dir": "/nowhere"}
        inputs = [TransportableObject(value) for value in args]
        return asyncio.run(executor.run(wrapped, inputs, {}, metadata))

    return run


def value_of(result: Any) -> Any:
    return result.get_deserialized()


def test_an_electron_runs_as_the_images_user(run: Callable[..., Any], runner_image: str) -> None:
    def identity() -> tuple[int, bool]:
        return os.getuid(), os.access(Path.home(), os.W_OK)

    assert value_of(run(runner_image, identity)) == (10001, True)


def test_the_svm_demo_runs_in_the_image(run: Callable[..., Any], learning_image: str) -> None:
    from covalent_parallel_plugin.cli.demo import workflow as demo

    data = value_of(run(learning_image, demo.load_data.electron_object.function))
    model = value_of(run(learning_image, demo.train_svm.electron_object.function, data))
    score = value_of(run(learning_image, demo.score_svm.electron_object.function, model, data))
    assert score > 0.9


def test_a_bash_hook_runs_before_the_electron(run: Callable[..., Any], runner_image: str) -> None:
    import covalent as ct

    def note() -> str:
        return open("note").read()

    assert value_of(run(runner_image, note, before=[ct.DepsBash("id -u > note")])).strip() == "10001"


def test_calls_run_before_and_after_the_electron(run: Callable[..., Any], runner_image: str) -> None:
    import covalent as ct

    def five() -> int:
        return 5

    def work(number: int = 0) -> int:
        return number + 1

    before = ct.DepsCall(five, retval_keyword="number")
    assert value_of(run(runner_image, work, before=[before], after=[ct.DepsCall(five)])) == 6


def test_a_pip_hook_installs_for_the_images_user(run: Callable[..., Any], runner_image: str) -> None:
    import covalent as ct

    from covalent_parallel_plugin.cloud.storage import ObjectStore

    name = "tiny_package_in_a_container"
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        info = f"{name}-1.0.dist-info"
        archive.writestr(f"{name}.py", "ANSWER = 42\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    file = f"{name}-1.0-py3-none-any.whl"
    ObjectStore.shared("local", "data").put(f"wheels/{file}", wheel.getvalue())

    def answer() -> int:
        import tiny_package_in_a_container  # type: ignore[import-not-found]  # the hook installs it

        return int(tiny_package_in_a_container.ANSWER)

    hook = ct.DepsPip(packages=[f"/mnt/disks/wheels/{file}"])
    assert value_of(run(runner_image, answer, before=[hook], volumes={"wheels": "gs://data/wheels"})) == 42


def test_a_file_is_transferred_before_the_electron(
    run: Callable[..., Any], runner_image: str, registry: tuple[Registry, dict[str, str]]
) -> None:
    import covalent as ct
    from covalent._workflow.depscall import DepsCall

    running, _ = registry
    running.put("a", "t", {})

    def read(files: Any = ()) -> str:
        return Path("/tmp/fetched").read_text()

    transfer = ct.fs.TransferFromRemote(
        f"http://{running.host}/v2/a/manifests/t", "/tmp/fetched", strategy=ct.fs_strategies.HTTP()
    )
    hooks = []
    for described in ct.electron(read, files=[transfer]).electron_object.metadata["hooks"]["call_before"]:
        hooks.append(DepsCall())
        hooks[-1].from_dict(described)
    assert value_of(run(runner_image, read, before=hooks)).startswith('{"schemaVersion": 2')


def test_a_sublattice_is_built_in_the_image(run: Callable[..., Any], runner_image: str) -> None:
    import covalent as ct
    from covalent._workflow.electron import _build_sublattice_graph

    @ct.electron(executor=ct.executor.GCPBatchExecutor(project_id="local", bucket_name="covalent"))
    def double(x: int) -> int:
        return 2 * x

    @ct.lattice
    def twice(x: int) -> int:
        executor = ct.executor.GCPBatchExecutor(vcpus=1)
        return double(ct.electron(lambda y: y, executor=executor)(x))  # type: ignore[no-any-return]  # untyped

    @ct.lattice
    def parent(x: int) -> int:
        return ct.electron(twice)(x)  # type: ignore[no-any-return]  # untyped

    parent.build_graph(3)
    result = run(runner_image, _build_sublattice_graph, twice, json.dumps(parent.metadata), 3)
    # Covalent's server reads the graph from the text that it shows
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(result.object_string))) as archive:
        (name,) = (name for name in archive.getnames() if name.endswith("/manifest.json"))
        manifest = json.load(archive.extractfile(name))  # type: ignore[arg-type]  # it is a file
    nodes = manifest["lattice"]["transport_graph"]["nodes"]
    executors = {node["metadata"]["name"]: node["metadata"]["executor"] for node in nodes}
    assert executors["<lambda>"] == executors["double"] == "gcpbatch"


def storage_requests(services: Emulator) -> int:
    assert services.storage is not None
    counted = services.storage.request_counts
    return sum(
        count for kind, count in counted.items() if kind.startswith(("objects.", "uploads.")) and "delete" not in kind
    )


@pytest.mark.parametrize(
    ("which", "package", "requests"), [("stock", "covalent_parallel_runner", 5), ("own", "covalent_parallel_plugin", 4)]
)
def test_an_image_with_the_package_spares_each_task_a_download(
    run: Callable[..., Any],
    own_python: str,
    own_image: str,
    services: Emulator,
    which: str,
    package: str,
    requests: int,
) -> None:
    used = {"stock": own_python, "own": own_image}[which]

    def runner_modules() -> list[str]:
        return [name for name in sys.modules if name.endswith("runner.task_main")]

    run(used, runner_modules)  # stages the runner, once for all
    before = storage_requests(services)
    assert value_of(run(used, runner_modules)) == [f"{package}.runner.task_main"]
    assert storage_requests(services) - before == requests


def test_a_users_own_dockerfile_of_two_lines_fits(own_image: str) -> None:
    inside = inspect_image(own_image, Programs(), ["podman"]).inside
    assert (inside.plugin, inside.cloudpickle, inside.covalent) == (__version__, versions_here().cloudpickle, "")


def test_the_image_adds_little_to_its_base(runner_image: str, own_python: str) -> None:
    sizes = [int(podman("image", "inspect", "--format", "{{.Size}}", name)) for name in (runner_image, own_python)]
    # the replaced plugin's adds 273 MB (python -m benchmarks image)
    assert sizes[0] - sizes[1] < 0.4 * 273e6
