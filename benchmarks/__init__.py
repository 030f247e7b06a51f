"""This plugin beside the one that it replaces, on the same emulated services in one run: `python -m benchmarks`."""
