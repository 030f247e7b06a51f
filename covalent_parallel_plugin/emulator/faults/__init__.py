"""Describe faults, and decide which call, request, attempt or job each one affects."""

from . import kinds as kinds  # has each kind known by its name
