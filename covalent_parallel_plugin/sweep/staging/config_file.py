"""`config`: a combination as a JSON or YAML file, typed; every YAML reader gets the same types."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from ...programs.core_schema import Plain

# A text that readers of YAML 1.1 and 1.2 alike take for one, where PyYAML does not quote it by itself
_PLAIN_TEXT = re.compile(r"(?![yYnN]\Z)[A-Za-z_][A-Za-z0-9_-]*")


def config_name(config: str) -> str:
    """Return the name of the file in the task's folder, "" where none is asked for."""
    return f"config.{config}" if config else ""


def config_bytes(config: str, data: Mapping[str, Plain]) -> bytes:
    """Return the content of the file. Raises ValueError for a number that JSON does not have."""
    if config == "json":
        return (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def represent(dumper: yaml.SafeDumper, text: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, None if _PLAIN_TEXT.fullmatch(text) else '"')

    Dumper.add_representer(str, represent)
    text: str = yaml.dump(dict(data), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.encode()


def is_in_json(value: Plain) -> bool:
    """Return whether JSON has such a value: it has no infinity."""
    return not isinstance(value, float) or math.isfinite(value)
