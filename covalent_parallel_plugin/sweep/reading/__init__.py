"""Read a sweep's file: YAML nodes, grids, parameters and options, with every mistake where it is."""
