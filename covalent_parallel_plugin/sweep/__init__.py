"""Run any image or command over a table of parameters; needs neither Covalent nor, on this machine, Google."""
