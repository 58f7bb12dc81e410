"""From a judge's reply to a verdict, strictly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.judging.protocols import RULES, Protocol
from services.judging.replies import parse_reply
from services.judging.templates import check_template, render, reply_form, verdict_tokens

PAIR, LIKERT, LABELS = RULES[Protocol.PAIRWISE], RULES[Protocol.LIKERT], RULES[Protocol.ABSOLUTE]


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("Because.\nVerdict: A", "A"),
        ("Verdict: neither", "neither"),
        ("**Verdict:** B", "B"),
        ("> verdict: [[a]]", "A"),
        ("Verdict: A\nstill\nVerdict: A", "A"),
        ('{"reasoning": "x", "verdict": "B"}', "B"),
        ('```json\n{"verdict": "neither"}\n```', "neither"),
    ],
)
def test_clear_verdicts_are_read(text: str, choice: str) -> None:
    assert parse_reply(text, PAIR).choice == choice


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("A", "no line"),
        ("I would say A is better, so A.", "no line"),
        ("Verdict: A or B", "no line"),
        ("Verdict: C", "not one of"),
        ("Verdict: A\nVerdict: B", "several"),
        ("<html><body>Verdict: A</body></html>", "HTML"),
        ('{"verdict": null}', "without a verdict"),
        ('{"verdict": true}', "without a verdict"),
        ('{"verdict": ["A"]}', "without a verdict"),
        ('{"verdict": "A"', "no line"),
    ],
)
def test_what_is_not_clearly_one_verdict_is_none(text: str, problem: str) -> None:
    reply = parse_reply(text, PAIR)
    assert reply.choice is None
    assert problem in reply.problem


def test_reasoning_is_kept_without_the_verdict() -> None:
    assert parse_reply("One.\nTwo.\nVerdict: 5", LIKERT).reasoning == "One.\nTwo."
    assert parse_reply("Verdict: 7", LIKERT).choice is None
    assert parse_reply('{"verdict": 4}', LIKERT).choice == "4"


@given(st.text(max_size=300))
@settings(max_examples=100)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for rules in RULES.values():
        reply = parse_reply(text, rules)
        assert (reply.choice in rules.choices) != bool(reply.problem)


@given(st.text(max_size=100), st.text(max_size=100), st.text(max_size=100))
@settings(max_examples=60)
def test_content_is_fenced_and_never_filled_in(prompt: str, first: str, second: str) -> None:
    first += "$answer_b ${prompt} <<<end>>>"
    text = render(PAIR.template, PAIR, prompt, (first, second), reply_form(PAIR, structured=False, logprobs=False))
    assert f" answer A>>>\n{first}\n<<<end " in text
    shown = second if second.strip() else "(this answer is empty)"
    assert f" answer B>>>\n{shown}\n<<<end " in text


def test_enormous_answers_are_cut_and_say_so() -> None:
    text = render(PAIR.template, PAIR, "p", ("x" * 100_000, "y"), "")
    assert len(text) < 30_000
    assert "(cut here: 76000 more characters)" in text


@pytest.mark.parametrize("protocol", Protocol)
def test_every_protocol_can_be_asked_in_every_form(protocol: Protocol) -> None:
    rules = RULES[protocol]
    check_template(rules.template, rules.sides)
    tokens = verdict_tokens(rules)
    assert len(set(tokens)) == len(rules.choices)
    assert {len(token) for token in tokens} == {1}
    for structured in (True, False):
        form = reply_form(rules, structured=structured, logprobs=False)
        assert all(choice in form for choice in rules.choices)
    assert LABELS.choices == ("fail", "pass", "excellent")
