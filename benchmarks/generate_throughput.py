"""16 concurrent requests of mixed lengths: our whole path (gRPC, HTTP, Ray Serve, engine) against CPU engines.

Peers, each in a process and environment of its own, greedy, float32, the same prompts and lengths:
`transformers.generate` one request at a time (with a share of the requests, because it is slow), vLLM's
CPU build and OpenVINO GenAI, both given all prompts in one call, without any service around them. Ours are
the default engine and others behind the same interface; all are compared by tokens per second.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack

from benchmarks.harness import Result, main
from benchmarks.serving_peers import Peer, PeerMissing, peer, vllm_python
from benchmarks.serving_stack import ServingStack, prompts, serving_stack, versions
from services.shared.errors import FailedPrecondition

DEFAULT = "openvino"
ONE_AT_A_TIME = "transformers"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64, help="new tokens per request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-requests", type=int, default=4, help="of the requests, how many transformers answers")
    parser.add_argument("--peers", default="vllm,openvino", help="beside transformers")
    parser.add_argument("--engines", default=DEFAULT, help="of ours, with commas between")


def run(arguments: argparse.Namespace) -> Result:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> Result:
    tokens = arguments.tokens
    rates: dict[str, list[float]] = defaultdict(list)
    missing: dict[str, str] = {}
    engines = [name for name in arguments.engines.split(",") if name]
    python = None
    try:
        python = await asyncio.to_thread(vllm_python) if "vllm" in engines else None
    except FailedPrecondition as error:
        missing["ours vllm"] = str(error)
        engines.remove("vllm")
    with ExitStack() as running:
        async with serving_stack(python) as stack:
            for engine in engines:
                await stack.load(engine)
                await answer_all(stack, engine, prompts(4), 4)
            peers = await asyncio.to_thread(_start, running, stack, arguments.peers, missing)
            for series in range(1, arguments.rounds + 1):
                texts, said = prompts(arguments.requests, series), {}
                for engine in engines:
                    rate, said[f"ours {engine}"] = await answer_all(stack, engine, texts, tokens)
                    rates[f"ours {engine}"].append(rate)
                for kind, worker in peers.items():
                    alone = kind == ONE_AT_A_TIME
                    asked = texts[:: max(1, len(texts) // arguments.peer_requests)] if alone else texts
                    rate, said[worker.name] = await asyncio.to_thread(worker.rate, asked, tokens)
                    rates[worker.name].append(rate)
    return _result(arguments, rates, missing, said, peers)


def _start(running: ExitStack, stack: ServingStack, wanted: str, missing: dict[str, str]) -> dict[str, Peer]:
    peers = {}
    for kind in (ONE_AT_A_TIME, *filter(None, wanted.split(","))):
        try:
            peers[kind] = running.enter_context(peer(kind, stack.folder))
            peers[kind].rate(prompts(4), 4)
        except (PeerMissing, FailedPrecondition) as error:
            missing[kind] = str(error)
    return peers


def _result(
    arguments: argparse.Namespace,
    rates: dict[str, list[float]],
    missing: dict[str, str],
    said: dict[str, list[str]],
    peers: dict[str, Peer],
) -> Result:
    median = {name: round(statistics.median(values), 1) for name, values in rates.items()}
    plain = peers[ONE_AT_A_TIME].name
    ours = {name: rate for name, rate in median.items() if name.startswith("ours ")}
    others = {name: rate for name, rate in median.items() if name not in ours and name != plain}
    fastest, best = max(ours, key=ours.__getitem__), max(others, key=others.__getitem__, default="")
    default = median[f"ours {DEFAULT}"]
    return Result(
        metric="generated tokens per second of 16 concurrent requests, default engine, whole path",
        value=default,
        unit="tokens/s",
        peer=plain,
        peer_value=median[plain],
        ratio=round(default / median[plain], 2),
        packages=versions(),
        details={
            "fastest_engine": {
                "ours": fastest,
                "tokens_per_second": ours[fastest],
                "best_cpu_peer": best,
                "peer_tokens_per_second": others.get(best),
                "ratio": round(ours[fastest] / others[best], 3) if best else None,
            },
            "tokens_per_second": median,
            "rounds": {name: [round(rate, 1) for rate in values] for name, values in rates.items()},
            "missing": missing,
            # Greedy answers of the last round, by how many of the default engine's they repeat to the letter.
            "same_texts": _same_texts(said),
            "requests": arguments.requests,
            "tokens_per_request": arguments.tokens,
            "model": "SmolLM2-135M-Instruct, float32 weights everywhere",
        },
    )


def _same_texts(said: dict[str, list[str]]) -> dict[str, str]:
    known = set(said[f"ours {DEFAULT}"])
    return {name: f"{sum(text in known for text in texts)} of {len(texts)}" for name, texts in said.items()}


async def answer_all(stack: ServingStack, model: str, texts: list[str], tokens: int) -> tuple[float, list[str]]:
    """Tokens per second of all requests at once, greedy, and the texts."""
    from lima.inference.v1 import inference_pb2, inference_pb2_grpc, sampling_pb2

    stub = inference_pb2_grpc.InferenceServiceStub(stack.channel)
    sampling = sampling_pb2.Sampling(temperature=0, repetition_penalty=1, max_tokens=tokens)
    requests = [inference_pb2.GenerateRequest(model=model, prompt=text, sampling=sampling) for text in texts]
    begin = time.perf_counter()
    replies = await asyncio.gather(*(stub.Generate(request, timeout=600) for request in requests))
    seconds = time.perf_counter() - begin
    drawn: int = sum(reply.usage.completion_tokens for reply in replies)
    return drawn / seconds, [reply.completions[0].text for reply in replies]


if __name__ == "__main__":
    main("generate_throughput", run, options)
