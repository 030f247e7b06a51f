"""Read the configuration of container images from their registries."""
