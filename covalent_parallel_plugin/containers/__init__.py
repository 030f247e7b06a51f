"""Run containers with podman or docker, and processes in their own session: command lines, ownership and clean-up."""
