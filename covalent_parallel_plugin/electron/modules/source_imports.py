"""What a source file imports, read from its text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

IMPORTERS = ("import_module", "__import__")


@lru_cache(4096)
def imports_of(path: str, changed_ns: int, size: int, inode: int) -> frozenset[str]:
    """Return the names, without a dot, of what a file imports; none of one that Python cannot read either.

    The other arguments distinguish the file's contents from earlier ones.

    Raises:
        OSError: it cannot be read.
    """
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The electron will raise that where it imports it.
        return frozenset()
    return frozenset(name.partition(".")[0] for name in _imports(tree) if name)


def _imports(node: ast.AST) -> Iterator[str]:
    todo: list[ast.AST] = [node]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # The package's own folder travels as a whole.
            if not node.level:
                yield node.module or ""
        elif isinstance(node, ast.Call):
            yield from _imported_by_text(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo.extend(node.orelse)
        else:
            todo.extend(ast.iter_child_nodes(node))


def _imported_by_text(call: ast.Call) -> Iterator[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name in IMPORTERS and call.args and isinstance(call.args[0], ast.Constant):
        text = call.args[0].value
        if isinstance(text, str) and not text.startswith("."):
            yield text
