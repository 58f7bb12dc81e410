"""Time to the first token and between tokens under load: streams that overlap, through the whole path.

The peer is transformers' own streaming (`TextIteratorStreamer`) of one request alone, which needs no
queue: a ratio near 1 between tokens means that company costs a reader little.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from itertools import pairwise

from benchmarks.harness import Result, main
from benchmarks.serving_peers import peer
from benchmarks.serving_stack import ServingStack, prompts, serving_stack, versions

ENGINE = "openvino"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--streams", type=int, default=8, help="streams at once")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)


def run(arguments: argparse.Namespace) -> Result:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> Result:
    first: list[float] = []
    gaps: list[float] = []
    peer_first: list[float] = []
    peer_gaps: list[float] = []
    async with serving_stack() as stack:
        await stack.load(ENGINE)
        with peer("transformers", stack.folder) as alone:
            await _stream(stack, prompts(1)[0], 2)
            for series in range(1, arguments.rounds + 1):
                texts = prompts(arguments.streams, series)
                times = await asyncio.gather(*(_stream(stack, text, arguments.tokens) for text in texts))
                first += [stamps[0] for stamps in times]
                gaps += [gap for stamps in times for gap in _gaps(stamps)]
                asked = {"stamps": True, "prompts": texts[:1], "tokens": arguments.tokens}
                (stamps,) = (await asyncio.to_thread(alone.ask, asked))["stamps"]
                peer_first.append(stamps[0])
                peer_gaps += _gaps(stamps)
            name = alone.name.replace("generate, one at a time", "TextIteratorStreamer, one stream alone")
    return Result(
        metric=f"time between tokens, p50, {arguments.streams} streams at once",
        value=_milliseconds(gaps, 50),
        unit="ms",
        peer=name,
        peer_value=_milliseconds(peer_gaps, 50),
        ratio=round(statistics.median(peer_gaps) / statistics.median(gaps), 2),
        packages=versions(),
        details={
            "between_tokens_ms": {f"p{percent}": _milliseconds(gaps, percent) for percent in (50, 99)},
            "first_token_ms": {f"p{percent}": _milliseconds(first, percent) for percent in (50, 99)},
            "peer_between_tokens_ms": {f"p{percent}": _milliseconds(peer_gaps, percent) for percent in (50, 99)},
            "peer_first_token_ms": {"p50": _milliseconds(peer_first, 50)},
            "streams": arguments.streams,
            "tokens_per_stream": arguments.tokens,
        },
    )


async def _stream(stack: ServingStack, text: str, tokens: int) -> list[float]:
    """When each message with text arrived, in seconds from the request."""
    from lima.inference.v1 import inference_pb2, inference_pb2_grpc, sampling_pb2

    sampling = sampling_pb2.Sampling(temperature=0, repetition_penalty=1, max_tokens=tokens)
    request = inference_pb2.StreamGenerateRequest(model=ENGINE, prompt=text, sampling=sampling)
    begin = time.perf_counter()
    return [
        time.perf_counter() - begin
        async for piece in inference_pb2_grpc.InferenceServiceStub(stack.channel).StreamGenerate(request, timeout=600)
        if piece.text
    ]


def _gaps(stamps: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(stamps)]


def _milliseconds(seconds: list[float], percent: int) -> float:
    """A percentile by nearest rank."""
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000, 1)


if __name__ == "__main__":
    main("stream_latency", run, options)
