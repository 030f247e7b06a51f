"""The job of a map: its items over tasks and jobs, what became of each one, and the result of all of them."""
