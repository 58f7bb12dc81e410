"""From a judge's reply to a verdict. Strict: what is not clearly one verdict is none."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from services.judging.protocols import Rules

MAX_REPLY_CHARACTERS = 100_000
_LINE = re.compile(r"^[\s>*_#`]*verdict[\s*_`]*:[\s*_`\[(\"']*([A-Za-z0-9]+)[\s*_`\])\"'.]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """`choice` is one of the protocol's choices, or None with the reason in `problem`."""

    choice: str | None
    reasoning: str
    problem: str = ""


def parse_reply(text: str, rules: Rules) -> Reply:
    """Read a reply: a JSON object with "verdict", or text that ends with the line "Verdict: X".

    A reply with two different verdicts, a verdict that is not a choice, or HTML is unparsable.
    """
    text = text[:MAX_REPLY_CHARACTERS].strip()
    if not text:
        return Reply(None, "", "empty reply")
    if text[:15].lower().startswith(("<!doctype", "<html")):
        return Reply(None, text, "HTML instead of a reply")
    structured = _json_object(text)
    if structured is not None:
        verdict = structured.get("verdict")
        if not isinstance(verdict, str | int) or isinstance(verdict, bool):
            return Reply(None, text, "JSON without a verdict")
        return _checked([str(verdict)], str(structured.get("reasoning", "")), rules)
    lines = text.splitlines()
    found = [match.group(1) for line in lines if (match := _LINE.match(line))]
    if not found:
        return Reply(None, text, "no line of the form 'Verdict: ...'")
    reasoning = "\n".join(line for line in lines if not _LINE.match(line)).strip()
    return _checked(found, reasoning, rules)


def _checked(found: list[str], reasoning: str, rules: Rules) -> Reply:
    names = {choice.lower(): choice for choice in rules.choices}
    choices = {names.get(name.strip().lower()) for name in found}
    if None in choices:
        return Reply(None, reasoning, f"the verdict is not one of {', '.join(rules.choices)}")
    if len(choices) > 1:
        return Reply(None, reasoning, "several different verdicts")
    return Reply(choices.pop(), reasoning)


def _json_object(text: str) -> dict[str, Any] | None:
    """The object a reply consists of, with or without a code fence around it."""
    if text.startswith("```"):
        text = text.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def reply_schema(rules: Rules) -> str:
    """JSON schema of a structured reply, reasoning first."""
    return json.dumps(
        {
            "type": "object",
            "properties": {
                "reasoning": {"type": "string"},
                "verdict": {"type": "string", "enum": list(rules.choices)},
            },
            "required": ["reasoning", "verdict"],
            "additionalProperties": False,
        }
    )
