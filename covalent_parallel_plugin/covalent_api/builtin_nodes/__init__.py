"""Covalent's own small nodes (lists, dicts, items, attributes, arithmetic, postprocess), run beside Covalent's server.

A list or dict is put together without loading what is in it; what has to be loaded is loaded in a process of its own.
Whatever does not work here goes to Batch, as any electron does.
"""
