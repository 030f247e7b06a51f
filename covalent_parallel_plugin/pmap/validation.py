"""What a map is given, checked before anything runs: `pmap`'s own arguments, and those that its function would get.

Nothing is guessed: a call is refused only where Python itself would refuse it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from inspect import Parameter
from typing import Any

from ..errors import NAMED_ITEMS, without_passwords
from ..protocol.value_text import shortened
from ..settings import OPTIONS, nearest
from ..settings.misplaced import right_place

# If there are more items than this, the first are checked: a million would hold up whoever builds the graph
CHECKED_ITEMS = 1000
# The items of a group of equal mistakes that are named
NAMED_OF_A_GROUP = 3

# How many arguments are positional, and the names of the others: which mistakes there are depends on nothing else
Shape = tuple[int, frozenset[Any]]


def refuse_unknown_arguments(given: Mapping[str, Any], valid: Collection[str]) -> None:
    """Refuse arguments of `pmap` that neither it nor `ct.electron` has.

    Raises:
        TypeError: naming each of them, and what was most likely meant.
    """
    unknown = [name for name in given if name not in valid]
    options = {name: given[name] for name in unknown if name in OPTIONS}
    mistakes = [f"pmap has no argument {name!r}{_meant(name, valid)}" for name in unknown if name not in options]
    if options:
        are = "is an option" if len(options) == 1 else "are options"
        written = ", ".join(f"{name}={without_passwords(shortened(value))}" for name, value in options.items())
        mistakes.append(f"{', '.join(options)} {are} of the executor: pmap(executor=GCPBatchExecutor({written}))")
    if mistakes:
        raise TypeError("; ".join(mistakes))


def _meant(name: str, valid: Collection[str]) -> str:
    near = nearest(name, [*valid, *OPTIONS])
    if near is None:
        return ""
    return f" (did you mean {near!r}?)" if near in valid else f" (did you mean {near!r}, an option of the executor?)"


def single_iterable(name: str, given: Sequence[Any], constants: Mapping[str, Any], unknown: type) -> Any:
    """The items, which are the one argument that a map takes by its place; `unknown` is the type of what has no length.

    Raises:
        TypeError: there are none, or several.
    """
    if len(given) == 1:
        return given[0]
    if not given:
        axes = ", ".join(f"{axis}=[...]" for axis in constants)
        example = f"{name}(grid({axes})) for every combination" if axes else f"{name}([...])"
        raise TypeError(f"a map takes one iterable of items, without a name, and none was given: write {example}")
    remedy = f"write zip({', '.join(map(shortened, given))})"
    if any(isinstance(items, unknown) for items in given):
        remedy = "have an electron return list(zip(...)) of them"
    raise TypeError(f"a map takes one iterable of items, and {len(given)} were given: {remedy}")


def refuse_mistakes(
    function: Callable[..., Any],
    items: Iterable[tuple[int, Any]],
    constants: Collection[str],
    from_hooks: Collection[str] = (),
) -> None:
    """Refuse items and constants that the function cannot be called with, by the rules of `item_call.call_with`.

    A function whose signature Python does not report is left alone. Wrappers are taken by their own signature, not by
    that of what they wrap: they may take more.

    Args:
        items: the known ones, with their indices.
        constants: the names of the keywords that all items share.
        from_hooks: the names of those that hooks add when the electron runs.

    Raises:
        TypeError: naming all mistakes by item and argument.
    """
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (ValueError, TypeError):
        return
    parameters = signature.parameters
    shared = frozenset({*constants, *from_hooks})
    misnamed = {name: mistake + _elsewhere(name) for name in shared if (mistake := _of_name(parameters, name))}
    told = [f"the keywords of the map: {', '.join(misnamed[name] for name in sorted(misnamed))}"] if misnamed else []
    shared = shared.difference(misnamed)
    groups: dict[Shape, list[tuple[int, Any]]] = {}
    for index, item in items:
        groups.setdefault(_shape(item, shared), []).append((index, item))
    for (places, names), group in groups.items():
        mistakes = _mistakes(parameters, places, names)
        if mistakes:
            told.append(f"{_whose(group)}: {', '.join(mistakes)}")
    if told:
        rest = len(told) - NAMED_ITEMS
        more = [f"... and {rest} more"] if rest > 0 else []
        lines = "".join(f"\n  - {line}" for line in [*told[:NAMED_ITEMS], *more])
        raise TypeError(f"{_shown(function, signature)} cannot be called with what its map is given:{lines}")


def _shape(item: Any, shared: frozenset[str]) -> Shape:
    if isinstance(item, dict):
        return 0, shared.union(item)
    return len(item) if isinstance(item, tuple) else 1, shared


def _mistakes(parameters: Mapping[str, Parameter], places: int, names: frozenset[Any]) -> list[str]:
    """All that Python would find wrong with such a call."""
    by_place = [each for each in parameters.values() if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    filled = [each.name for each in by_place[:places]]
    found = [mistake for name in sorted(names, key=str) if (mistake := _of_name(parameters, name))]
    if places > len(by_place) and not any(each.kind is each.VAR_POSITIONAL for each in parameters.values()):
        plural = "argument" if places == 1 else "arguments"
        found.append(f"{places} positional {plural}, and it takes {len(by_place)}")
    for each in parameters.values():
        is_named = each.name in names and each.kind is not each.POSITIONAL_ONLY
        if each.name in filled and is_named:
            found.append(f"{each.name!r} comes twice, by its place and as a keyword of the map")
        is_optional = each.default is not each.empty or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        if not (is_optional or is_named or each.name in filled):
            found.append(f"{each.name!r} is missing")
    return found


def _of_name(parameters: Mapping[str, Parameter], name: Any) -> str:
    """What is wrong with an argument by this name, "" if nothing is."""
    if not isinstance(name, str):
        return f"{shortened(name)} is not a name of a parameter"
    named = [each.name for each in parameters.values() if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    if name in named or any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return ""
    if name in parameters and parameters[name].kind is Parameter.POSITIONAL_ONLY:
        return f"{name!r} cannot be given by its name"
    near = nearest(name, named)
    return f"there is no parameter {name!r}" + (f" (did you mean {near!r}?)" if near else "")


def _elsewhere(name: Any) -> str:
    """Where a keyword of the map belongs that the function does not take."""
    place = right_place(name)
    return f", which is {place}" if place else ""


def _whose(group: Sequence[tuple[int, Any]]) -> str:
    """The items, such as "items 3 ({'a': 1}), 5 ({'a': 2})"."""
    named = ", ".join(f"{index} ({shortened(item)})" for index, item in group[:NAMED_OF_A_GROUP])
    rest = len(group) - NAMED_OF_A_GROUP
    return f"{'item' if len(group) == 1 else 'items'} {named}" + (f" and {rest} more" if rest > 0 else "")


def _shown(function: Callable[..., Any], signature: inspect.Signature) -> str:
    """The function with its parameters' names: annotations and defaults may be long."""
    bare = [each.replace(annotation=each.empty, default=each.empty) for each in signature.parameters.values()]
    name = getattr(function, "__name__", type(function).__name__)
    return f"{name}{signature.replace(parameters=bare, return_annotation=signature.empty)}"
