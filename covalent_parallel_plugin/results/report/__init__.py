"""The report of a dispatch or sweep: where time, machines and memory went, and what to change."""
