"""The page: the document and its figures in one HTML file that needs nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from services.judging.report.figures import Figure

# Nothing is fetched and no script runs, whatever an answer holds.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"


def render_page(document: Mapping[str, Any], figures: Sequence[Figure]) -> str:
    """Every text is escaped; only our own figures enter as markup."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("services.judging.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(share=_share, interval=_interval, number=_number, p=_p_value, excluded=_excluded)
    template = environment.get_template("report.html.jinja")
    # svg.py escapes every text it is given.
    drawn = [{**dataclasses.asdict(figure), "svg": Markup(figure.svg)} for figure in figures]  # noqa: S704
    return template.render(d=document, figures=drawn, policy=POLICY)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _interval(estimate: Mapping[str, Any], form: str = "share") -> str:
    if estimate["value"] is None:
        return "–"
    low, high = estimate["low"], estimate["high"]
    if low is None or high is None:
        return "interval unknown"
    return f"{100 * low:.1f} to {100 * high:.1f}%" if form == "share" else f"{low:.2f} to {high:.2f}"


def _p_value(value: float) -> str:
    # The space must not be where the line breaks.
    return "<\N{NO-BREAK SPACE}0.001" if value < 0.001 else f"{value:.3f}"


def _excluded(estimate: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in estimate["excluded"].items()) or "none"
