"""Sizes that both sides of the wire rely on; short, as no other module may repeat one of them."""

# Of each stream the outcome keeps the first and the last of this many bytes
KEPT_BYTES = 1024 * 1024
# An envelope's header, and all its parts together
MAX_HEADER_BYTES = 64 * 1024 * 1024
MAX_BODY_BYTES = 2**50
# Lists in lists among an exception's arguments
DEEPEST_ARGUMENT = 5
