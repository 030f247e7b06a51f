"""One deployment's way, with the real Terraform and its stand-in alike: both must do the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from deploy_worlds import HOLD, MODULE, Lingering, World, make_world

from covalent_parallel_plugin.cli.deploy.option_changes import OptionChange
from covalent_parallel_plugin.errors import DeployError, DeployInterruptedError

SECONDS = 120.0


def test_up_makes_what_the_files_say(world: World) -> None:
    world.up()
    assert list(world.deployment().status().resources) == ["terraform_data.bucket"]


def test_up_writes_the_outputs_that_are_options_into_the_configuration(world: World) -> None:
    world.up()
    assert world.configured == {"project_id": "my-project", "region": "us-east1", "bucket_name": "first-bucket"}


def test_up_leaves_other_keys_of_the_configuration_alone(world: World) -> None:
    world.configured = {"vcpus": 8, "network": "my-own-network"}
    world.up()
    assert world.configured["vcpus"] == 8
    assert world.configured["network"] == "my-own-network"


def test_up_says_what_changed_in_the_configuration_from_what(world: World) -> None:
    world.configured = {"bucket_name": "old-bucket"}
    world.up()
    assert world.told[-1].strip() == "region: (none) -> 'us-east1'" or world.says(
        "bucket_name: 'old-bucket' -> 'first-"
    )


def test_up_shows_what_changes_in_the_configuration_before_it_asks(world: World) -> None:
    world.configured = {"bucket_name": "old-bucket"}
    world.answer = False
    world.up()
    assert world.says("bucket_name: 'old-bucket' -> ")


def test_nothing_happens_when_the_answer_is_no(world: World) -> None:
    world.answer = False
    assert world.up() == {}
    assert list(world.deployment().status().resources) == []
    assert world.configured == {}
    assert len(world.asked) == 1


def test_what_was_refused_is_not_remembered(world: World) -> None:
    world.answer = False
    world.up(bucket_name="refused-bucket")
    world.answer = True
    assert world.up()["bucket_name"] == "first-bucket"


def test_plan_touches_nothing(world: World) -> None:
    assert world.deployment().plan({"bucket_name": "another-bucket"}, {}) is True
    assert list(world.deployment().status().resources) == []
    assert world.configured == {}
    assert world.asked == []


def test_plan_says_the_command_that_does_it(world: World) -> None:
    world.deployment().plan({"bucket_name": "another-bucket", "create_network": True}, {})
    assert world.told[-1].endswith(
        "covalent-parallel deploy up --project my-project --set bucket_name=another-bucket --set create_network=true"
    )


def test_plan_of_what_stands_would_change_nothing(world: World) -> None:
    world.up()
    assert world.deployment().plan({}, {}) is False


def test_a_second_up_asks_nothing_where_nothing_changes(world: World) -> None:
    world.up()
    world.up()
    assert len(world.asked) == 1


def test_a_second_up_mends_the_configuration(world: World) -> None:
    world.up()
    world.configured["bucket_name"] = "mistyped"
    world.up()
    assert world.configured["bucket_name"] == "first-bucket"


def test_values_are_remembered_until_another_is_named(world: World) -> None:
    world.up(bucket_name="second-bucket")
    assert world.up(create_network=True)["bucket_name"] == "second-bucket"
    assert world.up(bucket_name="third-bucket")["network"] == "made-network"


def test_what_is_named_once_wins_over_what_the_configuration_says_later(world: World) -> None:
    world.deployment().up({"region": "europe-west4"}, {"region": "us-east1"}, world.ask)
    assert world.deployment().up({}, {"region": "us-east1"}, world.ask)["region"] == "europe-west4"


def test_up_says_what_is_deleted_on_the_way(world: World) -> None:
    world.up()
    world.up(bucket_name="second-bucket")
    assert world.says("Careful: this deletes (some to make them anew) terraform_data.bucket")


def test_an_option_that_came_from_here_is_emptied_when_it_goes(world: World) -> None:
    world.up(create_network=True)
    assert world.configured["network"] == "made-network"
    assert world.configured["external_ip"] is False
    world.up(create_network=False)
    assert world.configured["network"] == ""
    assert world.configured["external_ip"] == ""


def test_an_option_that_the_user_changed_meanwhile_is_not_emptied(world: World) -> None:
    world.up(create_network=True)
    world.configured["network"] = "my-own-network"
    world.up(create_network=False)
    assert world.configured["network"] == "my-own-network"


def test_down_takes_everything_down_and_out_of_the_configuration(world: World) -> None:
    world.up()
    world.configured["vcpus"] = 8
    assert world.down() is True
    assert list(world.deployment().status().resources) == []
    assert world.configured == {"project_id": "my-project", "region": "us-east1", "bucket_name": "", "vcpus": 8}


def test_down_does_nothing_when_the_answer_is_no(world: World) -> None:
    world.up()
    world.answer = False
    assert world.down() is False
    assert list(world.deployment().status().resources) == ["terraform_data.bucket"]
    assert world.configured["bucket_name"] == "first-bucket"


def test_down_of_what_never_was_is_no_mistake(world: World) -> None:
    assert world.down() is True
    assert world.asked == []
    assert not world.folder.exists()


def test_down_after_a_plan_only_is_no_mistake(world: World) -> None:
    world.deployment().plan({}, {})
    assert world.down() is True
    assert world.asked == []


def test_down_twice_is_no_mistake(world: World) -> None:
    world.up()
    world.down()
    assert world.down() is True


def test_up_works_again_after_down(world: World) -> None:
    world.up(bucket_name="second-bucket")
    world.down()
    assert world.up()["bucket_name"] == "second-bucket"


def test_status_of_what_never_was_needs_no_terraform(world: World) -> None:
    world.program = "/nowhere/terraform"
    assert list(world.deployment().status().resources) == []


def test_status_tells_where_the_configuration_differs(world: World) -> None:
    world.up()
    assert list(world.deployment().status().differences) == []
    world.configured["bucket_name"] = "mistyped"
    assert list(world.deployment().status().differences) == [OptionChange("bucket_name", "mistyped", "first-bucket")]


def test_status_tells_the_options_and_nothing_else(world: World) -> None:
    world.up()
    assert set(world.deployment().status().options) == {"project_id", "region", "bucket_name"}


def test_the_folder_is_for_its_owner_only(world: World) -> None:
    world.up()
    for folder in (world.folder, world.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_no_plan_stays_behind(world: World) -> None:
    world.up()
    assert [path.name for path in world.folder.iterdir() if "plan" in path.name] == []


def test_files_of_the_users_own_stay(world: World) -> None:
    world.up()
    (world.folder / "backend.tf").write_text("# mine\n")
    world.up(bucket_name="second-bucket")
    assert (world.folder / "backend.tf").read_text() == "# mine\n"


def test_a_file_of_an_earlier_version_goes(world: World) -> None:
    world.up()
    (world.folder / "gone.tf").write_text(
        '# Part of covalent-parallel-plugin: old.\noutput "region" {\n  value = 1\n}\n'
    )
    world.up(bucket_name="second-bucket")
    assert not (world.folder / "gone.tf").exists()


def test_an_apply_that_fails_half_way_says_how_to_go_on(stumbling: World) -> None:
    with pytest.raises(DeployError) as caught:
        stumbling.up()
    text = str(caught.value)
    assert "Go on with: covalent-parallel deploy up --project my-project" in text
    assert "Or go back with: covalent-parallel deploy down --project my-project" in text
    assert "may not do this" in text


def test_an_apply_that_fails_half_way_keeps_what_was_made(stumbling: World) -> None:
    with pytest.raises(DeployError):
        stumbling.up()
    assert "terraform_data.bucket" in stumbling.deployment().status().resources
    assert stumbling.configured == {}


def test_up_goes_on_after_an_apply_that_failed_half_way(stumbling: World) -> None:
    with pytest.raises(DeployError):
        stumbling.up(bucket_name="second-bucket")
    (stumbling.source / "stumble.tf").write_text("# Part of covalent-parallel-plugin: fixed.\n")
    stumbling.environment = {}
    # The stumbled resource is taken away by the real program; nobody else named the bucket again.
    assert stumbling.up()["bucket_name"] == "second-bucket"


def test_down_takes_back_an_apply_that_failed_half_way(stumbling: World) -> None:
    with pytest.raises(DeployError):
        stumbling.up()
    stumbling.environment = {}
    assert stumbling.down() is True
    assert list(stumbling.deployment().status().resources) == []


def wait_until(is_ready: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not is_ready() and time.monotonic() < until:
        time.sleep(0.02)


def interrupt_when(is_ready: Callable[[], bool]) -> threading.Thread:
    """Ctrl-C for this process, as soon as something is so."""

    def wait() -> None:
        wait_until(is_ready)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_ctrl_c_reaches_terraform_and_the_state_stays_usable(
    lingering: Lingering, capfd: pytest.CaptureFixture[str]
) -> None:
    world = lingering.world
    thread = interrupt_when(lingering.is_applying)
    with pytest.raises(DeployInterruptedError, match="Go on with: covalent-parallel deploy up"):
        world.up()
    thread.join()
    assert not lingering.has_finished()
    assert "Terraform finishes what is under way" in capfd.readouterr().err
    assert "terraform_data.bucket" in world.deployment().status().resources
    world.environment = {}
    assert world.down() is True


def test_ctrl_c_is_pythons_own_again_afterwards(lingering: Lingering) -> None:
    before = signal.getsignal(signal.SIGINT)
    thread = interrupt_when(lingering.is_applying)
    with pytest.raises(DeployInterruptedError):
        lingering.world.up()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_a_second_command_at_the_same_time_is_told_to_wait(tmp_path: Path) -> None:
    started, released = tmp_path / "started", tmp_path / "released"
    hold = HOLD.replace("STARTED", str(started)).replace("RELEASED", str(released))
    world = make_world(str(shutil.which("terraform")), tmp_path, {**MODULE, "hold.tf": hold})
    first = threading.Thread(target=world.up)
    first.start()
    try:
        wait_until(started.exists)
        with pytest.raises(DeployError, match="wait for its end"):
            world.up(bucket_name="second-bucket")
    finally:
        released.touch()
        first.join()
    assert world.deployment().status().options["bucket_name"] == "first-bucket"


def test_what_was_said_is_remembered_in_readable_form(world: World) -> None:
    world.up(bucket_name="second-bucket")
    remembered = json.loads((world.folder / "variables.tfvars.json").read_text())
    assert remembered == {"bucket_name": "second-bucket", "project_id": "my-project", "name": "covalent"}


@pytest.mark.parametrize(
    "memory",
    [
        "{",
        "[1]",
        "5",
        "null",
        "\xff",
        "[" * 100_000,
        '{"region": 5}',
        '{"bucket_name": ["a"]}',
        '{"image": ' + "[" * 300 + "]" * 300 + "}",
        '{"unknown": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_broken_memory_is_told_with_its_path(stand_in: str, tmp_path: Path, memory: str) -> None:
    world = make_world(stand_in, tmp_path)
    world.up()
    (world.folder / "variables.tfvars.json").write_text(memory, encoding="latin-1")
    with pytest.raises(DeployError, match=r"variables\.tfvars\.json.*fix or delete it"):
        world.up()


@pytest.mark.parametrize("region", ["5", '"a\\nb"', '"us-east1-b"', "true"])
def test_outputs_that_are_no_values_of_their_options_are_not_written(
    stand_in: str, tmp_path: Path, region: str
) -> None:
    world = make_world(stand_in, tmp_path)
    world.up()
    (world.source / "variables.tf").write_text(MODULE["variables.tf"].replace('"us-east1"', region))
    before = dict(world.configured)
    with pytest.raises(DeployError, match=r"region = .*(?s:.*)outputs of the files in"):
        world.up()
    assert world.configured == before
    assert len(world.asked) == 1  # before anything was done


def test_a_folder_that_cannot_be_made_is_told(world: World, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DeployError, match="set XDG_DATA_HOME to another place"):
        world.up()
