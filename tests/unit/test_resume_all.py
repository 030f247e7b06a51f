"""`resume --all` where the server has lost one of the dispatches that it lists."""

from __future__ import annotations

from collections.abc import Sequence

from covalent_parallel_plugin.cli.resume import Resumer
from covalent_parallel_plugin.covalent_api.server_client import (
    EXECUTOR,
    DispatchRecord,
    ElectronRecord,
    ServerClient,
)


class LosingServer(ServerClient):
    """Lists two dispatches as unfinished, and knows the second only, which was resumed."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")

    def unfinished_dispatches(self, count: int, offset: int = 0) -> list[str]:
        return ["lost", "resumed"][offset : offset + count]

    def latest_dispatches(self, count: int) -> list[str]:
        return ["resumed"][:count]

    def dispatch(self, dispatch_id: str, nodes: Sequence[str] | None = None) -> DispatchRecord | None:
        electrons = {"0": ElectronRecord("f", EXECUTOR, status="FAILED")}
        record = DispatchRecord("FAILED", electrons, note={"resumed_as": "newer"})
        return record if dispatch_id == "resumed" else None

    def dispatch_state(self, dispatch_id: str) -> str:
        return "COMPLETED"


def test_a_dispatch_that_cannot_be_looked_at_does_not_stop_the_others() -> None:
    said: list[str] = []
    resumer = Resumer(LosingServer(), {}, {}, said.append)
    assert list(resumer.left_running()) == []
    assert said == ["dispatch resumed was already resumed as dispatch newer (COMPLETED)."]
    (problem,) = resumer.problems
    assert problem.startswith(
        "dispatch lost is left alone: Covalent's server at http://127.0.0.1:9 knows no dispatch lost"
    )
