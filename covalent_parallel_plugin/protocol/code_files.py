"""Where a function was written: its file is restored after unpickling, and its first line noted for the dispatcher.

From 3.1.3 on cloudpickle replaces the file of every code object that it pickles by one name, so that equal functions
have equal pickles. It still pickles `__file__` among the function's globals, and line numbers.
"""

from __future__ import annotations

import functools
import inspect
from types import CodeType, FunctionType
from typing import Any, Callable, Dict, Optional

# What cloudpickle 3.1.3 and later write for co_filename (cloudpickle._code_reduce)
UNKNOWN_FILE = "<dynamic-code>"
# Of a file's name; code that is made of a text may have all of it for a name
LONGEST_FILE = 4096
# Methods that dataclasses generates are compiled from a text of its own (dataclasses._create_fn)
GENERATED = "__create_fn__."


def restore_files(cloudpickle: Any) -> None:
    """Have cloudpickle give each function that it loads the file named in the function's globals.

    A function of a notebook or an interpreter has none there, and keeps what it has. The traceback module,
    faulthandler and warnings all read the file from the code object.
    """
    module = cloudpickle.cloudpickle
    set_state: Optional[Callable[..., None]] = getattr(module, "_function_setstate", None)
    if set_state is None or hasattr(set_state, "__wrapped__"):
        # Before 3.0 it has another name, and the file is kept.
        return

    # Under its own name: cloudpickle refers to it in the pickles it makes.
    @functools.wraps(set_state)
    def set_state_and_file(function: FunctionType, state: Any) -> None:
        set_state(function, state)
        file = function.__globals__.get("__file__")
        if function.__code__.co_filename == UNKNOWN_FILE and isinstance(file, str):
            function.__code__ = _in_file(function.__code__, file)

    module._function_setstate = set_state_and_file


def _in_file(code: CodeType, file: str) -> CodeType:
    """Return the code, and all code inside it, as code of this file."""
    if getattr(code, "co_qualname", "").startswith(GENERATED):
        return code
    constants = tuple(_in_file(each, file) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename=file, co_consts=constants)


def origin_of(function: Callable[..., Any]) -> "Dict[str, object]":
    """Return the file and the first line of a function's source text, as `inspect.getsource` has it; {} if none."""
    try:
        code = getattr(inspect.unwrap(function), "__code__", None)
    except BaseException:
        # Whatever the attributes of a callable object raise: it is run all the same.
        return {}
    return (
        {"file": code.co_filename[:LONGEST_FILE], "first_line": code.co_firstlineno}
        if isinstance(code, CodeType)
        else {}
    )
