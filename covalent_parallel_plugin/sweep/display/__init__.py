"""Show a run while it runs: a live table on a terminal, lines elsewhere; and ask what Ctrl-C means."""
