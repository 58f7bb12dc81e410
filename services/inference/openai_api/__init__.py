"""The OpenAI wire form: read by our replicas and by our own endpoint, written to every peer."""
