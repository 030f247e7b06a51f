"""Describe the Google Cloud project: regions, machine types, accounts, secrets, permissions."""
