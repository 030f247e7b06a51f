"""Serve the methods of Batch v1 and of long-running operations over gRPC."""
