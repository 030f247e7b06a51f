"""Covalent is loaded with folders of its own before any test module imports it."""

from __future__ import annotations

import own_covalent
import pytest

own_covalent.load()


@pytest.fixture(autouse=True)
def on_google(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no emulator in the environment, which tests before these ones may have put there."""
    for service in ("BATCH", "LOGGING", "STORAGE"):
        monkeypatch.delenv(f"{service}_EMULATOR_HOST", raising=False)
