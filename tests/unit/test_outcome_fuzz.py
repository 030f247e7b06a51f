"""Ten thousand outcomes that are not the one that was sealed: refused, or exactly the right value; never unpickled."""

from __future__ import annotations

import builtins
import hashlib
import io
import json
import pickle
import random
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from covalent_parallel_plugin.cloud.batch import JobStatus
from covalent_parallel_plugin.covalent_api.transportable import RawTransportable
from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.electron.outcome import Outcome, read_outcome, read_streams
from covalent_parallel_plugin.electron.traceback_source import SourceText, with_source_lines
from covalent_parallel_plugin.electron.verdict import ElectronEvidence, Value, verdict
from covalent_parallel_plugin.errors import OutcomeError, ParallelError
from covalent_parallel_plugin.protocol import envelope
from covalent_parallel_plugin.protocol.envelope import (
    EXCEPTION,
    KILLED,
    MAGIC,
    MAX_HEADER_BYTES,
    OUTCOME,
    PARTIAL,
    REFUSED,
    SEAL_BYTES,
    VALUE,
    _seal_of,
)
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding
from covalent_parallel_plugin.settings import Settings

KEY, OTHER_KEY = b"k" * 32, b"x" * 32
CALL_ID, OTHER_CALL = "0123456789abcdef", "fedcba9876543210"
ADDRESS = CallIdentity(CALL_ID, KEY, "folder").task()
CALL = Call("d", 7, "train", "3.11.7", "0.240.0")
OPTIONS = Settings(bucket_name="some-bucket", project_id="my-project")
JOB = JobStatus("projects/p/locations/l/jobs/covalent-d-7", "uid-1", "SUCCEEDED")

COMMON = {"kind": OUTCOME, "call_id": CALL_ID, "task_index": 0, "attempt": 0, "python": "3.11.7"}
RAISED = {"type": "KeyError", "module": "builtins", "message": "'x'", "args": ["x"], "traceback": "Traceback ...\n"}
HEADERS: list[dict[str, Any]] = [
    {**COMMON, "outcome": VALUE, "name": "f", "cloudpickle": "3.0", "seconds": {"run": 0.5}},
    {**COMMON, "outcome": EXCEPTION, "exception": {**RAISED, "frames": [["/a.py", "f", 4, 3, 4, 8, 12]]}},
    {**COMMON, "outcome": KILLED, "signal": 9, "exit_status": None, "reason": "", "peak_memory_bytes": 5},
    {**COMMON, "outcome": REFUSED, "reason": "wrong_python", "message": "no"},
]


