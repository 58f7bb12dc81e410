"""Where answers come from: our replicas, outside models, recordings. One interface for all."""
