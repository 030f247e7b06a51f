"""Covalent is loaded with folders of its own before any test module imports it."""

from __future__ import annotations

import own_covalent

own_covalent.load()
