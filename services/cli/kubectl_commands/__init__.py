"""What `kubectl lima` does, on top of the kubectl that calls it."""
