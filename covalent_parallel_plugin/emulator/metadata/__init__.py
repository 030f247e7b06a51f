"""Serve what Compute Engine's metadata server reports to a task about its machine."""
