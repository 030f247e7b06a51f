"""A task's row of the table in the custom metadata of its outcome, sealed: one page of a list has a thousand.

Cloud Storage takes 4 KiB for one value and 8 KiB in all (https://cloud.google.com/storage/quotas#objects).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Dict, Mapping, NamedTuple, Optional

from .envelope import ForgedError, UnknownVersionError, WireError
from .sweep_identity import SweepTaskAddress

VERSION = "1"
MOST_VALUE_BYTES = 4096
# Standard output and error of a task together; more is in the outcome's body alone
MOST_OUTPUT_BYTES = 1024
# A row's other texts are cut so that it stays below a value's limit
MOST_REASON_CHARACTERS = 400

Json = Dict[str, object]


class SweepRow(NamedTuple):
    """A row that was checked.

    Attributes:
        fields: `index`, `key`, `name`, `round`, `attempt`, `token`, the fields of the task's end (`status`, `exit`,
            `signal`, `seconds`, `machine`, `started`, `ended`, `reason`), `stdout_bytes`, `stderr_bytes`, `files`,
            `file_bytes`, `measured` (times, machine, cpu_seconds, peak_memory_bytes) and, where there are names of what
            was left, `left`, their number.
        result: None where there is none, or where it is in the body alone (`fields["result"]` is "body" then).
        output: texts of stdout and stderr; None where they are in the body alone.
    """

    fields: Json
    result: Optional[Json]
    output: Optional[Json]


def row_metadata(
    address: SweepTaskAddress, fields: Json, result: Optional[Mapping[str, object]], output: Mapping[str, str]
) -> Dict[str, str]:
    """Return the custom metadata of an outcome: the row, the result if it is small, the output if it is, and the seal.

    `fields` gets `result`: "none", "row", or "body".
    """
    shown = None if result is None else _text(result)
    is_small = shown is not None and len(shown) <= MOST_VALUE_BYTES
    fields["result"] = "none" if shown is None else "row" if is_small else "body"
    entries = {"row": _text(fields)}
    if shown is not None and is_small:
        entries["result"] = shown
    # JSON writes an odd character in up to six bytes
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in output.values()) <= MOST_OUTPUT_BYTES:
        shown = _text(output)
        if len(shown) <= 2 * MOST_OUTPUT_BYTES:
            entries["output"] = shown
    return {"version": VERSION, **entries, "seal": _seal(address, entries)}


def read_row(address: SweepTaskAddress, metadata: Mapping[str, str]) -> SweepRow:
    """Read the row in an outcome's metadata.

    Raises:
        WireError: it has none, or one that was changed, or made for another task, round or sweep.
    """
    if metadata.get("version") != VERSION or "row" not in metadata:
        raise UnknownVersionError("the outcome has no row that this version reads")
    entries = {name: metadata[name] for name in ("row", "result", "output") if name in metadata}
    if not hmac.compare_digest(metadata.get("seal", "").encode("utf-8", "replace"), _seal(address, entries).encode()):
        raise ForgedError("the row's seal does not fit: it was changed, or made for another task")
    try:
        fields = json.loads(entries["row"])
        result = json.loads(entries["result"]) if "result" in entries else None
        output = json.loads(entries["output"]) if "output" in entries else None
    except (ValueError, RecursionError) as error:
        raise WireError("the sealed row cannot be read: %.300s" % error) from error
    return SweepRow(fields, result, output)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _seal(address: SweepTaskAddress, entries: Mapping[str, str]) -> str:
    text = _text([address.row_binding.decode(), {name: entries[name] for name in sorted(entries)}])
    return hmac.new(address.sweep.key, text.encode(), hashlib.sha256).hexdigest()
