"""Print the pickles of functions and values of many kinds, as JSON: name and hexadecimal digits.

With "used" everything is used first, more is imported, and the last is pickled first; with "again" each pickle is
loaded and pickled again.
"""

from __future__ import annotations

import abc
import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import json
import logging
import math
import operator
import pathlib
import pickle
import re
import sys
import typing
import uuid
import wsgiref

import cloudpickle
import numpy as np
import pandas as pd

from covalent_parallel_plugin.protocol.cached_functions import carry_cached_functions, carry_names_of_class_bodies

# As programs do that import the executor
carry_cached_functions(cloudpickle)
carry_names_of_class_bodies(cloudpickle)

# more lines
FACTOR = 3
NAMES = {"alpha", "beta", "gamma", "delta", "epsilon"}
LOG = logging.getLogger("kinds")


def scaled(value: float) -> float:
    return FACTOR * value


def uses_helpers(values: list[float], extra: int = 2, *, limits: tuple[int, int] = (1, 9)) -> float:
    """Add up what helpers make."""
    # more lines
    found = sum(scaled(value) for value in values if limits[0] < value < limits[1])
    LOG.debug("%s", found)
    return math.sqrt(found) + extra


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def is_even(n: int) -> bool:
    return n == 0 or is_odd(n - 1)


def is_odd(n: int) -> bool:
    return n != 0 and is_even(n - 1)


CHOICES = {is_even, is_odd, fibonacci, scaled}


def chooses(name: str) -> object:
    return {choice.__name__: choice for choice in CHOICES}[name] if name not in NAMES else name in {"x", "y", "zz", "q"}


def counter(start: int) -> typing.Callable[[], int]:
    count = start

    def step() -> int:
        nonlocal count
        count += 1
        return count

    return step


# more lines
def nested_recursion() -> typing.Callable[[int], int]:
    def down(n: int) -> int:
        return 0 if n == 0 else down(n - 1)

    return down


def noted(function: typing.Any) -> typing.Any:
    @functools.wraps(function)
    def wrapper(*args: typing.Any, **kwargs: typing.Any) -> typing.Any:
        LOG.info("called")
        return function(*args, **kwargs)

    return wrapper


@noted
def decorated(x: int) -> int:
    return x + 1


def branches(value: typing.Any) -> typing.Any:
    try:
        match value:
            case {"a": first, **rest}:
                return first, rest
            case [first, *_]:
                return first
        with open(value) as file:
            return [line for line in file if (short := line.strip()) and short]
    except (OSError, TypeError) as error:
        raise ValueError(f"{value!r}: {error}") from error
    finally:
        LOG.debug("done")


def generated(n: int) -> typing.Iterator[int]:
    yield from range(n)


async def awaited(n: int) -> int:
    await asyncio.sleep(0)
    return n


def uses_submodules(text: str) -> object:
    return wsgiref.headers.Headers([("a", text)]) if text else ""


@functools.lru_cache(maxsize=9)
def remembered(n: int) -> int:
    return scaled(n)


@functools.singledispatch
def shown(value: object) -> str:
    return str(value)


@shown.register
def _(value: int) -> str:
    return f"{value} (int)"


class Animal(abc.ABC):
    """An animal."""

    legs: int = 4

    @abc.abstractmethod
    def sound(self) -> str: ...

    @property
    def described(self) -> str:
        return f"{self.legs} legs: {self.sound()}"

    @classmethod
    def of_legs(cls, legs: int) -> Animal:
        made = cls()
        made.legs = legs
        return made

    @staticmethod
    def twice(x: int) -> int:
        return 2 * x


class Dog(Animal):
    def sound(self) -> str:
        return "wuff" if super().__doc__ else ""


class Robot:
    def sound(self) -> str:
        return "beep"


class Drone:
    def __init__(self) -> None:
        self.height, self.speed = 3, 4.5


Animal.register(Robot)
Animal.register(Drone)


@dataclasses.dataclass
class Bar:
    length: float
    parts: list[str] = dataclasses.field(default_factory=list)
    kind: str = "steel"


@dataclasses.dataclass(frozen=True, order=True)
class Point:
    x: int
    y: int = 0


class Color(enum.Enum):
    RED = 1
    GREEN = "g"

    def inverse(self) -> Color:
        return Color.GREEN if self is Color.RED else Color.RED


class Mode(enum.IntFlag):
    READ = 1
    WRITE = 2


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self) -> None:
        self.a, self.b = 1, [2]


Pair = collections.namedtuple("Pair", "left right")


class Typed(typing.NamedTuple):
    name: str
    size: int = 1


T = typing.TypeVar("T")


class Box(typing.Generic[T]):
    def __init__(self, held: T) -> None:
        self.held = held

    @functools.cached_property
    def text(self) -> str:
        return str(self.held)


class OwnError(ValueError):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def cyclic() -> list[typing.Any]:
    shared = ["shared"]
    made: list[typing.Any] = [shared, shared, {"back": (shared, [shared])}]
    made.append((made,))
    made[2]["self"] = made[2]
    return made


