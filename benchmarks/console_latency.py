"""How long the console's pages take, with a dataset of 10,000 examples and a study of 1,000,000 verdicts behind them.

    python -m benchmarks.console_latency [--examples 10000] [--verdicts 1000000] [--visitors 4] [--rounds 20]
                                           [--think 0.25] [--record]

Curation, inference, judging, the console and an S3 server are processes of their own; visitors are HTTP clients in
this one, each of which opens a page, pauses for a time drawn evenly between nothing and twice `--think` seconds, then
opens the next, so that four visitors ask for about fourteen pages a second: as much as well over a hundred people.
`value` is the 95th percentile over all pages of the time to the last byte of a page; each page has its own in the
details. The target of 100 ms stands in the place of a peer: none of the annotation tools named in the design pages
serves these pages. Parts that a page fetches after it is there (progress and results of a study) are timed apart.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import socket
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.console_scene import PATIENCE_SECONDS, fill
from benchmarks.harness import Result, main
from benchmarks.judging_stack import bench_settings, running_service
from services.shared.settings import Settings
from tests.fixtures.seaweedfs import running_seaweedfs

TARGET_MILLISECONDS = 100.0
TASK = re.compile(r"/annotate/[a-z0-9]{10}")
CSRF = re.compile(r'<meta name="csrf" content="([0-9a-f]+)">')


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--verdicts", type=int, default=1_000_000)
    parser.add_argument("--visitors", type=int, default=4)
    parser.add_argument("--think", type=float, default=0.25, help="mean seconds between two pages of a visitor")
    parser.add_argument("--rounds", type=int, default=20)


def run(arguments: argparse.Namespace) -> Result:
    with tempfile.TemporaryDirectory(prefix="lima-bench-") as place, ExitStack() as stack:
        s3 = stack.enter_context(running_seaweedfs())
        settings = bench_settings(Path(place), s3.endpoint, s3.access_key, s3.secret_key)
        addresses = {
            f"{name}_address": stack.enter_context(running_service(name, settings))
            for name in ("curation", "inference", "judging")
        }
        settings = settings.model_copy(update=addresses)
        # The console's own default would be that of one that somebody works with.
        with socket.create_server(("127.0.0.1", 0)) as probe:
            settings = settings.model_copy(update={"port": probe.getsockname()[1]})
        console = stack.enter_context(running_service("console", settings))
        filled = fill(settings, arguments.examples, arguments.verdicts)
        waits = asyncio.run(visit(f"http://{console}", settings, filled["pages"], arguments))
    return summary(waits, filled, arguments)


async def visit(
    url: str, settings: Settings, pages: dict[str, str], arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of every request by page. Each visitor signs in as somebody of their own."""
    waits: dict[str, list[float]] = defaultdict(list)
    draws = random.Random(0)

    async def visitor(number: int, rounds: int) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60, headers={"accept": "text/html"}) as client:
            await sign_in(client, settings, f"visitor {number}")
            task = TASK.search((await client.get("/annotate")).text)
            assert task is not None
            for _ in range(rounds):
                for name, path in {**pages, "/annotate/(an item)": task[0]}.items():
                    began = time.perf_counter()
                    answer = await client.get(path, follow_redirects=True)
                    waits[name].append(time.perf_counter() - began)
                    answer.raise_for_status()
                    await asyncio.sleep(draws.uniform(0, 2 * arguments.think))

    # The first visit of a page compiles its template; it is not what people meet.
    await visitor(0, rounds=1)
    waits.clear()
    await asyncio.gather(*(visitor(number, arguments.rounds) for number in range(arguments.visitors)))
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, headers={"accept": "text/html"}) as client:
        await sign_in(client, settings, "reader")
        for part in ("/parts/studies/large/progress", "/parts/studies/large/results"):
            began = time.perf_counter()
            answer = await client.get(part)
            # A part that does not come is told in the result; the pages are what is measured.
            name = f"part {part}" if answer.is_success else f"part {part} (status {answer.status_code})"
            waits[name].append(time.perf_counter() - began)
    return waits


async def sign_in(client: httpx.AsyncClient, settings: Settings, name: str) -> None:
    assert settings.token is not None
    found = CSRF.search((await client.get("/sign-in")).text)
    assert found is not None
    fields = {"token": settings.token.get_secret_value(), "name": name, "csrf": found[1]}
    answer = await client.post("/sign-in", data=fields)
    assert answer.status_code == 303, answer.text


def summary(waits: dict[str, list[float]], filled: dict[str, Any], arguments: argparse.Namespace) -> Result:
    def milliseconds(seconds: Sequence[float], percent: float) -> float:
        return round(1000 * float(np.percentile(seconds, percent)), 1)

    pages = {page: seconds for page, seconds in waits.items() if not page.startswith("part ")}
    every = [one for seconds in pages.values() for one in seconds]
    worst = max(pages, key=lambda page: milliseconds(pages[page], 95))
    value = milliseconds(every, 95)
    return Result(
        metric="time to a whole page, 95th percentile",
        value=value,
        unit="ms",
        peer="the target",
        peer_value=TARGET_MILLISECONDS,
        ratio=round(TARGET_MILLISECONDS / value, 2),
        packages=("fastapi", "uvicorn", "jinja2", "grpcio"),
        details={
            "p50_ms": milliseconds(every, 50),
            "p99_ms": milliseconds(every, 99),
            "slowest_page": worst,
            "slowest_page_p95_ms": milliseconds(pages[worst], 95),
            "p95_ms_by_page": {page: milliseconds(seconds, 95) for page, seconds in waits.items()},
            "requests": len(every),
            "visitors": arguments.visitors,
            "think_seconds": arguments.think,
            "examples": filled["examples"],
            "verdicts": filled["verdicts"],
        },
    )


if __name__ == "__main__":
    main("console_latency", run, options)
