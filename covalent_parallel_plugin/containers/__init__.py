"""Run containers with podman or docker: command lines, processes, ownership and clean-up."""
