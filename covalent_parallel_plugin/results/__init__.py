"""Results of dispatches that Covalent does not have: read from the bucket, checked, and written to files."""
