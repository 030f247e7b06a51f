"""Placeholders: what is one, what it is filled with, and that all else stays."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.sweep.placeholders import SWEEP_NAMES, Template

VALUES = {"g": "3", "learning-rate": "1e-3", "_x1": "", "sweep.folder": "/mnt/x", "inputs.faces-2": "/in", "%s": "no"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("-g", "-g"),
        ("{g}", "3"),
        ("a{g}b{g}", "a3b3"),
        ("--lr={learning-rate}", "--lr=1e-3"),
        ("[{_x1}]", "[]"),
        ("{sweep.folder}/{inputs.faces-2}", "/mnt/x//in"),
        ("{{g}}", "{g}"),
        ("{{sweep.folder}}", "{sweep.folder}"),
        ("{{{g}}}", "{{g}}"),
        ('{"a": {g}}', '{"a": 3}'),
        ('{"a": {"b": {g}}}', '{"a": {"b": 3}}'),
        ("{{g}", "{3"),
        # Not of a placeholder's form
        ("awk '{print $1}'", "awk '{print $1}'"),
        ("{}", "{}"),
        ("{ g }", "{ g }"),
        ("{1g}", "{1g}"),
        ("{g.h}", "{g.h}"),
        ("{sweep.}", "{sweep.}"),
        ("{é}", "{é}"),
        ("${HOME}%(g)s%d%%", "${HOME}%(g)s%d%%"),
        ("{%s}", "{%s}"),
        # Of that form, and without a value
        ("{h}", "{h}"),
        ("{g}{h}{{h}}", "3{h}{h}"),
    ],
)
def test_only_placeholders_are_filled(text: str, filled: str) -> None:
    assert Template.parse(text).fill(VALUES) == filled


def test_names_come_once_each_in_their_order() -> None:
    template = Template.parse("{b} {a} {b} {{c}} {sweep.id} {inputs.x} {repeat}")
    assert template.names == ("b", "a", "sweep.id", "inputs.x", "repeat")


def test_the_sweeps_names_are_placeholders() -> None:
    text = " ".join(f"{{{name}}}" for name in SWEEP_NAMES)
    assert Template.parse(text).names == SWEEP_NAMES
    assert Template.parse(text).fill({name: name.upper() for name in SWEEP_NAMES}) == " ".join(SWEEP_NAMES).upper()


@given(st.text(), st.text())
def test_a_value_arrives_as_it_is(before: str, value: str) -> None:
    text = re.sub(r"[{}]", "", before)
    assert Template.parse(f"{text}{{x}}{text}").fill({"x": value}) == text + value + text


@given(st.text(alphabet="{}abx.-% "))
def test_text_without_values_only_loses_doubled_braces(text: str) -> None:
    filled = Template.parse(text).fill({})
    assert filled.replace("{", "").replace("}", "") == text.replace("{", "").replace("}", "")
    if "{{" not in text:
        assert filled == text


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]*", fullmatch=True), st.text())
def test_doubled_braces_are_the_text_whatever_the_values(name: str, value: str) -> None:
    assert Template.parse(f"{{{{{name}}}}}").fill({name: value}) == f"{{{name}}}"
