"""Names as people write them."""


def plain(name: str) -> str:
    """Return a name as the table has it."""
    return name.strip().lower()
