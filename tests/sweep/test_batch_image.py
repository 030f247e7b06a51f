"""The image of a sweep on Batch: pinned as its registry describes it, and what to do where that is not told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from by_hand import grid, sweep_file, text
from registry_server import AMD64, Registry, running_registry

from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.sweep.batch.image_pin import BatchImage, kept_batch_image, pin_batch_image
from covalent_parallel_plugin.sweep.local.image import ImagePullError
from covalent_parallel_plugin.sweep.sweep_file import SweepFile
from covalent_parallel_plugin.sweep.tasks import PinnedImage

CONFIG = {
    **AMD64,
    "config": {
        "User": "1000:5",
        "Env": ["PATH=/bin", "LD_PRELOAD=/lib/jemalloc.so", "LD_AUDIT="],
        "Entrypoint": ["pi"],
        "Cmd": ["--help"],
        "WorkingDir": "/work",
    },
}
# Nothing listens there
NOWHERE = "127.0.0.1:1/pi:1"
LAST = PinnedImage("sha256:" + "b" * 64, "127.0.0.1:1/pi@sha256:" + "b" * 64, ("old",))


@pytest.fixture
def registry() -> Iterator[Registry]:
    with running_registry() as running:
        yield running


def file_of(image: str, command: tuple[str, ...] = ("x",), **changes: Any) -> SweepFile:
    return sweep_file(Path("/nowhere"), [grid({"g": 1})], command, image=image, **changes)


def test_an_image_is_pinned_with_what_its_registry_says_of_it(registry: Registry) -> None:
    digest = registry.put("me/pi", "1", CONFIG)
    pinned = PinnedImage(
        digest,
        f"{registry.host}/me/pi@{digest}",
        ("pi",),
        ("--help",),
        "1000:5",
        "/work",
        {"LD_PRELOAD": "/lib/jemalloc.so", "LD_AUDIT": ""},
    )
    file = file_of(f"{registry.host}/me/pi:1")
    assert pin_batch_image(file, {}) == BatchImage(pinned, pinned.reference, pinned.environment)
    # One on this machine is asked on the emulator as well
    assert pin_batch_image(file, {"BATCH_EMULATOR_HOST": "127.0.0.1:1"}).pinned == pinned


def test_of_an_image_for_several_platforms_it_is_that_of_batchs_machines(registry: Registry) -> None:
    arm = registry.put("pi", "arm", {**CONFIG, "architecture": "arm64"})
    amd = registry.put("pi", "amd", CONFIG)
    registry.put_index("pi", "1", [(arm, {"os": "linux", "architecture": "arm64"}), (amd, AMD64)])
    assert pin_batch_image(file_of(f"{registry.host}/pi:1"), {}).uri == f"{registry.host}/pi@{amd}"
    with pytest.raises(ImagePullError, match=r"is for linux/arm64, not for linux/amd64.*--platform linux/amd64"):
        pin_batch_image(file_of(f"{registry.host}/pi:arm"), {})


def test_what_cannot_be_read_needs_an_entrypoint_in_the_file() -> None:
    with pytest.raises(
        ImagePullError, match=r"127.0.0.1:1/pi:1.* cannot be read here .*write `entrypoint` in the file"
    ):
        pin_batch_image(file_of(NOWHERE), {})
    found = pin_batch_image(file_of(NOWHERE, entrypoint=["pi"]), {})
    assert found == BatchImage(PinnedImage(NOWHERE, NOWHERE), NOWHERE, {})


def test_what_cannot_be_read_now_is_what_it_was(registry: Registry) -> None:
    file = file_of(NOWHERE, entrypoint=["pi"])
    assert pin_batch_image(file, {}, LAST).pinned == LAST
    # One that was pulled, and one that was built, where the last run was on this machine
    pulled = replace(LAST, reference="sha256:" + "c" * 64)
    assert pin_batch_image(file, {}, pulled).pinned == replace(pulled, reference=LAST.reference)
    built = replace(LAST, reference=LAST.digest)
    assert pin_batch_image(file, {}, built).uri == NOWHERE
    registry.token, registry.keeps_tokens = "secret", True
    with pytest.raises(ImagePullError, match="write `entrypoint` in the file"):
        pin_batch_image(file_of(f"{registry.host}/pi:1"), {})


def test_an_image_that_is_not_there_is_refused(registry: Registry) -> None:
    for changes in ({}, {"entrypoint": ["pi"]}):
        with pytest.raises(ImagePullError, match="pi:1' is not there"):
            pin_batch_image(file_of(f"{registry.host}/pi:1", **changes), {})


def test_there_has_to_be_something_to_run(registry: Registry) -> None:
    registry.put("bare", "1", {**AMD64, "config": {}})
    name = f"{registry.host}/bare:1"
    with pytest.raises(ParallelError, match="neither ENTRYPOINT nor CMD: write a command in the file"):
        pin_batch_image(file_of(name, ()), {})
    for changes in ({"command": (text("x"),)}, {"flags": "joined"}, {"entrypoint": (text("x"),)}):
        assert pin_batch_image(replace(file_of(name, ()), **changes), {}).uri.startswith(
            f"{registry.host}/bare@sha256:"
        )


def test_an_image_is_kept_as_the_last_run_found_it() -> None:
    file = file_of("docker.io/me/pi:1")
    assert kept_batch_image(file, LAST, {}) == BatchImage(LAST, LAST.reference, {})
    pulled = PinnedImage("sha256:" + "c" * 64, "sha256:" + "d" * 64)
    assert kept_batch_image(file, pulled, {}).uri == "docker.io/me/pi@sha256:" + "c" * 64
    built = PinnedImage("sha256:" + "d" * 64, "sha256:" + "d" * 64)
    with pytest.raises(ImagePullError, match=r"--keep-image: .* is on this machine alone: push it"):
        kept_batch_image(file, built, {})
