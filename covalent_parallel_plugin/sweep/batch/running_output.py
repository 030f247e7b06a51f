"""What executions of a task have printed while they ran, as their machines delivered it: read, and written to files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from ...batch.download_buffer import DownloadBuffer
from ...cloud.interfaces import Bucket
from ...cloud.threads import map_in_threads
from ...errors import OutcomeError
from ...protocol.envelope import WireError
from ...protocol.live_part import LivePart
from ...protocol.live_part import read_live_part as read_part
from ...protocol.sweep_identity import SweepIdentity, SweepTaskAddress
from ...protocol.sweep_objects import LiveName, live_name, live_prefix, parse_live

DELETIONS_AT_ONCE = 8


class RunningOutput:
    """The output that executions of a sweep's tasks have delivered; may be read by several threads at once."""

    def __init__(self, store: Bucket, identity: SweepIdentity) -> None:
        self._store = store
        self._identity = identity

    def names(self, task: SweepTaskAddress, start: LiveName | None = None) -> list[LiveName]:
        """List the parts of one task, oldest attempt first, from a name on. Raises CloudError."""
        first = "" if start is None else live_name(self._identity.folder, *start)
        return self._listed(task.live_prefix, first)

    def of_round(self, round: int) -> list[LiveName]:
        """List the parts of all tasks of a round. Raises CloudError."""
        return self._listed(live_prefix(self._identity.folder, round))

    def _listed(self, prefix: str, start: str = "") -> list[LiveName]:
        folder = self._identity.folder
        listed = self._store.list(prefix, start=start)
        return [name for stored in listed if (name := parse_live(folder, stored.name)) is not None]

    def read(self, name: LiveName) -> LivePart | None:
        """Fetch a part; None if it is gone.

        Raises:
            OutcomeError: it is not the one that its machine sealed. CloudError: the bucket cannot be used.
        """
        execution = self._identity.task(name.round, name.task).execution(name.token)
        object_name = execution.live_name(name.attempt, name.number)
        title = f"some output of a task, gs://{self._store.bucket_name}/{object_name},"
        binding = execution.live_binding(name.attempt, name.number)
        with DownloadBuffer(tempfile.gettempdir(), execution.key, binding, title) as found:
            if not found.fetch(self._store, object_name):
                return None
            try:
                return read_part(found.file, execution, name.attempt, name.number)
            except WireError as error:
                raise OutcomeError(f"{title} is refused: {error}") from error

    def delete(self, task: SweepTaskAddress, token: str) -> None:
        """Delete the parts of one execution of a task. Raises CloudError."""
        names = [live_name(self._identity.folder, *name) for name in self.names(task) if name.token == token]
        for _ in map_in_threads(self._store.delete, names, DELETIONS_AT_ONCE):
            pass


def executions(names: Iterable[LiveName], reported: Iterable[str]) -> dict[tuple[int, str], list[LiveName]]:
    """Group parts by attempt and token, without the executions whose tokens have reported."""
    known, found = set(reported), dict[tuple[int, str], list[LiveName]]()
    for name in names:
        if name.token not in known:
            found.setdefault((name.attempt, name.token), []).append(name)
    return found


def write_streams(parts: Sequence[LivePart], paths: Mapping[str, Path]) -> float:
    """Write what one execution has delivered of its streams to files, which must not be there.

    Returns:
        When the last of it was read, in seconds since 1970; 0 if that is not known.
    """
    ended = 0.0
    with ExitStack() as stack:
        files = {stream: stack.enter_context(path.open("xb")) for stream, path in paths.items()}
        ends = dict.fromkeys(files, 0)
        for part in parts:
            for stream, piece in (("stdout", part.stdout), ("stderr", part.stderr)):
                if piece.start > ends[stream]:
                    files[stream].write(left_out(piece.start - ends[stream]))
                files[stream].write(piece.data[max(ends[stream] - piece.start, 0) :])
                ends[stream] = max(ends[stream], piece.end)
                ended = max([ended, *(when for _, when in piece.times)])
    return ended


def left_out(count: int) -> bytes:
    """Return the line that stands for bytes that no part has."""
    return b"\n[%d bytes are left out here: they came faster than they could be delivered]\n" % count