class Pickled:
    def __init__(self, value: object) -> None:
        self.data = cloudpickle.dumps(value)

    def __reduce__(self) -> typing.Any:
        return pickle.loads, (self.data,)


def make() -> dict[str, object]:
    random = np.random.default_rng(3)
    table = pd.DataFrame({"x": [1, 2, 3], "name": ["a", "b", "c"], "at": pd.to_datetime(["2026-01-02"] * 3)})
    array = random.random((4, 5))
    return {
        "a function with helpers": uses_helpers,
        "a lambda": lambda x: scaled(x) ** 2,
        "a recursive function": fibonacci,
        "functions that call each other": [is_even, is_odd],
        "a function with sets of texts and of functions": chooses,
        "a closure that counts": counter(5),
        "a closure that calls itself": nested_recursion(),
        "a decorated function": decorated,
        "a function with many statements": branches,
        "a generator function and an async one": [generated, awaited],
        "a function with a cache": remembered,
        "a function that uses submodules": uses_submodules,
        "a partial function": functools.partial(uses_helpers, extra=7),
        "a bound method": Dog().sound,
        "a class": Dog,
        "an abstract class": Animal,
        "an instance": Dog.of_legs(3),
        "instances": [Drone(), Slotted(), Box(5)],
        "a dataclass": Bar(2.5, ["a"]),
        "frozen dataclasses in a set": {Point(number, -number) for number in range(20)},
        "an enum": [Color, Color.RED, Mode.READ | Mode.WRITE],
        "named tuples": [Pair(1, 2), Typed("a"), Typed],
        "a generic class": Box[int],
        "an exception": OwnError(5),
        "sets of sets": {frozenset({"a", "b", f"c{number}"}) for number in range(9)},
        "a set of what differs far inside": {
            (((("x", number),), ("y", frozenset({"u", "v"}))), 1) for number in range(9)
        },
        "texts": ["".join(["al", "pha"]), "alpha", b"alpha", bytearray(b"alpha"), "\udc80\0ü"],
        "numbers": [0, 1, True, 1.0, -0.0, 0.0, 2**70, -(2**2000), math.nan, math.inf, 1j],
        "containers": {"b": [1, (2, {3})], "a": collections.OrderedDict(x=1), 3: collections.Counter("banana")},
        "what holds itself": cyclic(),
        "times": [datetime.datetime(2026, 11, 27, tzinfo=datetime.timezone.utc), datetime.timedelta(1)],
        "small objects": [
            decimal.Decimal("1.50"),
            fractions.Fraction(1, 3),
            uuid.UUID(int=7),
            pathlib.PurePosixPath("a/b"),
            re.compile("a+", re.I),
            operator.itemgetter(1),
            range(3),
            slice(1, None),
            type(None),
            LOG,
            math,
            wsgiref,
        ],
        "arrays": [
            array,
            np.asfortranarray(array[::2]),
            np.float32(1.5),
            np.array(["a", "bc"]),
            np.array([1, None]),
            array.dtype,
        ],
        "a random generator": random,
        "a table": table,
        "a table with an index": table.set_index("name").assign(c=pd.Categorical(["u", "v", "u"])),
        "a pickle in a pickle": [Pickled(uses_helpers), Pickled({"a", "b", "c"})],
        "a list of 3000 texts": [f"text {number % 1500}" for number in range(3000)],
    }


def use(made: dict[str, typing.Any]) -> None:
    """Do with them what a session may do before."""
    import copy
    import inspect
    import wave  # noqa: F401  # whatever
    import wsgiref.headers  # noqa: F401  # a module below one that a function uses

    uses_helpers([2, 3])
    assert uses_submodules("b")
    assert is_even(10)
    assert remembered(3) == 9
    assert decorated(1) == 2
    assert issubclass(Drone, Animal)
    for kind in (Dog, Animal, Bar, Point, Slotted, Typed, Box, Robot, Drone):
        inspect.get_annotations(kind)
        assert isinstance(kind.__annotations__, dict)
    for name in ("an instance", "instances", "a dataclass", "frozen dataclasses in a set", "an enum"):
        copy.deepcopy(made[name])
        pickle.dumps(made[name])
    made["a table"].describe()
    assert made["a table"].index.is_unique
    for function in (uses_helpers, branches, chooses):
        inspect.signature(function)
        for _ in range(100):
            hash(function)
    for number in range(300):
        fibonacci(number % 9)


def main(how: str) -> None:
    made = make()
    if how == "used":
        use(made)
        made = dict(reversed(made.items()))
    pickles = {name: cloudpickle.dumps(value) for name, value in made.items()}
    if how == "again":
        # What loads as something else is not the same value any more.
        del made["a pickle in a pickle"]
        pickles = {name: cloudpickle.dumps(cloudpickle.loads(pickles[name])) for name in made}
    print(json.dumps({"version": cloudpickle.__version__, **{name: data.hex() for name, data in pickles.items()}}))


if __name__ == "__main__":
    main(sys.argv[1])