class Bomb:
    """Its pickle, once loaded, makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.fixture
def crater(tmp_path: Path) -> Path:
    """The file that a bomb would make."""
    return tmp_path / "crater"


def parts_of(header: dict[str, Any], bomb: bytes) -> dict[str, bytes]:
    streams = {"stdout": b"out\n" + bomb, "stderr": b"err\n"}
    return {**streams, "string": b"7", "value": bomb} if header["outcome"] == VALUE else streams


def sealed(
    header: dict[str, Any] | bytes,
    parts: dict[str, bytes],
    key: bytes = KEY,
    call_id: str = CALL_ID,
    kind: str = OUTCOME,
    task_index: int = 0,
) -> bytes:
    """An envelope as the runner makes it, or of any bytes as header."""
    if isinstance(header, dict):
        table = [[name, len(part), hashlib.sha256(part).hexdigest()] for name, part in parts.items()]
        header = json.dumps({"parts": table, **header}).encode()
    start = MAGIC + len(header).to_bytes(4, "big") + header
    return start + _seal_of(start, key, task_binding(kind, call_id, task_index)) + b"".join(parts.values())


def read(data: bytes) -> Outcome:
    return read_outcome(io.BytesIO(data), ADDRESS)


def followed_through(outcome: Outcome) -> None:
    """All that the dispatcher does with an outcome, down to the bytes and the text that Covalent stores."""
    found = verdict(CALL, OPTIONS, JOB.name, ElectronEvidence(JOB, outcome=outcome))
    if isinstance(found, Value):
        # Behind two offsets of eight bytes all is text
        RawTransportable(found.outcome).serialize()[16:].decode()
        found.outcome.stdout.encode()
        return
    found.stdout.encode()
    found.stderr.encode()
    str(found.error).encode()
    "".join(traceback.format_exception(found.error)).encode()


def flip(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        bit = chance.randrange(len(data) * 8)
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def cut(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    return data[: chance.randrange(len(data))]


def cut_inside(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randrange(1, 40) :]


def lengthen(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    where = chance.choice((0, len(data), chance.randrange(len(data))))
    return data[:where] + chance.randbytes(chance.randrange(1, 40)) + data[where:]


def splice(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """The header of one and the body of another, or any two halves."""
    other = chance.choice(others)
    if chance.random() < 0.5:
        return data[: body_of(data)] + other[body_of(other) :]
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


def body_of(data: bytes) -> int:
    start = len(MAGIC) + 4
    return start + int.from_bytes(data[len(MAGIC) : start], "big") + SEAL_BYTES


def foreign(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    return chance.choice(others)


def overwrite(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    start, length = chance.randrange(len(data)), chance.randrange(1, 60)
    return data[:start] + chance.randbytes(length) + data[start + length :]


def noise(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    return chance.choice((b"", MAGIC)) + chance.randbytes(chance.randrange(200))


def reseal(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Another header, sealed with a key that was guessed."""
    header = {**chance.choice(HEADERS), "attempt": chance.randrange(9)}
    guess = chance.choice((b"", b"\0" * 32, CALL_ID.encode(), KEY[:-1], KEY + b"\0", OTHER_KEY, chance.randbytes(32)))
    if guess == KEY + b"\0":
        # HMAC pads a key with zeros: these two are one and the same
        guess = KEY + b"\1"
    return sealed(header, parts_of(header, data[-50:]), key=guess)


def reseal_as_another(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Sealed with the right key for something else: another call, another task, output so far, the call itself."""
    header = chance.choice(HEADERS)
    what: dict[str, Any] = chance.choice(
        ({"call_id": OTHER_CALL}, {"task_index": 1}, {"kind": PARTIAL}, {"kind": envelope.CALL})
    )
    return sealed(header, parts_of(header, data[-50:]), **what)


MUTATIONS = [flip, cut, cut_inside, lengthen, splice, foreign, overwrite, noise, reseal, reseal_as_another]


@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_changed_outcomes_are_refused_or_exactly_right(seed: int, crater: Path) -> None:
    chance = random.Random(seed)
    bomb = pickle.dumps(Bomb(crater))
    originals = [sealed(header, parts_of(header, bomb)) for header in HEADERS]
    right = [read(original) for original in originals]
    others = [
        *(sealed(header, parts_of(header, bomb), key=OTHER_KEY) for header in HEADERS),
        *(sealed(header, parts_of(header, bomb), call_id=OTHER_CALL) for header in HEADERS),
        *(sealed(header, parts_of(header, bomb), task_index=1) for header in HEADERS),
        sealed({**COMMON, "kind": PARTIAL}, {"stdout": bomb, "stderr": b""}, kind=PARTIAL),
        sealed(CALL.header(CALL_ID), {"function": bomb}, kind=envelope.CALL),
        bomb,
    ]
    refused = 0
    for number in range(1000):
        which = number % len(originals)
        mutation = MUTATIONS[number % len(MUTATIONS)]
        changed = mutation(originals[which], chance, [*others, *originals] if mutation is splice else others)
        try:
            outcome = read(changed)
        except OutcomeError:
            refused += 1
            continue
        assert outcome in right, mutation.__name__
        followed_through(outcome)
    assert refused > 900
    assert not crater.exists()


def test_the_bomb_of_these_tests_does_go_off(crater: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(crater)))  # noqa: S301
    assert crater.exists()


def test_a_value_is_followed_through_without_being_unpickled(crater: Path) -> None:
    bomb = pickle.dumps(Bomb(crater))
    outcome = read(sealed(HEADERS[0], parts_of(HEADERS[0], bomb)))
    followed_through(outcome)
    assert outcome.pickle == bomb
    assert not crater.exists()


EXCEPTIONS = sorted(
    name for name, entry in vars(builtins).items() if isinstance(entry, type) and issubclass(entry, BaseException)
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**310)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["\udce9", "eval", "__import__", "exec", "open", "value", "killed", "x" * 10_000, "\0"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TOP = sorted({name for header in HEADERS for name in header} | {"out_of_memory_kills", "parts", "memory_limit_bytes"})
QUICK = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(st.sampled_from(HEADERS), st.dictionaries(st.sampled_from(TOP), json_values, min_size=1, max_size=3))
@example(HEADERS[2], {"peak_memory_bytes": 10**400})
@example(HEADERS[2], {"signal": None, "exit_status": "\udce9"})
@example(HEADERS[2], {"signal": [9]})
@example(HEADERS[2], {"signal": True})
@example(HEADERS[2], {"signal": 9.0})
@example(HEADERS[2], {"signal": -1})
@example(HEADERS[2], {"out_of_memory_kills": "many"})
@example(HEADERS[0], {"attempt": -1})
@example(HEADERS[0], {"python": "3.\udce9"})
@example(HEADERS[0], {"seconds": [["run", 1]]})
@example(HEADERS[0], {"seconds": {"run": float("nan")}})
@example(HEADERS[0], {"outcome": "x" * 10_000_000})
@example(HEADERS[3], {"message": ["no"]})
@example(HEADERS[3], {"parts": [["stdout", 2**60, ""]]})
@example(HEADERS[3], {"parts": [["stdout", -1, ""]]})
@example(HEADERS[3], {"parts": {"abc": 1}})
@example(HEADERS[3], {"parts": [["stdout", 0, ""]] * 1000})
def test_a_hostile_containers_header_ends_in_a_verdict_or_a_refusal(
    header: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Sealed by somebody who holds the key of this call: a container is not trusted either."""
    check_end_of({**header, **changes})


carried = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.tuples(st.sampled_from(["tuple", "list", "bytes", "set", "object", "\udce9"]), st.lists(inner, max_size=4))
        | st.tuples(st.just("bytes"), st.text(max_size=8))
        | st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)


