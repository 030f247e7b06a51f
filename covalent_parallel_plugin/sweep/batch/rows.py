"""The rows of a round's outcomes, read from their metadata: one request lists a thousand; no outcome is fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from ...batch.attempt_times import is_time
from ...cloud.interfaces import Bucket
from ...cloud.storage import StoredObject
from ...programs.verdict import Status, TaskEnd
from ...protocol.envelope import ForgedError, WireError
from ...protocol.sweep_identity import SweepIdentity
from ...protocol.sweep_objects import outcome_name, outcomes_prefix, parse_delivered
from ...protocol.sweep_row import SweepRow, read_row

# What a machine may say of a task's end
STATUSES = frozenset(get_args(Status)) - {"waiting"}
_COUNTS = ("index", "round", "attempt", "stdout_bytes", "stderr_bytes", "files", "file_bytes", "left")
_TEXTS = ("key", "name", "machine", "reason")
_TOKEN = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Delivery:
    """What a task has delivered.

    Attributes:
        end: how it ended; its `attempts` are those of this round. `result` is None where the outcome's body has it, and
            `left` is there alone.
    """

    end: TaskEnd
    index: int
    name: str
    key: str
    round: int
    row: SweepRow

    @property
    def is_result_elsewhere(self) -> bool:
        """Whether there is a result, in the outcome's body alone."""
        return self.row.fields["result"] == "body"

    @property
    def is_whole(self) -> bool:
        """Whether the row has all there is: nothing of it is in the outcome's body alone, or in other objects."""
        fields: Mapping[str, Any] = self.row.fields
        more = fields["files"] or fields.get("left", 0)
        return self.row.output is not None and not more and not self.is_result_elsewhere


class RowReader:
    """Reads the outcomes of one round as they come.

    Args:
        keys: of the round's tasks by their indices, where they are known: outcomes of other tasks are refused then.

    Attributes:
        refused: a sentence for each outcome that is not to be used.
    """

    def __init__(
        self, store: Bucket, identity: SweepIdentity, round: int, keys: Mapping[int, str] | None = None
    ) -> None:
        self._store = store
        self._identity = identity
        self._round = round
        self._keys = keys
        # Indices of which there may be outcomes that were not seen yet, latest first; without `keys` the next one
        self._unseen = sorted(keys, reverse=True) if keys is not None else []
        self._next = 0
        self._seen: set[int] = set()
        self._refused: set[tuple[str, int]] = set()
        self.refused: list[str] = []

    def read(self) -> list[Delivery]:
        """Return what came since the last call, in the order of indices.

        The list begins with the first task that has no outcome yet.

        Raises:
            CloudError: the bucket could not be read.
        """
        folder = self._identity.folder
        start = outcome_name(folder, self._round, self._first_unseen())
        found = []
        for stored in self._store.list(outcomes_prefix(folder, self._round), start=start, with_metadata=True):
            index = self._index_in(stored.name)
            if index in self._seen or (stored.name, stored.generation) in self._refused:
                continue
            try:
                delivery = self._delivery(stored, index)
            except WireError as error:
                self._refused.add((stored.name, stored.generation))
                self.refused.append(f"gs://{self._store.bucket_name}/{stored.name} is refused: {error}")
            else:
                self._seen.add(delivery.index)
                found.append(delivery)
        return found

    def _index_in(self, name: str) -> int | None:
        """Return the index of the task whose outcome has this name."""
        parsed = parse_delivered(self._identity.folder, name)
        # Other ways to write a number are not names of outcomes
        if parsed is None or name != outcome_name(self._identity.folder, self._round, parsed.task):
            return None
        return parsed.task

    def _first_unseen(self) -> int:
        if self._keys is not None:
            while len(self._unseen) > 1 and self._unseen[-1] in self._seen:
                self._unseen.pop()
            return self._unseen[-1] if self._unseen else 0
        while self._next in self._seen:
            self._next += 1
        return self._next

    def _delivery(self, stored: StoredObject, index: int | None) -> Delivery:
        if index is None:
            raise WireError("no task's outcome has such a name")
        row = read_row(self._identity.task(self._round, index), stored.metadata)
        end = end_of(row)
        fields: Mapping[str, Any] = row.fields
        if (fields["index"], fields["round"]) != (index, self._round):
            raise ForgedError(f"its row is of task {fields['index']} of round {fields['round']}")
        if self._keys is not None and fields["key"] != self._keys.get(index):
            raise ForgedError("its row has another key than the task")
        return Delivery(end, index, fields["name"], fields["key"], self._round, row)


def end_of(row: SweepRow) -> TaskEnd:
    """Return how a task ended, from its row. Raises WireError: the row lacks something, or is of another kind."""
    fields: Any = row.fields
    problem = _problem_of(fields, row) if isinstance(fields, dict) else "is not a mapping"
    if problem:
        raise WireError(f"its row {problem}")
    return TaskEnd(
        status=fields["status"],
        exit=fields["exit"],
        signal=fields["signal"],
        seconds=fields["seconds"],
        attempts=fields["attempt"] + 1,
        peak_mb=fields.get("peak_mb"),
        machine=fields["machine"],
        started=fields["started"],
        ended=fields["ended"],
        reason=fields["reason"],
        result=row.result,
    )


def _problem_of(fields: Mapping[str, Any], row: SweepRow) -> str:
    """Return what is wrong with the fields of a row that its machine sealed; "" if nothing is."""
    output: Any = row.output
    good = {
        **{name: _is_count(fields.get(name, 0 if name == "left" else None)) for name in _COUNTS},
        **{name: isinstance(fields.get(name), str) for name in _TEXTS},
        **{name: name in fields and (fields[name] is None or _is_whole(fields[name])) for name in ("exit", "signal")},
        **{name: is_time(fields.get(name)) for name in ("seconds", "started", "ended")},
        "measured": isinstance(fields.get("measured", {}), dict),
        "peak_mb": fields.get("peak_mb") is None or is_time(fields["peak_mb"]),
        "token": isinstance(fields.get("token"), str) and _TOKEN.fullmatch(fields["token"]) is not None,
        "status": isinstance(fields.get("status"), str) and fields["status"] in STATUSES,
        "result": fields.get("result") in (("none", "body") if row.result is None else ("row",))
        and isinstance(row.result, dict | None),
        "output": output is None
        or (isinstance(output, dict) and all(_is_output(output.get(name)) for name in ("stdout", "stderr"))),
    }
    wrong = [name for name, is_good in good.items() if not is_good]
    return f"has no {wrong[0]} as it should be" if wrong else ""


def _is_output(value: object) -> bool:
    try:
        return isinstance(value, str) and value.encode(errors="surrogateescape") is not None
    except UnicodeEncodeError:
        return False


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return _is_whole(value) and value >= 0  # type: ignore[operator]  # a whole number
