"""What the front adds: time to the first token, and throughput, against calling the replica's HTTP directly.

Single requests alternate between the two ways, so both meet the same machine. The peer is the replica itself,
called with the HTTP client that the front calls it with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass

import aiohttp

from benchmarks.harness import Result, main
from benchmarks.serving_stack import TOKEN, ServingStack, prompts, serving_stack, versions

ENGINE = "openvino"


@dataclass(frozen=True)
class Direct:
    """The replica's endpoint for completions, called without the front."""

    session: aiohttp.ClientSession
    url: str

    async def first_token(self, text: str, tokens: int) -> float:
        """Seconds to the first token; the answer is read to its end."""
        body = {"prompt": text, "temperature": 0, "repetition_penalty": 1, "max_tokens": tokens, "stream": True}
        begin = time.perf_counter()
        first = None
        async with self.session.post(self.url, json=body) as response:
            async for line in response.content:
                if first is None and line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["text"]:
                    first = time.perf_counter() - begin
        return first or time.perf_counter() - begin


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=100, help="requests each way for the first token")
    parser.add_argument("--rounds", type=int, default=5, help="rounds each way for throughput")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=48)


def run(arguments: argparse.Namespace) -> Result:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> Result:
    async with serving_stack() as stack:
        route = await stack.load(ENGINE)
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            direct = Direct(session, f"{stack.replica_url}{route}/v1/completions")
            first = await _first_tokens(stack, direct, arguments.pairs)
            totals = await _totals(stack, direct, arguments)
    ours, theirs = (statistics.median(column) * 1000 for column in zip(*first, strict=True))
    front, alone = (statistics.median(column) for column in zip(*totals, strict=True))
    return Result(
        metric="time to first token, p50, of a request alone",
        value=round(ours, 2),
        unit="ms",
        peer="the same replica called directly over HTTP",
        peer_value=round(theirs, 2),
        ratio=round(theirs / ours, 3),
        packages=versions(),
        details={
            "added_ms_p50": round(statistics.median(a - b for a, b in first) * 1000, 2),
            "seconds_for_all_requests": {"front": round(front, 3), "direct": round(alone, 3)},
            "throughput_lost_percent": round((front / alone - 1) * 100, 1),
            "rounds": [[round(seconds, 3) for seconds in pair] for pair in totals],
            "pairs": arguments.pairs,
            "requests_at_once": arguments.requests,
            "tokens_per_request": arguments.tokens,
        },
    )


async def _first_tokens(stack: ServingStack, direct: Direct, pairs: int) -> list[tuple[float, float]]:
    """Seconds to the first token through the front and directly, of one request after the other."""
    text = prompts(1)[0]
    await _through_front(stack, text, 2)
    await direct.first_token(text, 2)
    return [(await _through_front(stack, text, 2), await direct.first_token(text, 2)) for _ in range(pairs)]


async def _totals(stack: ServingStack, direct: Direct, arguments: argparse.Namespace) -> list[tuple[float, float]]:
    """Seconds until all concurrent streams have ended, each way; who goes first alternates."""
    totals = []
    for series in range(0, 2 * arguments.rounds, 2):
        mine, theirs = prompts(arguments.requests, series), prompts(arguments.requests, series + 1)
        front = [_through_front(stack, text, arguments.tokens) for text in mine]
        alone = [direct.first_token(text, arguments.tokens) for text in theirs]
        if series % 4:
            late = await _seconds_for_all(alone)
            totals.append((await _seconds_for_all(front), late))
        else:
            totals.append((await _seconds_for_all(front), await _seconds_for_all(alone)))
    return totals


async def _seconds_for_all(calls: Iterable[Awaitable[float]]) -> float:
    """Seconds until all are answered."""
    begin = time.perf_counter()
    await asyncio.gather(*calls)
    return time.perf_counter() - begin


async def _through_front(stack: ServingStack, text: str, tokens: int) -> float:
    """Seconds to the first token."""
    from lima.inference.v1 import inference_pb2, inference_pb2_grpc, sampling_pb2

    sampling = sampling_pb2.Sampling(temperature=0, repetition_penalty=1, max_tokens=tokens)
    request = inference_pb2.StreamGenerateRequest(model=ENGINE, prompt=text, sampling=sampling)
    begin = time.perf_counter()
    first = None
    async for piece in inference_pb2_grpc.InferenceServiceStub(stack.channel).StreamGenerate(request, timeout=600):
        if first is None and piece.text:
            first = time.perf_counter() - begin
    return first or time.perf_counter() - begin


if __name__ == "__main__":
    main("gateway_overhead", run, options)