@QUICK
@given(st.sampled_from(EXCEPTIONS), st.lists(carried, max_size=5))
@example("SyntaxError", ["m", ["tuple", ["/etc/passwd", 1, 1, None]]])
@example("SyntaxError", ["m", ["tuple", ["f", "x", "y", 5]]])
@example("SyntaxError", ["m", ["tuple", ["f", 1, 10**9, "x", 1, -5]]])
@example("IndentationError", ["m", ["list", ["f", 1, -1, "\udce9"]]])
@example("UnicodeDecodeError", ["utf-8", ["bytes", "AAAA"], -(2**62), 2**62, "why"])
@example("UnicodeDecodeError", ["utf-8", ["bytes", "no base64"], 0, 1, "why"])
@example("UnicodeDecodeError", ["utf-8", ["bytes", 5], 0, 1, "why"])
@example("ExceptionGroup", ["m", ["list", [["tuple", []]]]])
@example("ExceptionGroup", ["m", ["list", []]])
@example("OSError", [2, "gone", ["bytes", "AAAA"], None, "other"])
@example("OSError", [["tuple", []], ["list", []]])
@example("BlockingIOError", [11, "x", 10**400])
@example("KeyError", [["tuple", [["list", [["bytes", ""]]]]]])
@example("ValueError", [["list", 5]])
@example("ValueError", [["list"]])
@example("ValueError", [["list", [], []]])
@example("ValueError", [[["list"], []]])
@example("ValueError", [{"a": 1}])
def test_hostile_arguments_of_a_builtin_exception_end_in_a_verdict_or_a_refusal(
    name: str, arguments: list[Any]
) -> None:
    check_end_of({**HEADERS[1], "exception": {**RAISED, "type": name, "args": arguments}})


