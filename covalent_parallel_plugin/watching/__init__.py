"""What a dispatch does on Batch: its jobs, by lists, and its state as Covalent's server tells it."""

from .looks import Watch, follow
from .places import Places, places_of
from .server import CovalentServer, Node
from .view import Items, JobView, Snapshot, view_of

__all__ = [
    "CovalentServer",
    "Items",
    "JobView",
    "Node",
    "Places",
    "Snapshot",
    "Watch",
    "follow",
    "places_of",
    "view_of",
]
