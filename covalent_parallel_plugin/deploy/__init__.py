"""The infrastructure that jobs need, made and taken down with the user's own Terraform or OpenTofu.

The files are in `assets/infra`. They are copied to the user's data folder and run there, so that state is never kept
where packages are installed; the outputs become the executor's options in Covalent's configuration file.
"""

from __future__ import annotations

from .deployment import Deployment, Status
from .folder import INFRA, known_deployments, place_of
from .terraform import Terraform, find_terraform
from .variables import VARIABLES, read_assignments

__all__ = [
    "INFRA",
    "VARIABLES",
    "Deployment",
    "Status",
    "Terraform",
    "find_terraform",
    "known_deployments",
    "place_of",
    "read_assignments",
]
