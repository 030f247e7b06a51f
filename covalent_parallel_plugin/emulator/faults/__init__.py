"""Describe faults, and decide which call, request, attempt or job each one affects."""
