"""`covalent-parallel dev`: run a program, or a shell, with an emulator and a Covalent server of its own."""
