"""`covalent-parallel doctor`: find what is wrong with a set-up before a job is paid for."""
