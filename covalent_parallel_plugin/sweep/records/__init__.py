"""What a sweep leaves: its folder, journal and tables, and the index of all sweeps."""
