"""A funnel of filters as bars."""

from __future__ import annotations

from lima.curation.v1 import curation_pb2


def bars_of(source: curation_pb2.FunnelSource) -> list[tuple[str, float]]:
    """How many candidates each filter left, in the order applied."""
    return [(step.filter, float(step.entered - step.removed)) for step in source.steps]