@pytest.mark.parametrize("depth", [10, 500, *range(880, 1000, 5), 5000, 100_000])
@pytest.mark.parametrize("opening", ['["list", [', '[["list", [', "[["])
def test_arguments_nested_deeply_end_in_a_verdict_or_a_refusal(depth: int, opening: str) -> None:
    nested = opening * (depth // 2) + "1" + "]" * opening.count("[") * (depth // 2)
    exception = json.dumps({**RAISED, "type": "ValueError", "args": ["@@"]}).replace('"@@"', nested)
    text = json.dumps({**HEADERS[1], "exception": "@@", "parts": []}).replace('"@@"', exception).encode()
    try:
        followed_through(read(sealed(text, {})))
    except OutcomeError as error:
        assert len(str(error)) < 2000


@pytest.mark.parametrize("name", ["\udce9", "x" * 10_000, 5, ["os"], {"a": 1}, None, True])
def test_a_hostile_name_of_a_missing_module_ends_in_a_verdict_or_a_refusal(name: Any) -> None:
    for kind in ("ImportError", "ModuleNotFoundError", "KeyError"):
        check_end_of({**HEADERS[1], "exception": {**RAISED, "type": kind, "import_name": name}})


@QUICK
@given(
    st.dictionaries(
        st.sampled_from(["type", "module", "message", "args", "traceback", "frames", "origin", "chain"]),
        json_values | st.lists(json_values, max_size=5),
        min_size=1,
    )
)
@example({"type": "eval", "args": ["1/0"]})
@example({"type": "__import__", "args": ["antigravity"]})
@example({"type": "open", "args": ["/tmp/never", "w"]})
@example({"type": "SyntaxError", "args": ["m", ["f", "x", "y", 5]]})
@example({"type": "SyntaxError", "args": ["m", "abcd"]})
@example({"type": "ExceptionGroup", "args": ["m", [{}]]})
@example({"type": "OSError", "args": [2, "gone", "caf\udce9"]})
@example({"type": "ValueError", "args": ["\udce9"]})
@example({"type": "ValueError", "args": "abc"})
@example({"type": "ValueError", "args": {"a": 1}})
@example({"type": "SystemExit", "args": [0]})
@example({"type": "KeyboardInterrupt", "args": []})
@example({"type": "StopIteration", "args": []})
@example({"type": "GeneratorExit", "args": []})
@example({"type": "BaseException", "args": []})
@example({"type": ["ValueError"]})
@example({"module": None})
@example({"frames": [["f", "g", 10**400, 1, None, None, None]]})
@example({"frames": [["f", "g", 1, 1, 10**18, 10**18, 10**18]]})
@example({"frames": [["/\0.py", "g", 1, 1, 1, 1, 1]], "traceback": '  File "/\0.py", line 1, in g\n'})
@example({"frames": [["f"]]})
@example({"frames": {"abc": 1}})
@example({"origin": {"file": "f"}})
@example({"origin": ["f", 1]})
def test_a_hostile_containers_exception_ends_in_a_verdict_or_a_refusal(changes: dict[str, Any]) -> None:
    check_end_of({**HEADERS[1], "exception": {**RAISED, **changes}})


def check_end_of(header: dict[str, Any]) -> None:
    try:
        outcome = read(sealed(header, parts_of(HEADERS[0], b"pickle") if "parts" not in header else {}))
    except OutcomeError as error:
        text = str(error)
        assert len(text) < 2000
        text.encode()
        return
    followed_through(with_source_lines(outcome, SourceText("def f():\n    pass\n")))


def builtin_classes() -> list[str]:
    return [name for name, entry in vars(builtins).items() if isinstance(entry, type)]


@pytest.mark.parametrize("name", builtin_classes())
def test_no_builtin_class_named_by_a_container_does_anything_but_be_an_exception(name: str, tmp_path: Path) -> None:
    target = tmp_path / "made"
    for arguments in ([], [str(target)], [str(target), "w"], [2, "gone", str(target)], [10**9], ["print(1)"]):
        exception = {**RAISED, "type": name, "args": arguments}
        found = verdict(
            CALL,
            OPTIONS,
            JOB.name,
            ElectronEvidence(
                JOB, outcome=read(sealed({**HEADERS[1], "exception": exception}, parts_of(HEADERS[1], b"")))
            ),
        )
        assert not isinstance(found, Value)
        assert isinstance(found.error, ParallelError) or type(found.error).__module__ == "builtins"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"7",
        b"[]",
        b'"text"',
        b"{}",
        b"{",
        b'{"parts": []}',
        b'{"parts": null}',
        b'{"parts": [], "outcome": "value"}',
        b"\xff\xfe",
        b'{"parts": [["value", 1e400, ""]]}',
        b'{"parts": [["value", NaN, ""]]}',
        b'{"parts": [["value", ' + b"9" * 5000 + b', ""]]}',
        b'{"parts": [], "outcome": "refused", "python": "3", "attempt": ' + b"9" * 4000 + b"}",
        b'{"parts": [], "outcome": "refused", "python": "3", "attempt": -0}',
        *(b"[" * depth for depth in (900, 1000, 10_000, 1_000_000)),
        *(
            b'{"parts": [], "outcome": "refused", "python": "3", "attempt": 0, "message": '
            + b"[" * depth
            + b"]" * depth
            + b"}"
            for depth in (1, 500, *range(900, 1000, 7), 5000, 100_000)
        ),
        *(
            b'{"parts": [], "outcome": ' + b'{"a":' * depth + b"0" + b"}" * depth + b"}"
            for depth in (500, *range(900, 1000, 7), 5000)
        ),
        b'{"parts": [' + b",".join([b'["value", 0, ""]'] * 100_000) + b"]}",
    ],
    ids=lambda text: f"{len(text)}-{text[:12]!r}",
)
def test_a_sealed_header_that_is_no_header_is_refused_or_read(text: bytes) -> None:
    try:
        followed_through(read(sealed(text, {})))
    except OutcomeError as error:
        assert len(str(error)) < 2000


