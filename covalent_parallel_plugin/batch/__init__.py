"""One Batch job, whoever asked for it: defined, submitted, watched, explained, and cleaned up after."""
