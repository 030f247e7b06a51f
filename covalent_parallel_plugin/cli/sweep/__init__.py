"""The command `covalent-parallel sweep` and its subcommands."""
