"""A sweep on Google Batch: its jobs, what their tasks are given, and what they deliver."""
