"""Run a sweep's tasks on this machine: containers or plain commands, their output, limits and folders."""
