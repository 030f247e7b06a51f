"""Serve the JSON APIs that describe a project: Compute Engine, IAM, Service Usage and others."""
