"""Show a run while it goes on: a live table on a terminal, lines elsewhere; and ask what Ctrl-C means."""
