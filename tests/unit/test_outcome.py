"""An outcome as the dispatcher reads it: the one that was sealed, or OutcomeError."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.electron.outcome import Frame, Origin, Outcome, read_outcome
from covalent_parallel_plugin.errors import OutcomeError
from covalent_parallel_plugin.protocol import envelope
from covalent_parallel_plugin.protocol.envelope import OUTCOME, OUTCOME_KINDS, Part, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding

KEY = b"k" * 32
CALL_ID = "call-1"
COMMON = {"kind": OUTCOME, "call_id": CALL_ID, "task_index": 0, "attempt": 1, "python": "3.11.7"}
VALUE = {**COMMON, "outcome": envelope.VALUE, "name": "f", "cloudpickle": "3.0", "seconds": {"run": 0.5}}
EXCEPTION = {
    **COMMON,
    "outcome": envelope.EXCEPTION,
    "exception": {
        "type": "KeyError",
        "module": "builtins",
        "message": "'x'",
        "args": ["x"],
        "traceback": "Traceback ...\n",
        "frames": [["/a.py", "f", 4, 3, 4, 8, 12]],
        "origin": {"file": "/a.py", "first_line": 3},
    },
}
KILLED = {**COMMON, "outcome": envelope.KILLED, "signal": 9, "exit_status": None, "reason": "", "peak_memory_bytes": 5}
REFUSED = {**COMMON, "outcome": envelope.REFUSED, "reason": "wrong_python", "message": "no"}
PARTS: dict[str, Part] = {"stdout": b"out\n", "stderr": b"err\n", "string": b"7", "value": b"pickle"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def sealed(header: dict[str, Any], parts: dict[str, Part] = PARTS, task_index: int = 0) -> bytes:
    prefix = seal_envelope(header, parts, KEY, task_binding(OUTCOME, CALL_ID, task_index))
    return b"".join(envelope_chunks(prefix, parts))


def read(data: bytes, **where: Any) -> Outcome:
    call = CallIdentity(where.get("call_id", CALL_ID), where.get("key", KEY), "folder")
    return read_outcome(io.BytesIO(data), call.task(where.get("task_index", 0)))


def test_a_value_comes_with_pickle_text_streams_and_timings() -> None:
    outcome = read(sealed(VALUE))
    assert (outcome.kind, outcome.pickle, outcome.shown, outcome.name) == (envelope.VALUE, b"pickle", "7", "f")
    assert (outcome.stdout, outcome.stderr, outcome.attempt) == ("out\n", "err\n", 1)
    assert outcome.seconds == {"run": 0.5}


def test_an_exception_comes_with_all_that_is_told_of_it() -> None:
    raised = read(sealed(EXCEPTION)).raised
    assert raised is not None
    assert (raised.full_name, raised.message, raised.arguments) == ("KeyError", "'x'", ("x",))
    assert raised.frames == (Frame("/a.py", "f", 4, 3, 4, 8, 12),)
    assert raised.origin == Origin("/a.py", 3)


def test_a_death_comes_with_signal_and_memory() -> None:
    outcome = read(sealed(KILLED))
    assert (outcome.signal, outcome.exit_status, outcome.peak_memory_bytes) == (9, None, 5)


def test_a_refusal_comes_with_its_reason() -> None:
    outcome = read(sealed(REFUSED))
    assert (outcome.reason, outcome.message) == ("wrong_python", "no")


def test_the_repr_of_an_outcome_shows_no_payload() -> None:
    assert "pickle" not in repr(read(sealed(VALUE))).replace("cloudpickle", "")


@pytest.mark.parametrize("where", [{"key": b"x" * 32}, {"call_id": "call-2"}, {"task_index": 1}])
def test_another_calls_outcome_is_refused(where: dict[str, Any]) -> None:
    with pytest.raises(OutcomeError):
        read(sealed(VALUE), **where)


@given(st.sampled_from([VALUE, EXCEPTION, KILLED, REFUSED]), st.data())
def test_no_flipped_bit_or_truncation_passes(header: dict[str, Any], data: st.DataObject) -> None:
    whole = bytearray(sealed(header))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    length = data.draw(st.integers(0, len(whole) - 1))
    truncated = bytes(whole[:length])
    whole[bit // 8] ^= 1 << bit % 8
    for changed in (bytes(whole), truncated):
        try:
            outcome = read(changed)
        except OutcomeError:
            continue
        # A part that this kind of outcome does not use may differ.
        assert outcome == read(sealed(header))


@given(st.binary(max_size=20).filter(len))
def test_bytes_after_the_end_are_refused(more: bytes) -> None:
    with pytest.raises(OutcomeError):
        read(sealed(VALUE) + more)


@given(
    st.sampled_from([VALUE, EXCEPTION, KILLED, REFUSED]),
    st.sampled_from([*VALUE, *EXCEPTION, *KILLED, "out_of_memory_kills", "message"]),
    json_values,
)
def test_a_header_from_a_hostile_container_gives_an_outcome_or_outcome_error(
    header: dict[str, Any], key: str, value: Any
) -> None:
    """Sealed by someone who holds the key of this call."""
    try:
        outcome = read(sealed({**header, key: value}))
    except OutcomeError:
        return
    assert outcome.kind in OUTCOME_KINDS


@given(st.sampled_from(list(EXCEPTION["exception"])), json_values)
def test_an_exception_from_a_hostile_container_gives_an_outcome_or_outcome_error(key: str, value: Any) -> None:
    try:
        outcome = read(sealed({**EXCEPTION, "exception": {**EXCEPTION["exception"], key: value}}))
    except OutcomeError:
        return
    assert outcome.raised is not None


@pytest.mark.parametrize("missing", ["outcome", "attempt", "python"])
def test_a_header_that_lacks_something_is_refused(missing: str) -> None:
    with pytest.raises(OutcomeError):
        read(sealed({name: value for name, value in VALUE.items() if name != missing}))


def test_a_value_without_its_pickle_is_refused() -> None:
    with pytest.raises(OutcomeError, match="value"):
        read(sealed(VALUE, {"stdout": b""}))


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "9" * 5000, -1e400])
@pytest.mark.parametrize("name", ["attempt", "peak_memory_bytes", "out_of_memory_kills"])
def test_a_number_that_is_none_is_refused(name: str, value: object) -> None:
    with pytest.raises(OutcomeError):
        read(sealed({**VALUE, name: value}))


def test_text_that_cannot_be_written_anywhere_is_made_such() -> None:
    """As the message of an error about a file whose name is not UTF-8: Covalent has to store it."""
    exception = {**EXCEPTION["exception"], "message": "caf\udce9", "traceback": "OSError: caf\udce9\n"}
    raised = read(sealed({**EXCEPTION, "exception": exception})).raised
    assert raised is not None
    assert "caf" in raised.traceback.encode().decode()
    assert "caf" in raised.message.encode().decode()
