"""Everything that knows the inside of Covalent: its configuration file, its HTTP API and its server."""
