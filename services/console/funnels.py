"""A funnel of filters as bars."""

from __future__ import annotations

from lima.curation.v1 import curation_pb2
from services.console.catalogue import Translator, term


def bars_of(t: Translator, source: curation_pb2.FunnelSource) -> list[tuple[str, float]]:
    """How many candidates each filter left, in the order applied."""
    return [(term(t, "filter", step.filter), float(step.entered - step.removed)) for step in source.steps]
