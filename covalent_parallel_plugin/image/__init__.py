"""The container image that electrons run in: building one, and telling whether one fits this environment."""
