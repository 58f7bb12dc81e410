"""Chatting through the real inference service with a fake outside model behind it."""

from __future__ import annotations

import json
import time

import pytest

from services.console.sessions import Role
from tests.service.console.fake_openai import SLOWLY, answer_to
from tests.service.console.seeding import outside_model
from tests.service.console.stack import Stack
from tests.service.console.visitor import Visitor

QUESTION = "Why is the sky blue?"


@pytest.fixture(scope="module")
def model(stack: Stack) -> str:
    outside_model(stack, "outside")
    outside_model(stack, "outside-too")
    return "models/outside"


@pytest.fixture
def operator(stack: Stack) -> Visitor:
    return Visitor(stack).come_in(stack, "op", Role.OPERATOR)


def said(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_models_that_are_ready_are_offered(operator: Visitor, model: str) -> None:
    page = operator.get("/chat").text
    assert "models/outside/versions/" in page
    assert 'value="0.7"' in page
    assert 'value="1.2"' in page


def test_an_answer_streams(operator: Visitor, model: str) -> None:
    answer = operator.send_json("/chat/stream", {"model": model, "messages": said(QUESTION), "sampling": {"seed": 1}})
    parts = lines(answer.text)
    assert "".join(str(part.get("text", "")) for part in parts).strip() == answer_to(QUESTION)
    assert parts[-1]["finish"] == "stop"
    assert parts[-1]["tokens"] == 7


def test_closing_the_stream_stops_the_model(stack: Stack, operator: Visitor, model: str) -> None:
    before = stack.outside.state.cut
    body = {"model": model, "messages": said(f"Speak {SLOWLY}.")}
    headers = {"x-csrf-token": operator.csrf()}
    with operator.client.stream("POST", "/chat/stream", json=body, headers=headers) as answer:
        next(answer.iter_lines())
    deadline = time.monotonic() + 10
    while stack.outside.state.cut == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stack.outside.state.cut == before + 1


@pytest.mark.parametrize(
    "body",
    [
        {"model": "models/none", "messages": said(QUESTION)},
        {"model": "models/outside", "messages": said(QUESTION), "sampling": {"temperature": 9}},
        {"model": "models/outside", "messages": [{"role": "assistant", "content": "x"}]},
    ],
)
def test_what_the_service_refuses_is_told_in_the_stream(operator: Visitor, model: str, body: dict[str, object]) -> None:
    parts = lines(operator.send_json("/chat/stream", body).text)
    assert parts[-1]["error"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "m", "messages": []},
        {"model": "m", "messages": [{"role": "robot", "content": "x"}]},
        {"model": "m", "messages": said("x"), "sampling": {"unknown": 1}},
        {"model": "m", "messages": said("x" * 100_001)},
        {"model": "m", "messages": said("x"), "sampling": {"seed": -1}},
    ],
)
def test_what_the_console_refuses(operator: Visitor, body: dict[str, object]) -> None:
    assert operator.send_json("/chat/stream", body).status_code == 400


def test_only_operators_chat(stack: Stack) -> None:
    annotator = Visitor(stack).come_in(stack, "mina", Role.ANNOTATOR)
    assert annotator.send_json("/chat/stream", {"model": "m", "messages": said("x")}).status_code == 403


def conversation(answer: str) -> list[dict[str, str]]:
    return [*said(QUESTION), {"role": "assistant", "content": answer}]


def test_a_conversation_becomes_an_example(operator: Visitor) -> None:
    answer = operator.send_json("/chat/example", {"messages": conversation("Because of scattering.")})
    assert "Because of scattering." in operator.get(answer.json()["next"]).text


def test_two_answers_become_a_blind_study(operator: Visitor, model: str) -> None:
    sides = [
        {"model": "models/outside", "messages": conversation("Because of scattering.")},
        {"model": "models/outside-too", "messages": conversation("It mirrors the sea.")},
    ]
    task = operator.send_json("/chat/judge", {"sides": sides}).json()["next"]
    page = operator.get(task).text
    assert "Because of scattering." in page
    assert "It mirrors the sea." in page
    assert "outside" not in page
    assert operator.send_json("/chat/judge", {"sides": sides}).json()["next"] == task


def test_an_unanswered_question_is_not_judged(operator: Visitor) -> None:
    sides = [{"model": "a", "messages": [*conversation("x"), *said("y")]}] * 2
    assert operator.send_json("/chat/judge", {"sides": sides}).status_code == 400
