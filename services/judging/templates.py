"""From an item to what an LLM judge is asked, with the answers fenced off as data."""

from __future__ import annotations

from string import Template

from services.judging.protocols import Rules
from services.shared.digest import digest_json

# An answer longer than this is cut for the judge, and says so; readers of the report see all of it.
MAX_ANSWER_CHARACTERS = 24_000
_KNOWN = {"prompt", "answer_a", "answer_b", "fence", "form", "choices"}


def check_template(template: str, sides: int) -> None:
    """Raise ValueError unless the template has the placeholders it needs and no others."""
    parsed = Template(template)
    if not parsed.is_valid():
        raise ValueError("template holds a $ that begins no placeholder; write $$ for a dollar sign")
    found = set(parsed.get_identifiers())
    needed = {"prompt", "answer_a"} | ({"answer_b"} if sides == 2 else set())
    if missing := sorted(needed - found):
        raise ValueError(f"template must hold {', '.join('$' + name for name in missing)}")
    if unknown := sorted(found - _KNOWN):
        raise ValueError(
            f"template may hold {', '.join('$' + name for name in sorted(_KNOWN))}, "
            f"not {', '.join('$' + name for name in unknown)}"
        )


def render(template: str, rules: Rules, prompt: str, answers: tuple[str, ...], form: str) -> str:
    """Fill a template in one pass, so that placeholders inside an answer stay text.

    The fence is drawn from the content: an author of an answer cannot know it in advance, and equal
    content gives an equal question, which the cache relies on.
    """
    shown = [_bounded(answer) for answer in answers]
    return Template(template).substitute(
        prompt=_bounded(prompt),
        answer_a=shown[0],
        answer_b=shown[1] if len(shown) > 1 else "",
        fence=digest_json([prompt, *answers])[:12],
        form=form,
        choices=", ".join(rules.choices),
    )


def reply_form(rules: Rules, *, structured: bool, logprobs: bool) -> str:
    """How the judge is asked to answer."""
    choices = ", ".join(rules.choices[:-1]) + " or " + rules.choices[-1]
    if logprobs:
        letters = verdict_tokens(rules)
        meaning = ", ".join(
            letter if letter == choice else f"{letter} for {choice}"
            for letter, choice in zip(letters, rules.choices, strict=True)
        )
        return f"Answer with one character and nothing else: {meaning}."
    if structured:
        return 'Reply with a JSON object {"reasoning": "...", "verdict": "..."}; the verdict is ' + choices + "."
    return (
        "First explain your reasoning in a few sentences. Then write a last line of exactly this form, with "
        f"{choices}:\nVerdict: {rules.choices[0]}"
    )


def verdict_tokens(rules: Rules) -> tuple[str, ...]:
    """One character per choice: equally long texts, whose likelihoods can be compared as they are."""
    if all(len(choice) == 1 for choice in rules.choices):
        return rules.choices
    return tuple("ABCDEF"[: len(rules.choices)])


def _bounded(text: str) -> str:
    if not text.strip():
        return "(this answer is empty)"
    if len(text) <= MAX_ANSWER_CHARACTERS:
        return text
    return f"{text[:MAX_ANSWER_CHARACTERS]}\n(cut here: {len(text) - MAX_ANSWER_CHARACTERS} more characters)"
