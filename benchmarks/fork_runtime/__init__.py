"""Run the emulator's tasks as forks of a warm Python process, for load tests."""

from .fork_runtime import ForkRuntime as ForkRuntime
