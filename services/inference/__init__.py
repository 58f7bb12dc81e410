"""Inference: the one place where a prompt meets a model."""
