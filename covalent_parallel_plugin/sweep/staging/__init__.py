"""Bring files, templates, configurations and inputs to the tasks of a sweep."""
