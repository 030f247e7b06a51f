"""The options of an executor: what each one is called and takes, and what a set of values makes of them."""

from .options import (
    OPTIONS,
    SECTION,
    Option,
    Settings,
    check,
    contradictions,
    in_python,
    is_given,
    mistakes_in,
    nearest,
    plain,
    resolve,
)

__all__ = [
    "OPTIONS",
    "SECTION",
    "Option",
    "Settings",
    "check",
    "contradictions",
    "in_python",
    "is_given",
    "mistakes_in",
    "nearest",
    "plain",
    "resolve",
]
