"""`covalent-parallel demo`: run a workflow on a private Covalent server and the emulator."""
