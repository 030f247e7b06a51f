"""The image of a sweep on the emulator: pinned by this machine's engine, which runs the emulator's containers too."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_runs import sweep_file

from covalent_parallel_plugin.containers.engine import ContainerEngine
from covalent_parallel_plugin.sweep.batch.image_pin import kept_batch_image, pin_batch_image
from covalent_parallel_plugin.sweep.local.image import ImagePullError, pin_image
from covalent_parallel_plugin.sweep.tasks import PinnedImage

pytestmark = pytest.mark.containers

ON_EMULATOR = {"BATCH_EMULATOR_HOST": "127.0.0.1:1"}


@pytest.fixture
def preloading(engine: str, image: str, tmp_path: Path) -> str:
    """An image with all that a task's supervisor has to know of it."""
    lines = ["FROM localhost/covalent-parallel-test-base:bookworm", "ENV LD_PRELOAD=/x.so LD_AUDIT=", "USER 65532"]
    lines += ["WORKDIR /srv", 'ENTRYPOINT ["python3"]', 'CMD ["-V"]', ""]
    (tmp_path / "Dockerfile").write_text("\n".join(lines))
    name = f"localhost/covalent-parallel-test-{tmp_path.name[:20].replace('_', '').lower()}:1"
    ended = ContainerEngine(engine).call("build", "--quiet", "--tag", name, str(tmp_path), seconds=300)
    assert ended.returncode == 0, ended.stderr
    return name


def test_an_image_of_this_machine_is_pinned_as_with_local(engine: str, preloading: str) -> None:
    file = sweep_file(image=preloading)
    found = pin_batch_image(file, ON_EMULATOR)
    assert found.pinned == pin_image(ContainerEngine(engine), preloading, "missing")
    assert (found.pinned.entrypoint, found.pinned.command) == (("python3",), ("-V",))
    assert (found.pinned.user, found.pinned.workdir) == ("65532", "/srv")
    assert found.environment == {"LD_PRELOAD": "/x.so", "LD_AUDIT": ""}
    # What the job names is what the engine finds, whatever becomes of the tag
    assert ContainerEngine(engine).call("run", "--rm", "--network=host", found.uri, "-c", "pass").returncode == 0
    assert kept_batch_image(file, found.pinned, ON_EMULATOR) == found
    ContainerEngine(engine).call("rmi", "--force", preloading)
    with pytest.raises(ImagePullError, match="cannot be pulled"):
        pin_batch_image(file, ON_EMULATOR)


def test_an_image_that_is_gone_is_not_kept(engine: str) -> None:
    gone = PinnedImage("sha256:" + "0" * 64, "sha256:" + "0" * 64)
    with pytest.raises(ImagePullError, match="is not on this machine any more: run without --keep-image"):
        kept_batch_image(sweep_file(image="localhost/gone:1"), gone, ON_EMULATOR)
