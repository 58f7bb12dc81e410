"""Models elsewhere: OpenAI-compatible endpoints and recorded responses."""
