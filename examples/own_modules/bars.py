"""A module beside the workflow."""

from materials.densities import density


def mass(material: str, length: float, width: float, height: float) -> float:
    """Return the mass of a bar in kg; its sizes are in m."""
    return round(length * width * height * density(material), 3)
