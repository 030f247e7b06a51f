"""`covalent-parallel image`: build the container image that electrons run in, and check whether one fits."""
