"""Serve Cloud Storage's JSON API, and the JSON APIs that describe a project, over HTTP."""
