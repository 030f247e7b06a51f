"""Where the program of a task on Batch finds things: on its machine, and in the bucket."""

from __future__ import annotations

from ...protocol import sweep_machine
from ...protocol.sweep_identity import SweepIdentity
from ..staging.config_file import config_name
from ..sweep_file import SweepFile
from ..tasks import LocalPaths


def batch_paths(file: SweepFile, identity: SweepIdentity, round: int, index: int) -> LocalPaths:
    """Return where the program of a task finds things on its machine, and objects in the bucket."""
    folder = file.outputs or sweep_machine.program_folder(round, index)
    prefix = identity.task(round, index).own_prefix
    config = config_name(file.config or "json")
    return LocalPaths(
        folder=folder,
        inputs={name: f"{sweep_machine.INPUTS_FOLDER}/{name}" for name in file.inputs},
        prefix=prefix,
        config=f"{folder}/{config}",
        config_object=f"{prefix}{config}",
        result_object=prefix + ((file.result.file if file.result else "") or "result.json"),
    )