def test_an_impossible_length_of_the_header_is_refused_before_anything_is_read() -> None:
    for length in (0, MAX_HEADER_BYTES, MAX_HEADER_BYTES + 1, 2**32 - 1):
        with pytest.raises(OutcomeError):
            read(MAGIC + length.to_bytes(4, "big") + b"{}")


@pytest.mark.parametrize("size", [2**40, 2**50])
def test_a_part_larger_than_the_object_is_not_asked_for(size: int, tmp_path: Path) -> None:
    """A file would be asked for so many bytes, and memory for them be taken first."""
    text = json.dumps({"parts": [["stdout", size, "0" * 64]], **HEADERS[2]}).encode()
    for kind, reader in (
        (OUTCOME, lambda file: read_outcome(file, ADDRESS)),
        (PARTIAL, lambda file: read_streams(file, KEY, task_binding(PARTIAL, CALL_ID))),
    ):
        path = tmp_path / kind
        path.write_bytes(sealed(text, {}, kind=kind))
        with path.open("rb") as file, pytest.raises(OutcomeError, match="its header tells of"):
            reader(file)


@given(st.binary(max_size=300), st.integers(0, 2**16))
def test_output_so_far_that_was_changed_is_refused(noise: bytes, where: int) -> None:
    data = sealed({**COMMON, "kind": PARTIAL}, {"stdout": b"out\n", "stderr": b"err\n"}, kind=PARTIAL)
    bound_to = task_binding(PARTIAL, CALL_ID)
    assert read_streams(io.BytesIO(data), KEY, bound_to) == ("out\n", "err\n")
    where %= len(data)
    changed = data[:where] + noise + data[where + len(noise) :]
    if changed == data:
        return
    with pytest.raises(OutcomeError):
        read_streams(io.BytesIO(changed), KEY, bound_to)


def test_an_outcome_cannot_stand_in_for_output_so_far() -> None:
    data = sealed(HEADERS[2], parts_of(HEADERS[2], b""))
    with pytest.raises(OutcomeError):
        read_streams(io.BytesIO(data), KEY, task_binding(PARTIAL, CALL_ID))


def test_arguments_of_an_exception_are_writable_text() -> None:
    exception = {**RAISED, "type": "OSError", "args": [2, "caf\udce9"]}
    raised = read(sealed({**HEADERS[1], "exception": exception}, parts_of(HEADERS[1], b""))).raised
    assert raised is not None
    assert raised.arguments == (2, "caf\\udce9")
    assert replace(raised, arguments=()).full_name == "OSError"
