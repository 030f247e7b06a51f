"""Parse list filters and field masks of Google's APIs."""
