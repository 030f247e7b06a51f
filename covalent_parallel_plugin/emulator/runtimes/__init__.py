"""Run tasks as processes or containers of this machine."""
