"""Whether an image fits this environment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from registry_server import AMD64, Registry
from shelf import Shelf

from covalent_parallel_plugin.cli.image.check import Finding, compare
from covalent_parallel_plugin.cli.image.inspect_image import InspectedImage, inspect_image
from covalent_parallel_plugin.cli.image.versions import LABELS, Versions
from covalent_parallel_plugin.cloud.registry.image_config import ImageConfig
from covalent_parallel_plugin.errors import MissingResourceError, UnavailableError

HERE = Versions("3.11", "0.240.0", "3.1.2", "0.1.0")
CONFIG = ImageConfig("i", "", "linux", "amd64", "1000")
LABELLED = {LABELS["python"]: "3.11", LABELS["covalent"]: "1", LABELS["cloudpickle"]: "2", LABELS["plugin"]: "3"}


def finding(what: str, inside: Versions, config: ImageConfig = CONFIG, trouble: str = "") -> Finding:
    report = compare(InspectedImage(config, inside, "podman", trouble), HERE)
    (found,) = [found for found in report.findings if found.what == what]
    return found


def test_an_image_with_the_same_versions_fits_without_a_warning() -> None:
    report = compare(InspectedImage(CONFIG, HERE, "podman"), HERE)
    assert report.fits
    assert {found.level for found in report.findings} == {"ok", "info"}


@pytest.mark.parametrize("inside", ["3.11", "3.11.0", "3.11.13"])
def test_the_same_minor_version_of_python_fits(inside: str) -> None:
    assert finding("python", replace(HERE, python=inside)).level == "ok"


@pytest.mark.parametrize("inside", ["3.10", "3.12.1", "3.1", "3.110"])
def test_another_minor_version_of_python_is_an_error_that_names_both(inside: str) -> None:
    found = finding("python", replace(HERE, python=inside))
    assert found.level == "error"
    assert inside in found.text and "3.11" in found.text and found.remedy


@pytest.mark.parametrize(
    ("what", "inside", "level", "word"),
    [
        ("python", replace(HERE, python=None), "warning", "not known"),
        ("covalent", replace(HERE, covalent=""), "warning", "sublattices"),
        ("covalent", replace(HERE, covalent="0.239.0"), "warning", "0.239.0"),
        ("covalent", replace(HERE, covalent=None), "info", "not known"),
        (
            "cloudpickle",
            replace(HERE, cloudpickle="2.2.1"),
            "error",
            "cloudpickle 2.2.1 cannot load what 3.1.2 pickles",
        ),
        (
            "cloudpickle",
            replace(HERE, cloudpickle="2.2.1", plugin=None),
            "error",
            "2.2.1 cannot load what 3.1.2 pickles",
        ),
        ("cloudpickle", replace(HERE, cloudpickle="3.0.0"), "ok", "3.0.0, and this environment has 3.1.2"),
        ("cloudpickle", replace(HERE, cloudpickle="4.0.0"), "warning", "4.0.0, and this environment has 3.1.2"),
        ("cloudpickle", replace(HERE, cloudpickle="2.2.1", plugin=""), "ok", "comes with the runner and is used"),
        ("cloudpickle", replace(HERE, cloudpickle="2.2.1", plugin="0.0.9"), "ok", "comes with the runner and is used"),
        ("cloudpickle", replace(HERE, cloudpickle="", plugin=""), "ok", "comes with the runner"),
        ("cloudpickle", replace(HERE, cloudpickle=""), "warning", "each task fetches the runner"),
        ("cloudpickle", replace(HERE, cloudpickle=None), "info", "not known"),
        ("covalent-parallel-plugin", replace(HERE, plugin=""), "info", "one request more"),
        ("covalent-parallel-plugin", replace(HERE, plugin="0.0.9"), "warning", "0.0.9"),
        ("covalent-parallel-plugin", replace(HERE, plugin=None), "info", "not known"),
    ],
)
def test_what_differs_is_told_with_what_it_means(what: str, inside: Versions, level: str, word: str) -> None:
    found = finding(what, inside)
    assert found.level == level
    assert word in found.text


def test_a_cloudpickle_that_does_not_fit_is_remedied_by_this_environments() -> None:
    assert finding("cloudpickle", replace(HERE, cloudpickle="2.2.1")).remedy == (
        "have `pip install cloudpickle==3.1.2` in the image"
    )


@pytest.mark.parametrize(("os", "architecture"), [("linux", "arm64"), ("windows", "amd64"), ("", "")])
def test_an_image_for_other_machines_is_an_error(os: str, architecture: str) -> None:
    found = finding("platform", HERE, replace(CONFIG, os=os, architecture=architecture))
    assert found.level == "error"
    assert "--platform linux/amd64" in found.remedy


def test_an_image_whose_python_does_not_run_is_an_error_in_its_own_words() -> None:
    found = finding("python", Versions(), trouble="python3: not found")
    assert (found.level, "python3: not found" in found.text) == ("error", True)


def test_a_root_user_is_told_and_is_no_fault() -> None:
    found = finding("user", HERE, replace(CONFIG, user=""))
    assert (found.level, found.text) == ("info", "root")


def test_a_report_is_json() -> None:
    record = json.loads(json.dumps(compare(InspectedImage(CONFIG, HERE, "podman"), HERE).record()))
    assert (record["fits"], record["inside"]["python"], record["platform"]) == (True, "3.11", "linux/amd64")


def inspected(**config: object) -> str:
    return json.dumps([{"Architecture": "amd64", "Os": "linux", "Size": 7, "Config": config}])


def engine(shelf: Shelf, tmp_path: Path, image: str, run: str) -> None:
    (tmp_path / "inspected.json").write_text(image)
    shelf.put("podman", f'case "$1" in image) cat "{tmp_path}/inspected.json";; run) {run};; esac')


def test_an_image_that_an_engine_has_is_looked_at_there(shelf: Shelf, tmp_path: Path) -> None:
    engine(shelf, tmp_path, inspected(Labels=LABELLED, User="5"), "exit 1")
    seen = inspect_image("i", shelf.programs)
    assert (seen.source, seen.inside, seen.config.user) == ("podman", Versions("3.11", "1", "2", "3"), "5")


def test_an_official_image_is_found_under_another_of_its_names(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "inspected.json").write_text(inspected())
    there = f'[ "$3" = python:3.11-slim ] && cat "{tmp_path}/inspected.json"'
    answer = '{"python": "3.11.2", "covalent": "", "cloudpickle": "", "plugin": ""}'
    shelf.put("podman", f'case "$1" in image) {there};; run) [ "$5" = python:3.11-slim ] && echo \'{answer}\';; esac')
    seen = inspect_image("mirror.gcr.io/library/python:3.11-slim", shelf.programs)
    assert (seen.config.uri, seen.inside.python) == ("python:3.11-slim", "3.11.2")


def test_what_no_label_says_the_images_own_python_is_asked(shelf: Shelf, tmp_path: Path) -> None:
    answer = '{"python": "3.11.2", "covalent": "", "cloudpickle": "3", "plugin": ""}'
    engine(shelf, tmp_path, inspected(Env=["PYTHON_VERSION=3.11.9"]), f"echo warning >&2; echo '{answer}'")
    assert inspect_image("i", shelf.programs).inside == Versions("3.11.2", "", "3", "")


def test_where_its_python_cannot_be_asked_the_variable_of_official_images_counts(shelf: Shelf, tmp_path: Path) -> None:
    engine(shelf, tmp_path, inspected(Env=["PYTHON_VERSION=3.11.9"]), "echo no such file >&2; exit 127")
    seen = inspect_image("i", shelf.programs)
    assert (seen.inside.python, seen.trouble) == ("3.11.9", "no such file")


def test_an_image_that_no_engine_has_is_looked_at_in_its_registry(shelf: Shelf, registry: Registry) -> None:
    shelf.put("podman", "exit 125")
    registry.put("a", "t", {**AMD64, "config": {"Labels": LABELLED}})
    seen = inspect_image(f"{registry.host}/a:t", shelf.programs)
    assert (seen.source, seen.inside.covalent) == ("registry", "1")


def test_of_an_official_image_in_a_registry_python_is_known(shelf: Shelf, registry: Registry) -> None:
    registry.put("python", "t", {**AMD64, "config": {"Env": ["PYTHON_VERSION=3.12.1"]}})
    assert inspect_image(f"{registry.host}/python:t", shelf.programs).inside == Versions("3.12.1")


def test_a_local_name_that_no_engine_has_asks_no_registry(shelf: Shelf) -> None:
    with pytest.raises(MissingResourceError, match="image build --tag localhost/a:t"):
        inspect_image("localhost/a:t", shelf.programs)


def test_a_registrys_failure_is_passed_on(shelf: Shelf, registry: Registry) -> None:
    registry.statuses = [500]
    with pytest.raises(UnavailableError):
        inspect_image(f"{registry.host}/a:t", shelf.programs)
