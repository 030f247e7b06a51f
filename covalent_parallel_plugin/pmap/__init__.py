"""`pmap` and `grid`: one electron that calls its function with many items.

`covalent_parallel_plugin.pmap` is the function, not this package; see the package's own `__init__`.
"""
