"""Write docs/reference/options.md from the options' own definitions: `python docs/generate.py`."""

from __future__ import annotations

from pathlib import Path

from covalent_parallel_plugin.settings import OPTIONS, SECTION

HEAD = f"""# Options

Of `GCPBatchExecutor(...)` and of `[{SECTION}]` in Covalent's configuration file. The constructor wins over the file,
and the file over the defaults; `None` and the empty string mean "not given", 0 and `False` are values. This page is
made by `docs/generate.py` from `covalent_parallel_plugin/settings/options.py`.

| option | unit | default | what it is | values |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = []
    for option in OPTIONS.values():
        default = "required" if option.required else "" if option.default in ("", None) else f"`{option.default!r}`"
        rows.append(f"| `{option.name}` | {option.unit} | {default} | {option.help} | {option.rule.__doc__ or ''} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "reference" / "options.md").write_text(page(), encoding="utf-8")
