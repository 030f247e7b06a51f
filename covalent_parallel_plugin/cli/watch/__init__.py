"""`covalent-parallel watch`: show a dispatch's Batch jobs and its state on Covalent's server."""
