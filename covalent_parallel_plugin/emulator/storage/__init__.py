"""Serve Cloud Storage's JSON API over HTTP, and on the same port the APIs of `resource_apis`."""
