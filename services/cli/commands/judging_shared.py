"""What the commands about studies share: calling the services, and showing results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.output import note, table

if TYPE_CHECKING:
    from services.cli.client import Services

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")]


def call(act: Callable[[Services], Awaitable[Any]]) -> Any:
    """Run one action against the services."""
    from services.cli.client import connect

    async def run() -> Any:
        async with connect() as services:
            return await act(services)

    return asyncio.run(run())


def with_interval(estimate: Any) -> tuple[str, str]:
    return f"{100 * estimate.value:.1f}%", f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}%"


def show_results(results: Any) -> None:
    """Results for people: warnings first."""
    for warning in results.warnings:
        note(f"! {warning}")
    if results.pairs:
        rows = []
        for pair in results.pairs:
            rate, interval = with_interval(pair.win_rate)
            flips = with_interval(pair.flip_rate)[0] if pair.HasField("flip_rate") else ""
            shares = [with_interval(each)[0] for each in (pair.win, pair.tie, pair.lose)]
            rows.append([f"{pair.first} : {pair.second}", pair.judge, pair.win.n, *shares, rate, interval, flips])
        table(["pair", "judge", "prompts", "win", "tie", "lose", "win rate", "95% interval", "flips"], rows)
    if results.scores:
        rows = [
            [
                score.system,
                score.judge,
                score.mean.n,
                score.mean.value,
                f"{score.mean.low:.2f} to {score.mean.high:.2f}",
            ]
            for score in results.scores
        ]
        table(["system", "judge", "prompts", "mean", "95% interval"], rows)
