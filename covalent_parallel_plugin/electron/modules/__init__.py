"""An electron's own modules: which ones it imports, where they are, and the archive in which they travel."""
