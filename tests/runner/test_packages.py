"""Packages that come before the electron: `requirements`, and Covalent's hooks in an image without Covalent."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.protocol.envelope import KILLED, REFUSED, VALUE
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED

cloudpickle.register_pickle_by_value(sys.modules[__name__])

DEPS_PIP = b"ccovalent._workflow.depspip\napply_pip_deps\n."
DEPS_BASH = b"ccovalent._workflow.depsbash\napply_bash_commands\n."
NAME = "tiny_package_of_a_test"


def make_wheel(folder: Path, answer: int = 42, requires: str = "") -> Path:
    """A package that no environment has, and that pip installs without an index."""
    path = folder / f"{NAME}-{answer}-py3-none-any.whl"
    info = f"{NAME}-{answer}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{NAME}.py", f"ANSWER = {answer}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {answer}\n{requires}")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def value_of(task: Any) -> Any:
    """What the electron returned."""
    outcome = task.outcome()
    assert outcome.kind == VALUE, (outcome.message, outcome.raised, outcome.stderr)
    return cloudpickle.loads(outcome.pickle)


def answer() -> int:
    import tiny_package_of_a_test

    return int(tiny_package_of_a_test.ANSWER)


@pytest.fixture(scope="module")
def venv_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment with pip, as many images have one."""
    folder = tmp_path_factory.mktemp("venv") / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python3"


@pytest.fixture(scope="module")
def plain_python() -> Path:
    """An interpreter that is not a virtual environment, so that it has a user's site-packages."""
    python = Path(sys.base_prefix) / "bin" / "python3"
    if subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} has no pip")
    return python


