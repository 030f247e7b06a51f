"""Programs whose values differ in one thing have different keys; those that differ in nothing that counts have one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.electron.call import Call, Map
from covalent_parallel_plugin.electron.structure.call_structure import call_structure, part_structure
from covalent_parallel_plugin.protocol.envelope import file_part

# Two programs each, that differ in one thing; `value` is what is pickled.
DIFFERENT = {
    "a constant in the body": ("def value(x): return x + 1", "def value(x): return x + 2"),
    "a float in the place of an int": ("def value(x): return x + 1", "def value(x): return x + 1.0"),
    "True in the place of 1": ("def value(): return 1", "def value(): return True"),
    "an operator": ("def value(x): return x + x", "def value(x): return x * x"),
    "the order of arguments": ("def value(x, y): return f(x, y)", "def value(x, y): return f(y, x)"),
    "a parameter's name": ("def value(x): return x", "def value(y): return y"),
    "a default": ("def value(x=1): return x", "def value(x=2): return x"),
    "a keyword-only default": ("def value(*, x=1): return x", "def value(*, x=2): return x"),
    "a keyword-only parameter": ("def value(x): return x", "def value(*, x): return x"),
    "an annotation": ("def value(x: int): return x", "def value(x: float): return x"),
    "a docstring": ("def value(x):\n 'a'\n return x", "def value(x):\n 'b'\n return x"),
    "a function's name": ("def f(x): return x\nvalue = f", "def g(x): return x\nvalue = g"),
    "an attribute of a function": ("def value(): 0\nvalue.a = 1", "def value(): 0\nvalue.a = 2"),
    "a global": ("N = 1\ndef value(): return N", "N = 2\ndef value(): return N"),
    "a global's name": ("N = M = 1\ndef value(): return N", "N = M = 1\ndef value(): return M"),
    "a helper": (
        "def h(x): return x\ndef value(x): return h(x)",
        "def h(x): return -x\ndef value(x): return h(x)",
    ),
    "a helper's helper": (
        "def a(x): return x\ndef b(x): return a(x)\ndef value(x): return b(x)",
        "def a(x): return -x\ndef b(x): return a(x)\ndef value(x): return b(x)",
    ),
    "a global of a helper": (
        "N = 1\ndef h(): return N\ndef value(): return h()",
        "N = 2\ndef h(): return N\ndef value(): return h()",
    ),
    "which of two helpers is called": (
        "def a(): return 1\ndef b(): return 2\ndef value(): return a() - b()",
        "def a(): return 1\ndef b(): return 2\ndef value(): return b() - a()",
    ),
    "what a recursive function adds": (
        "def value(n): return n and value(n - 1) + 1",
        "def value(n): return n and value(n - 1) + 2",
    ),
    "a closure's value": (
        "def make(n):\n def value(): return n\n return value\nvalue = make(1)",
        "def make(n):\n def value(): return n\n return value\nvalue = make(2)",
    ),
    "a nested function": (
        "def value():\n def inner(): return 1\n return inner()",
        "def value():\n def inner(): return 2\n return inner()",
    ),
    "what an exception is caught as": (
        "def value():\n try: f()\n except ValueError: pass",
        "def value():\n try: f()\n except TypeError: pass",
    ),
    "how far a try goes": (
        "def value():\n try: f()\n except ValueError: return 1\n g()",
        "def value():\n try:\n  f()\n  g()\n except ValueError: return 1",
    ),
    "the package that a function asks for": (
        "__package__ = None\ndef value(): return __package__",
        "__package__ = ''\ndef value(): return __package__",
    ),
    "the file that a function asks for": (
        "__file__ = 'a'\ndef value(): return __file__",
        "__file__ = 'b'\ndef value(): return __file__",
    ),
    "a module": ("import math\ndef value(): return math", "import cmath as math\ndef value(): return math"),
    "a function by its name": ("from math import sin as value", "from math import cos as value"),
    "a set in the body": ("def value(x): return x in {1, 2}", "def value(x): return x in {1, 3}"),
    "a method": (
        "class A:\n def f(self): return 1\ndef value(): return A().f()",
        "class A:\n def f(self): return 2\ndef value(): return A().f()",
    ),
    "a base class": ("class value(ValueError): pass", "class value(TypeError): pass"),
    "an attribute of a class": ("class value: x = 1", "class value: x = 2"),
    "a static method": (
        "class value:\n @staticmethod\n def f(x): return x",
        "class value:\n @classmethod\n def f(x): return x",
    ),
    "the order of a dataclass's fields": (
        "import dataclasses\n@dataclasses.dataclass\nclass value:\n x: int = 0\n y: int = 0",
        "import dataclasses\n@dataclasses.dataclass\nclass value:\n y: int = 0\n x: int = 0",
    ),
    "a member of an enum": (
        "import enum\nclass A(enum.Enum): X, Y = 1, 2\nvalue = A.X",
        "import enum\nclass A(enum.Enum): X, Y = 1, 2\nvalue = A.Y",
    ),
    "an enum's values": (
        "import enum\nclass A(enum.Enum): X, Y = 1, 2\nvalue = A.X",
        "import enum\nclass A(enum.Enum): X, Y = 1, 3\nvalue = A.X",
    ),
    "an instance's state": (
        "class A: pass\nvalue = A()\nvalue.x = 1",
        "class A: pass\nvalue = A()\nvalue.x = 2",
    ),
    "a partial's argument": (
        "from functools import partial\nvalue = partial(print, 1)",
        "from functools import partial\nvalue = partial(print, 2)",
    ),
    "how many results are cached": (
        "from functools import lru_cache\nvalue = lru_cache(5)(lambda x: x)",
        "from functools import lru_cache\nvalue = lru_cache(6)(lambda x: x)",
    ),
    "an int and a float": ("value = 1", "value = 1.0"),
    "an int and a bool": ("value = 1", "value = True"),
    "the sign of zero": ("value = 0.0", "value = -0.0"),
    "text and bytes": ("value = 'a'", "value = b'a'"),
    "bytes that change": ("value = b'a'", "value = bytearray(b'a')"),
    "a list and a tuple": ("value = [1]", "value = (1,)"),
    "a set and a frozenset": ("value = {1}", "value = frozenset({1})"),
    "None and a text": ("value = None", "value = 'None'"),
    "where a list ends": ("value = [[1], 2]", "value = [[1, 2]]"),
    "where a text ends": ("value = ['a', 'bc']", "value = ['ab', 'c']"),
    "the last of a long text": ("value = 'a' * 5000 + 'b'", "value = 'a' * 5000 + 'c'"),
    "a large number": ("value = 10 ** 5000", "value = 10 ** 5000 + 1"),
    "the order of a list": ("value = [1, 2]", "value = [2, 1]"),
    "the order of a dict": ("value = dict(a=1, b=2)", "value = dict(b=2, a=1)"),
    "keys and values": ("value = {1: 2}", "value = {2: 1}"),
    "a list twice, and two lists": ("a = [1]\nvalue = [a, a]", "value = [[1], [1]]"),
    "which of two lists is there twice": ("a, b = [1], [1]\nvalue = [a, b, a]", "a, b = [1], [1]\nvalue = [a, b, b]"),
    "what a list holds of itself": ("value = [[]]\nvalue[0].append(value)", "value = [[]]\nvalue[0].append(value[0])"),
    "an element of a set": ("value = {('a', 1), ('b', 2)}", "value = {('a', 2), ('b', 1)}"),
    "an array's element": ("import numpy\nvalue = numpy.array([1, 2])", "import numpy\nvalue = numpy.array([1, 3])"),
    "an array's type": ("import numpy\nvalue = numpy.zeros(2, 'i4')", "import numpy\nvalue = numpy.zeros(2, 'u4')"),
    "an array's shape": ("import numpy\nvalue = numpy.zeros((2, 3))", "import numpy\nvalue = numpy.zeros((3, 2))"),
    "a column's name": (
        "import pandas\nvalue = pandas.DataFrame({'a': [1]})",
        "import pandas\nvalue = pandas.DataFrame({'b': [1]})",
    ),
    "a time zone": (
        "from datetime import *\nvalue = datetime(2026, 1, 1)",
        "from datetime import *\nvalue = datetime(2026, 1, 1, tzinfo=timezone.utc)",
    ),
}
# Two programs each whose values cannot be told apart
EQUAL = {
    "comments, lines and spaces": ("def value(x): return x + 1", "\n\n# a\ndef value(x):\n\n    return (x +  1)  # 2"),
    "globals that are not used": ("def value(x): return x", "A = 1\ndef b(): pass\ndef value(x): return x"),
    "the order of helpers": (
        "def a(): return 1\ndef b(): return 2\ndef value(): return a() - b()",
        "def b(): return 2\ndef a(): return 1\ndef value(): return a() - b()",
    ),
    "the order of methods": (
        "class value:\n def a(self): 1\n def b(self): 2",
        "class value:\n def b(self): 2\n def a(self): 1",
    ),
    "the order of a set": ("value = {f'a{n}' for n in range(99)}", "value = {f'a{n}' for n in reversed(range(99))}"),
    "a tuple twice, and two tuples": ("a = (1, 'x')\nvalue = [a, a]", "value = [(1, 'x'), tuple([1, 'x'])]"),
    "a tuple with a list twice, and two tuples": (
        "a = [1]\nb = (a, 2)\nvalue = [b, b, b]",
        "a = [1]\nvalue = [(a, 2), tuple([a, 2]), tuple([a, 2])]",
    ),
    "a date twice, and two dates": (
        "from datetime import *\na = date(2026, 1, 1)\nvalue = [a, a]",
        "from datetime import *\nvalue = [date(2026, 1, 1), date(2026, 1, 1)]",
    ),
    "how texts are made": ("value = ['ab', 'ab']", "value = ['ab', ''.join(['a', 'b'])]"),
    "an object's type": (
        "import numpy\nvalue = [numpy.zeros(2)] * 1 + [numpy.ones(3)]",
        "import numpy\nfrom cloudpickle import *\nvalue = [numpy.zeros(2), loads(dumps(numpy.ones(3)))]",
    ),
    "the package": ("def value(): return 1", "__package__ = ''\ndef value(): return 1"),
    "the file of a function": ("__file__ = 'a'\ndef value(): return 1", "__file__ = 'b'\ndef value(): return 1"),
    "an id of a class": ("class value: pass", "class value: pass\nfrom cloudpickle import dumps\ndumps(value)"),
}


def key_of(program: str) -> str:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(program, names)  # noqa: S102  # the programs above
    return part_structure(cloudpickle.dumps(names["value"]))


@pytest.mark.parametrize("name", DIFFERENT)
def test_programs_that_differ_in_one_thing_have_different_keys(name: str) -> None:
    keys = [key_of(program) for program in DIFFERENT[name]]
    assert keys[0] != keys[1]
    assert all(key.startswith("structure ") for key in keys)


@pytest.mark.parametrize("name", EQUAL)
def test_programs_that_differ_in_nothing_that_counts_have_one_key(name: str) -> None:
    keys = {key_of(program) for program in EQUAL[name]}
    assert len(keys) == 1
    assert keys.pop().startswith("structure ")


CALL = Call(dispatch_id="a", node_id=1, name="f", python="3.11.7", covalent="0.240.0", args=1, kwargs=("x",))
PICKLES = {"function": cloudpickle.dumps(len), "arg0": cloudpickle.dumps([1]), "kwarg:x": cloudpickle.dumps(2)}
FACTS = {"image": "python@sha256:1", "environment": {"A": "1", "B": "2"}, "secrets": ["TOKEN"]}


def test_a_key_is_64_hexadecimal_digits_and_does_not_say_which_dispatch_it_is() -> None:
    key = call_structure(CALL, PICKLES, FACTS)
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")
    moved = replace(
        CALL, dispatch_id="b", node_id=7, lattice="other", cloudpickle="3.1.3", covalent="0.1", python="3.9.1"
    )
    assert call_structure(moved, PICKLES, FACTS) == key
    assert call_structure(CALL, PICKLES, {"secrets": ["TOKEN"], **FACTS, "environment": {"B": "2", "A": "1"}}) == key


def test_a_part_in_a_file_is_the_same_as_in_memory(tmp_path: Any) -> None:
    file = tmp_path / "part"
    file.write_bytes(PICKLES["arg0"])
    parts = {**PICKLES, "arg0": file_part(str(file))}
    assert call_structure(CALL, parts, FACTS) == call_structure(CALL, PICKLES, FACTS)


def test_all_that_decides_the_value_of_a_call_is_in_its_key() -> None:
    others = [
        (CALL, PICKLES, FACTS),
        (replace(CALL, kwargs=("y",)), PICKLES, FACTS),
        (replace(CALL, before=(("h", "x"),)), PICKLES, FACTS),
        (replace(CALL, after=(("h", ""),)), PICKLES, FACTS),
        (replace(CALL, whole_string=True), PICKLES, FACTS),
        (replace(CALL, map=Map(3)), PICKLES, FACTS),
        (replace(CALL, map=Map(3, return_exceptions=True)), PICKLES, FACTS),
        (CALL, {**PICKLES, "function": cloudpickle.dumps(max)}, FACTS),
        (CALL, {**PICKLES, "arg0": cloudpickle.dumps([2])}, FACTS),
        (CALL, {**PICKLES, "arg0": PICKLES["kwarg:x"], "kwarg:x": PICKLES["arg0"]}, FACTS),
        (CALL, PICKLES, {**FACTS, "image": "python@sha256:2"}),
        (CALL, PICKLES, {**FACTS, "environment": {"A": "1"}}),
        (CALL, PICKLES, {}),
    ]
    assert len({call_structure(*each) for each in others}) == len(others)
