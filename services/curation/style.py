"""What a reader of the paper's guidance would remark about an authored example. Reports; never rewrites.

Authored responses "first acknowledge the question, then answer" (LIMA, section 2.2) in the tone of a helpful assistant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.curation.filters import tokens, words
from services.shared.records import Turn

SHORT_RESPONSE, LONG_PROMPT = 40, 400
_FILLER = re.compile(
    r"^(?:sure|certainly|of course|absolutely|great question|no problem|okay|ok)\b[!,.]", re.IGNORECASE
)
_SELF = re.compile(r"\bas an? (?:ai|artificial intelligence|language model|llm|chatbot)\b", re.IGNORECASE)
_REFUSING = re.compile(
    r"\b(?:can(?:'t|not|\u2019t)|won(?:'t|\u2019t)|will not|unable to|not able to|(?:should|would|could) not|refuse|"
    r"decline|not (?:going to|comfortable|something)|against|illegal|harm\w*|danger\w*|wrong)\b",
    re.IGNORECASE,
)
_STRUCTURE = re.compile(r"^(?:#{1,6} |[-*] |\d+[.)] |```|\|)")
_SENTENCE = re.compile(r"^.*?(?:[.!?:](?=\s|$)|\n|$)", re.DOTALL)
_COMMON_WORDS = (
    "a an and are as at be but by can could do does for from has have how i if in is it its me my of on or "
    "our should so some tell that the their them there they this to was we were what when where which who why "
    "will with would you your"
)
_COMMON = frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True, slots=True)
class Remark:
    """`turn` is counted from 0."""

    rule: str
    message: str
    turn: int


@dataclass(frozen=True, slots=True)
class StyleReport:
    remarks: tuple[Remark, ...]
    prompt_tokens: int
    response_tokens: int


def style_report(turns: Sequence[Turn], tags: Sequence[str] = ()) -> StyleReport:
    remarks: list[Remark] = []
    for place, turn in enumerate(turns):
        if turn.role == "assistant" and turn.content.strip():
            prompt = turns[place - 1].content if place else ""
            remarks.extend(
                Remark(rule, message, place) for rule, message in _response_remarks(prompt, turn.content, tags)
            )
        elif turn.role == "user" and tokens(turn.content) > LONG_PROMPT:
            remarks.append(
                Remark("long-prompt", f"{tokens(turn.content)} tokens; authored prompts have 40 on average", place)
            )
    asked = sum(tokens(turn.content) for turn in turns if turn.role == "user")
    return StyleReport(tuple(remarks), asked, sum(tokens(turn.content) for turn in turns if turn.role == "assistant"))


def _response_remarks(prompt: str, response: str, tags: Sequence[str]) -> list[tuple[str, str]]:
    text = response.strip()
    opening = _SENTENCE.match(text)
    first = opening.group() if opening else text
    remarks = []
    if _STRUCTURE.match(text):
        remarks.append(
            (
                "no-acknowledgement",
                "begins with a heading, list, table or code; acknowledge the question in a sentence first",
            )
        )
    elif not _keywords(first) & _keywords(prompt):
        remarks.append(
            ("no-acknowledgement", f"the first sentence, {first.strip()[:80]!r}, takes up no word of the question")
        )
    if _FILLER.match(text):
        remarks.append(
            ("filler", f"opens with {text.split()[0]!r}; acknowledge by taking up the question, not by a set phrase")
        )
    if _SELF.search(text):
        remarks.append(("speaks-of-itself", "speaks of being a model; answer as a helpful assistant would"))
    if tokens(text) < SHORT_RESPONSE:
        remarks.append(("short", f"{tokens(text)} tokens; authored responses have 334 on average"))
    if "refusal" in tags and not _REFUSING.search(text):
        remarks.append(("refusal-without-refusing", "tagged refusal, but nothing in it declines or says why"))
    if text.count("!") > 3:
        remarks.append(("exclamations", f"{text.count('!')} exclamation marks; keep an even tone"))
    return remarks


def _keywords(text: str) -> set[str]:
    """Stems of the words that carry meaning: the first five letters are stem enough for a remark."""
    return {word.lower()[:5] for word in words(text) if word.lower() not in _COMMON and len(word) > 2}
