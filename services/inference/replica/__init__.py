"""The Ray Serve application: what runs next to the weights."""
