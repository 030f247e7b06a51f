"""All that knows the inside of Covalent: its objects, its server, its configuration and its own small nodes."""
