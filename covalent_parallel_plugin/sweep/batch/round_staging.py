"""What a round's machines are given, on its way into the bucket: contents, shards, and the setup last."""

from __future__ import annotations

from collections.abc import Sequence

from ...cloud.interfaces import Bucket
from ...protocol.sweep_identity import SweepIdentity
from ..records.out_folder import INPUT_DIGESTS, OutFolder
from ..staging.inputs import DigestCache
from ..tasks import SweepTask, SweepTasks
from .contents import ContentUpload
from .image_pin import BatchImage
from .launches import ShardTasks
from .setup import RoundShape, SharedContents, setup_document, write_setup
from .shards import ShardError, write_shards


class RoundStaging:
    """Brings rounds of one run into the bucket; blocking.

    Args:
        tasks: the sweep's, with their files staged.
        count: how many tasks the sweep has.
    """

    def __init__(
        self, store: Bucket, identity: SweepIdentity, out: OutFolder, tasks: SweepTasks, image: BatchImage, count: int
    ) -> None:
        self._store, self._identity, self._out = store, identity, out
        self._tasks, self._image, self._count = tasks, image, count
        self._contents: SharedContents | None = None

    def stage(self, shape: RoundShape, tasks: Sequence[SweepTask]) -> bool:
        """Bring a round into the bucket; False if there is another one of its number.

        Raises:
            ParallelError: files or inputs have changed since the run began, or cannot be read.
            CloudError: a bucket cannot be used.
        """
        file, pinned = self._tasks.file, self._tasks.pinned
        if self._contents is None:
            digests = DigestCache(self._out.path / INPUT_DIGESTS)
            upload = ContentUpload(self._store, self._identity, file.settings.project_id, digests, self._out.path)
            self._contents = upload.upload(self._tasks.files, file.inputs, pinned.inputs)
        launches = ShardTasks(
            self._tasks, self._image, self._identity, shape.round, self._count, self._store.bucket_name
        )
        try:
            write_shards(self._store, self._identity, shape.round, shape.shard_size, map(launches.of, tasks))
        except ShardError:
            return False
        document = setup_document(file, self._image, self._identity, self._contents, shape, self._count)
        return write_setup(self._store, self._identity, shape.round, document)
