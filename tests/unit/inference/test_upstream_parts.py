"""Limits learnt from headers, and parsers of what a foreign endpoint may send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.answers import Piece, Usage
from services.inference.openai_api import parsing
from services.inference.streams import coalesced
from services.inference.upstreams.limits import MAX_WAIT_SECONDS, RateLimit, parse_duration, retry_after
from services.inference.upstreams.recorded import parse_recording
from services.shared.errors import DataCorrupt, InvalidInput, Unavailable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["choices", "message", "content", "text", "delta", "usage", "logprobs", "tokens", "index", "error", "top_logprobs"]
)
REPLIES = st.recursive(JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_requests_per_minute_hold() -> None:
    clock = Clock()
    limit = RateLimit(60, 0, clock=clock, sleep=clock.sleep)
    for _ in range(180):
        await limit.wait(1)
    assert clock.now == pytest.approx(120, abs=1)


async def test_tokens_per_minute_hold_even_for_one_that_is_too_large() -> None:
    clock = Clock()
    limit = RateLimit(0, 1000, clock=clock, sleep=clock.sleep)
    for _ in range(3):
        await limit.wait(5000)
    assert clock.now == pytest.approx(120, abs=1)


async def test_limits_are_learnt_from_headers() -> None:
    clock = Clock()
    limit = RateLimit(0, 0, clock=clock, sleep=clock.sleep)
    await limit.wait(1)
    assert clock.now == 0
    limit.learn({"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"})
    await limit.wait(1)
    assert clock.now == pytest.approx(1)
    limit.close_for(7)
    await limit.wait(1)
    assert clock.now == pytest.approx(8)


async def cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


@given(st.lists(st.text(max_size=8), max_size=4), st.integers(1, 40), st.sampled_from(["\n", "\r\n"]))
async def test_events_come_whole_however_they_are_cut(texts: list[str], size: int, end: str) -> None:
    events = [{"text": text} for text in texts]
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}{end}{end}" for event in events]
    data = f": hello{end}{''.join(lines)}data: [DONE]{end}{end}".encode()
    assert [event async for event in parsing.parse_events(cut(data, size))] == events


async def test_separators_of_unicode_within_an_event_do_not_end_it() -> None:
    event = {"text": "a\u2028b\u0085c\x0bd"}
    data = b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\ndata: [DONE]\n\n"
    assert [found async for found in parsing.parse_events(cut(data, 7))] == [event]


async def test_a_stream_that_ends_early_or_is_none_is_told() -> None:
    for data in (b'data: {"text": 1}\n\n', b"", b"<html>", b"data: {\n\n"):
        with pytest.raises(Unavailable):
            [event async for event in parsing.parse_events(cut(data, 3))]


@given(st.dictionaries(st.sampled_from(["retry-after", "x-ratelimit-reset-requests", "x-other"]), st.text(max_size=12)))
def test_any_header_gives_a_bounded_wait_or_none(headers: dict[str, str]) -> None:
    seconds = retry_after(headers)
    assert seconds is None or 0 <= seconds <= MAX_WAIT_SECONDS


def test_durations() -> None:
    assert parse_duration("1m30s") == 90
    assert parse_duration("120ms") == pytest.approx(0.12)
    assert parse_duration("Sun, 22 Nov 2026 10:00:00 GMT") is None
    assert parse_duration("9h") == MAX_WAIT_SECONDS


@given(REPLIES)
def test_any_reply_is_read_or_refused_as_unavailable(value: Any) -> None:
    try:
        reply = parsing.parse_json(json.dumps(value))
        completions = parsing.parse_completions(reply)
    except Unavailable:
        return
    assert all(isinstance(completion.text, str) for completion in completions)


@given(st.dictionaries(FIELDS, REPLIES, max_size=5))
def test_any_event_is_read_or_refused_as_unavailable(event: dict[str, Any]) -> None:
    try:
        piece = parsing.parse_piece(event)
    except Unavailable:
        return
    assert piece is None or isinstance(piece.text, str)


@given(st.binary(max_size=200) | REPLIES.map(lambda value: json.dumps(value).encode()))
def test_any_recording_is_read_or_refused(data: bytes) -> None:
    try:
        recording = parse_recording(data, "s3://b/file.jsonl")
    except (DataCorrupt, InvalidInput) as refused:
        assert "s3://b/file.jsonl" in str(refused)  # noqa: PT017
    else:
        assert recording.answers


def test_recordings_in_the_forms_that_are_published() -> None:
    ours = b'{"messages": [{"role": "user", "content": "q"}], "response": "a"}\n{"prompt": "q", "response": "b"}\n'
    assert parse_recording(ours, "u").answers == {"q": ("a", "b")}
    alpaca = json.dumps([{"instruction": "q", "output": "a", "generator": "g"}]).encode()
    assert parse_recording(alpaca, "u").answers == {"q": ("a",)}


async def stream_of(pieces: list[Piece], error: Exception | None = None) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


async def test_coalescing_joins_what_comes_together_and_delays_no_first_token() -> None:
    pieces = [Piece(str(index)) for index in range(9)] + [Piece("end", "stop", Usage(1, 10))]
    got = [piece async for piece in coalesced(stream_of(pieces))]
    assert "".join(piece.text for piece in got) == "012345678end"
    assert got[0].text.startswith("0")
    assert len(got) < len(pieces)
    assert (got[-1].finish, got[-1].usage) == ("stop", Usage(1, 10))


async def test_a_piece_that_comes_late_enough_waits_for_no_other() -> None:
    asked = 0

    async def slow() -> AsyncIterator[Piece]:
        nonlocal asked
        for piece in (Piece("a"), Piece("b"), Piece("c", "stop")):
            asked += 1
            yield piece
            await asyncio.sleep(0.05)

    got = []
    async for piece in coalesced(slow(), seconds=0.01):
        got.append(piece.text)
        assert asked == len(got)
    assert got == ["a", "b", "c"]


async def test_a_slow_reader_gets_what_has_come_meanwhile_in_one_piece() -> None:
    pieces = [Piece(str(index)) for index in range(9)]
    got = []
    async for piece in coalesced(stream_of(pieces), seconds=0.001):
        got.append(piece.text)
        await asyncio.sleep(0.01)
    assert got == ["0", "12345678"]


async def test_a_reader_that_leaves_ends_the_work_behind_a_piece_that_was_asked_for() -> None:
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[Piece]:
        try:
            yield Piece("a")
            yield Piece("b")
            await asyncio.Event().wait()
        finally:
            ended.set()

    stream = coalesced(endless(), seconds=0.01)
    assert [(await anext(stream)).text, (await anext(stream)).text] == ["a", "b"]
    await stream.aclose()  # type: ignore[attr-defined]
    assert ended.is_set()


async def test_an_error_comes_after_the_text_before_it() -> None:
    got: list[str] = []

    async def read() -> None:
        async for piece in coalesced(stream_of([Piece("a"), Piece("b"), Piece("c")], Unavailable("gone"))):
            got.append(piece.text)  # noqa: PERF401 (what came before the error counts)

    with pytest.raises(Unavailable):
        await read()
    assert "".join(got) == "abc"
