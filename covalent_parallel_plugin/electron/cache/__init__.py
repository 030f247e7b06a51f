"""Values that are kept in the bucket, for electrons that are equal to the one that made them (option `cache`)."""
