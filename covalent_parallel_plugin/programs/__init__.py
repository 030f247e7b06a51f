"""Run one program to its end: its output kept, its limits, its folder, its result."""
