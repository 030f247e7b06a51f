"""`covalent-parallel logs`: what the electrons of a dispatch print, while they run and after they have ended."""
