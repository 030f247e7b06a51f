"""Arguments given in the wrong place: where each name belongs, of `pmap`, `ct.electron` or the executor."""

from __future__ import annotations

from .options import OPTIONS

PMAP_ARGUMENTS = ("return_exceptions",)
# Of Covalent 0.240, but for `backend`, which stands for `executor`
ELECTRON_ARGUMENTS = ("executor", "files", "deps_bash", "deps_pip", "deps_module", "call_before", "call_after")


def right_place(name: object) -> str:
    """Return what an argument of this name is, and how it is written; "" where no place has it."""
    if name in PMAP_ARGUMENTS:
        return f"an argument of pmap: @pmap(executor=GCPBatchExecutor(...), {name}=...)"
    if name in ELECTRON_ARGUMENTS:
        return f"an argument of ct.electron and pmap: @ct.electron({name}=...), @pmap({name}=...)"
    if name in OPTIONS:
        return f"an option of the executor: GCPBatchExecutor({name}=...)"
    return ""
