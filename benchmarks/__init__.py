"""This plugin beside the one that it replaces, on the same stand-in services in one run: `python -m benchmarks`."""
