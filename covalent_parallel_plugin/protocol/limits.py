"""Sizes that both sides of the wire rely on; short, as no other module may repeat one of them."""

# The outcome keeps the first and the last of this many bytes of each stream
KEPT_BYTES = 1024 * 1024
# An envelope's header, the numbers, texts, lists and dicts in it, and all its parts together. A header that its own
# task sealed in bad faith costs some 300 MB of memory while it is read; a map's is sent before it has a third of this.
MAX_HEADER_BYTES = 32 * 1024 * 1024
MAX_HEADER_VALUES = 2**20
MAX_BODY_BYTES = 2**50
# Lists in lists among an exception's arguments
DEEPEST_ARGUMENT = 5
