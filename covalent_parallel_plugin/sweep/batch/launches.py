"""What the machines get of each task: its words, variables, templates and configuration, placeholders filled."""

from __future__ import annotations

from ...programs.core_schema import json_value
from ...protocol.sweep_identity import SweepIdentity
from ..tasks import SweepTask, SweepTasks, describe_task
from .image_pin import BatchImage
from .shards import ShardTask
from .task_paths import batch_paths

# The machine knows which attempt it is
ATTEMPT = "SWEEP_ATTEMPT"
# What a shard's task does not say by itself
DESCRIBED = ("parameters", "repeat", "image", "entrypoint", "arguments", "secrets")


class ShardTasks:
    """Fills in the tasks of one round.

    Args:
        tasks: the sweep's, with the files that they get.
        image: whose entrypoint and command stand where the file has none.
        count: how many tasks the sweep has.
        bucket_name: the bucket of the sweep's objects.
    """

    def __init__(
        self, tasks: SweepTasks, image: BatchImage, identity: SweepIdentity, round: int, count: int, bucket_name: str
    ) -> None:
        self._tasks, self._image, self._identity = tasks, image, identity
        self._round, self._count, self._bucket_name = round, count, bucket_name

    def of(self, task: SweepTask) -> ShardTask:
        """Return a task. Raises LayOutError, PreparationError where its files cannot be made."""
        file, files = self._tasks.file, self._tasks.files
        paths = batch_paths(file, self._identity, self._round, task.index)
        launch = self._tasks.launch(task, paths, sweep_id=self._identity.sweep_id, count=self._count, attempt=0)
        variables = {
            **launch.environment,
            "SWEEP_BUCKET": self._bucket_name,
            "SWEEP_PREFIX": paths.prefix,
            "SWEEP_RESULT_OBJECT": paths.result_object,
        }
        if file.config:
            variables["SWEEP_CONFIG_OBJECT"] = paths.config_object
        del variables[ATTEMPT]
        described = describe_task(file, task, launch)
        return ShardTask(
            index=task.index,
            name=task.name,
            key=task.key,
            argv=launch.words(self._image.pinned),
            environment=variables,
            config=files.config(task.combination).decode() if file.config else None,
            templates={**files.filled(launch.values), **files.prepared(task.combination, launch.values)},
            description={name: json_value(described[name]) for name in DESCRIBED},
        )
