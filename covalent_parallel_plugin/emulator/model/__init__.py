"""Define the values that the other parts share: jobs, task plans, log entries, errors, the runtime's interface."""
