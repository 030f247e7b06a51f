"""`covalent-parallel emulator`: run the emulator in the foreground."""
