"""Texts that name Google's console or gcloud: an emulator has neither, so each of them has another one for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import covalent_parallel_plugin
from covalent_parallel_plugin.cli.doctor.results import error, on_emulator
from covalent_parallel_plugin.cloud.errors import to_package_error
from covalent_parallel_plugin.protocol.environment import BATCH_EMULATOR_HOST, for_google
from covalent_parallel_plugin.settings import infrastructure_variables, machine_names, validators

HERE = Path(covalent_parallel_plugin.__file__).parent
WORDS = ("gcloud ", "console.cloud.google.com", "console.developers.google.com")
# What tells a function, or the text itself, that an emulator may be there
GUARDS = {"is_on_emulator", "for_google", "STORAGE_EMULATOR_HOST"}
# Who asks Google itself, whatever the services are
ASKS_GOOGLE = {
    "cli/deploy/": "Terraform makes what is Google's own",
    "cli/image/": "images go to a registry, and to Cloud Build",
    "cloud/registry/": "images come from a registry",
}
# Its results' remedies go through `results.on_emulator`; `results` itself has the words to look for
DOCTOR = "cli/doctor/"
RESULTS = ("ok", "warning", "error", "skipped")


def holds_words(node: ast.AST) -> bool:
    texts = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str))
    return any(word in text for text in texts for word in WORDS)


def names_in(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [each for each in node.body if not (isinstance(each, ast.Expr) and _is_text(each.value))]
    return tree


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def unguarded(node: ast.AST) -> Iterator[ast.AST]:
    """The smallest parts with the words for which nothing says what stands there on an emulator."""
    if not holds_words(node):
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and names_in(node) & GUARDS:
        return
    if isinstance(node, ast.Call) and any(keyword.arg == "emulator_remedy" for keyword in node.keywords):
        return
    below = [found for child in ast.iter_child_nodes(node) for found in unguarded(child)]
    yield from below
    if isinstance(node, ast.Constant):
        yield node


def modules() -> list[str]:
    paths = (path.relative_to(HERE).as_posix() for path in sorted(HERE.rglob("*.py")))
    return [path for path in paths if not path.startswith(tuple(ASKS_GOOGLE))]


def guarded_constants(tree: ast.Module) -> set[str]:
    """The module's own names that are only ever read beside a guard, such as in `for_google(_LOGIN, ...)`."""
    held = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and holds_words(node)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    loose = {name for function in functions if not names_in(function) & GUARDS for name in names_in(function)}
    return {name for name in held - loose if name.startswith("_")}


@pytest.mark.parametrize("module", [path for path in modules() if not path.startswith(DOCTOR)])
def test_a_text_that_names_googles_console_or_gcloud_has_another_one_on_an_emulator(module: str) -> None:
    tree = without_docstrings(ast.parse((HERE / module).read_text()))
    private = guarded_constants(tree)
    found = []
    for node in tree.body:
        is_private = isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id in private for target in node.targets
        )
        is_table = isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        if not is_private or is_table:
            found += [f"{module}:{each.lineno}" for each in unguarded(node) if isinstance(each, ast.Constant)]
    assert found == [], "put the text into for_google(...), or add why Google itself is asked there"


@pytest.mark.parametrize("module", [path for path in modules() if path.startswith(DOCTOR)])
def test_what_doctor_finds_names_neither_and_its_remedies_are_replaced(module: str) -> None:
    tree = ast.parse((HERE / module).read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    found = [call for call in calls if call.func.id in RESULTS and call.args and holds_words(call.args[0])]  # type: ignore[attr-defined]
    assert [f"{module}:{call.lineno}" for call in found] == []


@pytest.mark.parametrize("word", WORDS)
def test_a_remedy_of_doctors_is_an_emulators(word: str) -> None:
    told = on_emulator(error("it is not there", f"set region to one of: {word}list")).remedy
    assert word not in told and "--known" in told and "region" in told


def login() -> str:
    from google.auth import exceptions

    return str(to_package_error(exceptions.DefaultCredentialsError("none"), "read it"))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: machine_names.machine_type("n2-standrad-4"),
        lambda: machine_names.gpu_type("tesla"),
        lambda: validators.project_id("My Project"),
        lambda: infrastructure_variables.real_project_id("my_project"),
        lambda: (_ for _ in ()).throw(ValueError(login())),
    ],
)
def test_refusals_name_gcloud_only_for_google(refusal: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(BATCH_EMULATOR_HOST, raising=False)
    assert "gcloud " in text_of(refusal)
    monkeypatch.setenv(BATCH_EMULATOR_HOST, "127.0.0.1:1")
    assert not any(word in text_of(refusal) for word in WORDS)


def text_of(refusal: object) -> str:
    with pytest.raises(ValueError) as caught:
        refusal()  # type: ignore[operator]
    return str(caught.value)


def test_a_new_text_without_another_one_is_found() -> None:
    tree = ast.parse('def f():\n    """Run gcloud x."""\n    raise ValueError(f"no such {1}: gcloud projects list")\n')
    assert [node.lineno for node in unguarded(without_docstrings(tree)) if isinstance(node, ast.Constant)] == [3]
    tree = ast.parse('def f():\n    raise ValueError(for_google("gcloud projects list"))\n')
    assert list(unguarded(tree)) == []
    assert for_google("x") in ("x", "")
