"""What the front adds: time to the first token, and throughput, against calling the replica's HTTP directly.

Requests alternate between the two ways and so does who goes first, because what is measured is small beside what
other programs of the machine take: it is the median over many pairs. The peer is the replica itself, called with
the HTTP client that the front calls it with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import aiohttp

from benchmarks.harness import Result, main
from benchmarks.serving_stack import TOKEN, ServingStack, prompts, serving_stack, versions

ENGINE = "openvino"
Item = TypeVar("Item")


@dataclass(frozen=True)
class Seen:
    """What a client saw of one answer: seconds to its first token, and tokens in all."""

    first: float
    tokens: int


class Ask(Protocol):
    def __call__(self, text: str, tokens: int) -> Awaitable[Seen]: ...


def directly(session: aiohttp.ClientSession, url: str) -> Ask:
    """The replica's endpoint for completions at `url`, called without the front."""

    async def ask(text: str, tokens: int) -> Seen:
        body = {"prompt": text, "temperature": 0, "repetition_penalty": 1, "max_tokens": tokens}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        begin = time.perf_counter()
        first = drawn = 0.0
        async with session.post(url, json=body) as response:
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                if not first and event["choices"] and event["choices"][0]["text"]:
                    first = time.perf_counter() - begin
                drawn = (event.get("usage") or {}).get("completion_tokens", drawn)
        return Seen(first, int(drawn))

    return ask


def through_front(stack: ServingStack) -> Ask:
    from lima.inference.v1 import inference_pb2, inference_pb2_grpc, sampling_pb2

    stub = inference_pb2_grpc.InferenceServiceStub(stack.channel)

    async def ask(text: str, tokens: int) -> Seen:
        sampling = sampling_pb2.Sampling(temperature=0, repetition_penalty=1, max_tokens=tokens)
        request = inference_pb2.StreamGenerateRequest(model=ENGINE, prompt=text, sampling=sampling)
        begin = time.perf_counter()
        first, drawn = 0.0, 0
        async for piece in stub.StreamGenerate(request, timeout=600):
            if not first and piece.text:
                first = time.perf_counter() - begin
            drawn = piece.usage.completion_tokens or drawn
        return Seen(first, drawn)

    return ask


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=500, help="requests each way for the first token")
    parser.add_argument("--rounds", type=int, default=16, help="rounds each way for throughput")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=48)


def run(arguments: argparse.Namespace) -> Result:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> Result:
    async with serving_stack() as stack:
        route = await stack.load(ENGINE)
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            ways = (through_front(stack), directly(session, f"{stack.replica_url}{route}/v1/completions"))
            first = await _first_tokens(ways, arguments.pairs)
            rates = await _rates(ways, arguments)
    ours, theirs = (statistics.median(column) * 1000 for column in zip(*first, strict=True))
    added = [(front - alone) * 1000 for front, alone in first]
    front, alone = (statistics.median(column) for column in zip(*rates, strict=True))
    return Result(
        metric="time to first token, p50, of a request alone",
        value=round(ours, 2),
        unit="ms",
        peer="the same replica called directly over HTTP",
        peer_value=round(theirs, 2),
        ratio=round(theirs / ours, 3),
        packages=versions(),
        details={
            "added_ms_p50": round(statistics.median(added), 2),
            "added_ms_quartiles": [round(value, 2) for value in statistics.quantiles(added, n=4)],
            "tokens_per_second": {"front": round(front, 1), "direct": round(alone, 1)},
            "throughput_lost_percent": round(statistics.median(100 * (1 - a / b) for a, b in rates), 1),
            "rounds": [[round(rate, 1) for rate in pair] for pair in rates],
            "pairs": arguments.pairs,
            "requests_at_once": arguments.requests,
            "tokens_per_request": arguments.tokens,
        },
    )


async def _first_tokens(ways: Sequence[Ask], pairs: int) -> list[tuple[float, float]]:
    """Seconds to the first token through the front and directly, of one request after the other."""
    text = prompts(1)[0]
    for ask in ways:
        await ask(text, 2)
    found = []
    for index in range(pairs):
        seen = [(await ask(text, 2)).first for ask in _in_turn(ways, index)]
        found.append(_in_turn(seen, index))
    return [(front, alone) for front, alone in found]


async def _rates(ways: Sequence[Ask], arguments: argparse.Namespace) -> list[tuple[float, float]]:
    """Tokens per second of all concurrent streams, each way."""
    found = []
    for index in range(arguments.rounds):
        rates = []
        for number, ask in enumerate(_in_turn(ways, index)):
            texts = prompts(arguments.requests, 1 + 2 * index + number)
            begin = time.perf_counter()
            seen = await asyncio.gather(*(ask(text, arguments.tokens) for text in texts))
            rates.append(sum(answer.tokens for answer in seen) / (time.perf_counter() - begin))
        found.append(_in_turn(rates, index))
    return [(front, alone) for front, alone in found]


def _in_turn(pair: Sequence[Item], index: int) -> Sequence[Item]:
    """The two as they are, and every other time the other way round."""
    return pair[::-1] if index % 2 else pair


if __name__ == "__main__":
    main("gateway_overhead", run, options)