@pytest.mark.parametrize("kind", ["venv_python", "plain_python"])
def test_requirements_are_there_when_the_electron_runs(
    make_task: Any, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    python = request.getfixturevalue(kind)
    task = make_task(answer, python=python, settings={"requirements": [str(make_wheel(tmp_path))]})
    ended = task.run()
    assert value_of(task) == 42, ended.stderr
    assert task.outcome().seconds["requirements"] > 0


def test_requirements_are_there_for_the_electrons_own_processes(
    make_task: Any, plain_python: Path, tmp_path: Path
) -> None:
    def electron() -> str:
        code = "import tiny_package_of_a_test as t; print(t.ANSWER)"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    task = make_task(electron, python=plain_python, settings={"requirements": [str(make_wheel(tmp_path))]})
    task.run()
    assert value_of(task) == "42\n"


def test_requirements_leave_the_machine_with_the_task(make_task: Any, plain_python: Path, tmp_path: Path) -> None:
    task = make_task(answer, python=plain_python, settings={"requirements": [str(make_wheel(tmp_path))]})
    task.run()
    assert task.left_on_the_machine == [task.runner_on_the_machine.name]
    assert not (task.machine / ".local").exists()


def test_requirements_that_pip_cannot_install_are_told_with_pips_words(
    make_task: Any, venv_python: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, requires="Requires-Dist: no-such-package-of-a-test ; python_version<'3'\n")
    task = make_task(answer, python=venv_python, settings={"requirements": [str(wheel), "/no/such/package.whl"]})
    assert task.run().status == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (REFUSED, "requirements")
    assert "/no/such/package.whl" in outcome.message
    assert "ERROR: " in outcome.message
    assert "does not exist" in outcome.message


def test_an_image_without_git_is_named_as_the_reason(make_task: Any, venv_python: Path, tmp_path: Path) -> None:
    wanted = {"requirements": ["git+https://127.0.0.1:9/a/b.git#egg=b"], "environment": {"PATH": str(tmp_path)}}
    task = make_task(answer, python=venv_python, settings=wanted)
    task.run()
    assert "The image has no git: name an archive" in task.outcome().message


def test_an_image_without_pip_is_named_as_the_reason(make_task: Any, tmp_path: Path) -> None:
    task = make_task(answer, settings={"requirements": [str(make_wheel(tmp_path))]})
    task.run()
    assert "The image has no pip: leave container_image_uri out, or use an image that has it." in task.outcome().message


def installed(python: Path, shared: Path, folder: Path, *requirements: str) -> subprocess.CompletedProcess[str]:
    """Install in a process of its own, and show the answer."""
    folder.mkdir(exist_ok=True)
    runner = folder / "runner.zip"
    runner.write_bytes(runner_archive.runner_archive().data)
    code = (
        "import sys, json; sys.path.append(sys.argv[1])\n"
        "from covalent_parallel_runner.runner.pip_install import install\n"
        "install(json.loads(sys.argv[4]), sys.argv[3], sys.argv[2])\n"
        "import tiny_package_of_a_test as t; print(t.ANSWER)"
    )
    return subprocess.run(
        [str(python), "-c", code, str(runner), str(shared), str(folder), json.dumps(requirements)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PIP_BREAK_SYSTEM_PACKAGES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("kind", ["venv_python", "plain_python"])
def test_tasks_of_one_machine_install_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    python, shared = request.getfixturevalue(kind), tmp_path / "shared"
    shared.mkdir()
    wheel = make_wheel(tmp_path)
    assert installed(python, shared, tmp_path / "a", str(wheel)).stdout == "42\n"
    wheel.unlink()
    assert installed(python, shared, tmp_path / "b", str(wheel)).stdout == "42\n"
    assert [path.name for path in shared.iterdir() if path.name.startswith("partial-")] == []


def test_other_requirements_are_installed_beside_the_first(plain_python: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    first, second = make_wheel(tmp_path), make_wheel(tmp_path, answer=43)
    assert installed(plain_python, shared, tmp_path / "a", str(first)).stdout == "42\n"
    assert installed(plain_python, shared, tmp_path / "b", str(second)).stdout == "43\n"


def test_a_failed_installation_leaves_nothing_that_looks_whole(plain_python: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    assert installed(plain_python, shared, tmp_path / "a", "/no/such/package.whl").returncode == 1
    assert [path.suffix for path in shared.iterdir()] == [".lock"]


def test_two_tasks_that_install_at_once_wait_for_each_other(plain_python: Path, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    shared = tmp_path / "shared"
    shared.mkdir()
    wheel = str(make_wheel(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(installed, plain_python, shared, tmp_path / name, wheel) for name in "ab"]
        assert [end.result().stdout for end in ends] == ["42\n", "42\n"]


@pytest.mark.parametrize("kind", ["venv_python", "plain_python"])
def test_deps_pip_works_without_covalent(
    make_task: Any, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    python = request.getfixturevalue(kind)
    packages = [[str(make_wheel(tmp_path))], ""]
    task = make_task(answer, python=python, before=[(DEPS_PIP, "")], before_args=packages)
    task.variables["PIP_USER"] = "1" if kind == "plain_python" else "0"
    task.run()
    assert value_of(task) == 42


def test_deps_pip_reads_a_requirements_file_without_covalent(
    make_task: Any, plain_python: Path, tmp_path: Path
) -> None:
    text = f"# what the test needs\n{make_wheel(tmp_path)}\n"
    task = make_task(answer, python=plain_python, before=[(DEPS_PIP, "")], before_args=[[], text])
    task.variables["PIP_USER"] = "1"
    task.run()
    assert value_of(task) == 42


@pytest.mark.parametrize(
    "entry", ["{wheel} --hash=sha256:{digest}", "${{WHEEL}}", "six ; python_version < '3'\n{wheel}"]
)
def test_deps_pip_takes_what_only_a_file_of_requirements_has(
    make_task: Any, plain_python: Path, tmp_path: Path, entry: str
) -> None:
    wheel = make_wheel(tmp_path)
    packages = [entry.format(wheel=wheel, digest=hashlib.sha256(wheel.read_bytes()).hexdigest())]
    task = make_task(answer, python=plain_python, before=[(DEPS_PIP, "")], before_args=[packages, ""])
    task.variables.update(PIP_USER="1", WHEEL=str(wheel))
    task.run()
    assert value_of(task) == 42


def test_what_deps_pip_installs_for_the_user_wins_over_the_interpreters_own(
    make_task: Any, plain_python: Path, tmp_path: Path
) -> None:
    """As Python itself has it; and the folder does not exist when the task starts."""

    def electron() -> bool:
        import site

        places = [sys.path.index(site.getusersitepackages()), sys.path.index(site.getsitepackages()[0])]
        return places == sorted(places)

    task = make_task(electron, python=plain_python)
    task.run()
    assert value_of(task) is True


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write to")
def test_a_home_that_cannot_be_written_to_is_replaced(make_task: Any, plain_python: Path, tmp_path: Path) -> None:
    def electron() -> tuple[str, int]:
        note = Path.home() / "note"
        note.write_text("written")
        return note.read_text(), answer()

    task = make_task(
        electron, python=plain_python, before=[(DEPS_PIP, "")], before_args=[[str(make_wheel(tmp_path))], ""]
    )
    # /proc takes no files, not even root's.
    task.variables.update(HOME="/proc", PIP_USER="1")
    task.run()
    assert value_of(task) == ("written", 42)


def test_the_cloudpickle_that_travels_along_wins_over_the_images_own(make_task: Any, tmp_path: Path) -> None:
    (tmp_path / "cloudpickle").mkdir()
    (tmp_path / "cloudpickle" / "__init__.py").write_text("raise RuntimeError('the old one')")
    task = make_task(lambda: 1)
    task.variables["PYTHONPATH"] = str(tmp_path)
    task.run()
    assert value_of(task) == 1


def test_deps_bash_works_without_covalent(make_task: Any) -> None:
    def electron() -> str:
        return Path("note").read_text()

    task = make_task(
        electron, before=[(DEPS_BASH, "")], before_args=[["printf made > note", "printf ' twice' >> note"]]
    )
    task.run()
    assert value_of(task) == "made twice"


def test_a_failing_deps_bash_shows_its_output_without_covalent(make_task: Any) -> None:
    task = make_task(len, [], before=[(DEPS_BASH, "")], before_args=[["echo the complaint >&2; exit 4"]])
    task.run()
    assert task.outcome().raised.type_name == "CalledProcessError"
    assert "the complaint" in task.outcome().stderr


@pytest.mark.parametrize("variable", ["PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"])
def test_an_image_that_has_pip_install_elsewhere_finds_its_requirements(
    make_task: Any, venv_python: Path, tmp_path: Path, variable: str
) -> None:
    task = make_task(answer, python=venv_python, settings={"requirements": [str(make_wheel(tmp_path))]})
    task.variables[variable] = str(tmp_path / "elsewhere")
    task.run()
    assert value_of(task) == 42


def test_an_image_that_has_pip_install_elsewhere_finds_what_a_hook_installs(
    make_task: Any, plain_python: Path, tmp_path: Path
) -> None:
    task = make_task(
        answer, python=plain_python, before=[(DEPS_PIP, "")], before_args=[[str(make_wheel(tmp_path))], ""]
    )
    task.variables.update(PIP_TARGET=str(tmp_path / "elsewhere"), PIP_USER="1")
    task.run()
    assert value_of(task) == 42


def test_an_image_whose_pip_installs_for_the_user_may_have_no_users_packages(
    make_task: Any, plain_python: Path, tmp_path: Path
) -> None:
    task = make_task(answer, python=plain_python, settings={"requirements": [str(make_wheel(tmp_path))]})
    task.variables.update(PYTHONNOUSERSITE="1", PIP_USER="1")
    task.run()
    assert value_of(task) == 42


@pytest.mark.parametrize(
    ("kind", "variable"),
    [("venv_python", ""), ("plain_python", "PYTHONNOUSERSITE"), ("plain_python", "PYTHONUSERBASE")],
)
def test_deps_pip_finds_a_place_where_neither_the_interpreters_nor_the_users_takes_any(
    make_task: Any, with_mounts: Any, tmp_path: Path, kind: str, variable: str, request: pytest.FixtureRequest
) -> None:
    python = request.getfixturevalue(kind)
    prefix = python.parent.parent
    launcher = with_mounts(python, f"mount --bind {prefix} {prefix}", f"mount -o remount,bind,ro {prefix}")
    packages = [[str(make_wheel(tmp_path))], ""]
    task = make_task(answer, python=launcher, before=[(DEPS_PIP, "")], before_args=packages)
    if variable:
        task.variables[variable] = str(prefix / "user")
    task.run()
    assert value_of(task) == 42


def test_a_hook_that_can_install_beside_the_interpreter_does(make_task: Any, venv_python: Path) -> None:
    def electron() -> str | None:
        return os.environ.get("PIP_TARGET")

    task = make_task(electron, python=venv_python, before=[(DEPS_BASH, "")], before_args=[["true"]])
    task.run()
    assert value_of(task) is None


def test_a_password_in_the_requirements_is_not_told(make_task: Any, venv_python: Path) -> None:
    lines = ["-i https://user:hunter2@127.0.0.1:9/simple", "tiny_package_of_a_test"]
    task = make_task(answer, python=venv_python, settings={"requirements": lines})
    task.variables["PIP_RETRIES"] = "0"
    task.run()
    outcome = task.outcome()
    assert "pip could not install the requirements (-i https://****@127.0.0.1:9/simple, " in outcome.message
    assert "hunter2" not in outcome.message + outcome.stderr


def test_a_pip_that_hangs_is_told_with_its_last_words(make_task: Any, venv_python: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        requirements = [f"-i {place}", "tiny_package_of_a_test"]
        task = make_task(answer, python=venv_python, settings={"requirements": requirements, "time_limit": 5})
        task.run()
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (KILLED, "time_limit")
    assert "pip was still installing; its last words:" in outcome.stderr
    assert f"Looking in indexes: {place}" in outcome.stderr


def test_a_pip_that_hangs_in_a_hook_is_told_with_its_last_words_and_without_passwords(
    make_task: Any, venv_python: Path
) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}/simple"
        # Not the one of the other tests: where they have installed it pip has nothing to ask the index for.
        packages = ["-i", f"http://user:hunter2@{place}", "another_package_of_a_test"]
        hook = {"before": [(DEPS_PIP, "")], "before_args": [packages]}
        task = make_task(answer, python=venv_python, settings={"time_limit": 5}, **hook)
        task.run()
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (KILLED, "time_limit")
    assert "pip was still installing; its last words:" in outcome.stderr
    assert f"{place}" in outcome.stderr.partition("its last words")[2]
    assert "hunter2" not in outcome.stderr


def test_a_pip_of_a_hook_that_ended_says_nothing_to_an_electron_that_runs_too_long(
    make_task: Any, plain_python: Path, tmp_path: Path
) -> None:
    def electron() -> None:
        # No assert: pytest would make it a call of its own modules, which an image does not have.
        if "PIP_LOG" not in os.environ:
            time.sleep(600)

    hook = {"before": [(DEPS_PIP, "")], "before_args": [[str(make_wheel(tmp_path))], ""]}
    task = make_task(electron, python=plain_python, settings={"time_limit": 10}, **hook)
    task.variables["PIP_USER"] = "1"
    task.run()
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (KILLED, "time_limit")
    assert "pip was still" not in outcome.stderr
