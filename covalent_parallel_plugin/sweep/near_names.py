"""Which name a mistyped one most likely means, looked up within a limit, since comparing names takes time."""

from __future__ import annotations

from collections.abc import Collection

from ..settings import nearest

_MOST_COMPARED = 5000


class NearNames:
    """Looks up names until the limit is reached.

    Attributes:
        is_spent: whether it is; no name is found any more.
    """

    def __init__(self) -> None:
        self.is_spent = False
        self._compared = 0

    def near(self, name: str, names: Collection[str]) -> str | None:
        """Return the name that a mistyped one most likely means; None if none is near."""
        self._compared += len(names)
        self.is_spent = self.is_spent or self._compared > _MOST_COMPARED
        return None if self.is_spent else nearest(name, names)
