"""What `covalent-parallel plan` shows: the Jobs that a lattice's electrons would be, made, checked, not submitted."""
