"""What `covalent deploy` wants of a plugin: two pydantic classes, one of the executor's options, one of the variables.

Covalent 0.240 reads their schemas' defaults, checks what the user typed with them, and after `terraform apply` writes
what the first one's `dict()` returns into `[executors.gcpbatch]` (covalent/cloud_resource_manager/core.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, create_model

from ..settings import OPTIONS, is_given
from ..settings.infrastructure_variables import VARIABLES, Variable


class _Given(BaseModel):
    """A model whose `dict()` holds what was given: Covalent writes every key of it, and would freeze the defaults."""

    def dict(self, **kwargs: Any) -> dict[str, Any]:
        """What was given, by name."""
        return {name: value for name, value in self.model_dump().items() if is_given(value)}


def plugin_defaults() -> type[BaseModel]:
    """The executor's options, all of them optional, with their own rules."""
    fields: dict[str, Any] = {
        name: (Annotated[Any, BeforeValidator(_rule(option.rule))], None) for name, option in OPTIONS.items()
    }
    return create_model("ExecutorPluginDefaults", __base__=_Given, **fields)


def infra_defaults(configured: Mapping[str, object]) -> type[BaseModel]:
    """The Terraform variables with their defaults; project and region as configured, where they are.

    Lists are left out: Covalent writes every value it is given as text, which Terraform takes for no list.
    """
    fields: dict[str, Any] = {
        name: (Annotated[Any, BeforeValidator(_rule(variable.rule))], _default(variable, configured))
        for name, variable in VARIABLES.items()
        if variable.type != "list(string)"
    }
    return create_model("ExecutorInfraDefaults", **fields)


def _rule(rule: Callable[[object], Any]) -> Callable[[object], Any]:
    def validate(value: object) -> Any:
        return rule(value) if is_given(value) else value

    return validate


def _default(variable: Variable, configured: Mapping[str, object]) -> object:
    chosen = configured.get(variable.name) if variable.name in ("project_id", "region") else None
    return chosen if is_given(chosen) else variable.default
