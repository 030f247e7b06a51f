"""Serve the methods of Cloud Logging v2 over gRPC."""
