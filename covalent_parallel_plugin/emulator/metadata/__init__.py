"""Serve what Compute Engine's metadata server tells a task about the machine that it runs on."""
