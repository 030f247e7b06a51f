"""How far a dispatch is: its jobs, their items and how they ended; `watch`, `wait` and `show` show it."""
