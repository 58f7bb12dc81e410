"""Enough examples to find faults, few enough for a suite that people run."""

from hypothesis import settings

settings.register_profile("curation", max_examples=40, deadline=None)
settings.load_profile("curation")
