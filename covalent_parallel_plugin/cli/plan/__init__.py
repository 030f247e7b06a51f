"""`covalent-parallel plan`: print the Jobs of a lattice's electrons, checked and not submitted."""
