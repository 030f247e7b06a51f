"""A package in a folder beside the workflow, with data."""
