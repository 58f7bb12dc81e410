"""Finds what identifies a person: e-mail, telephone, card and network addresses.

Patterns with checks (Luhn for cards, ranges for addresses) keep false alarms rare; they do not find names. Numbers in
code and mathematics are the usual false alarm, so card and telephone numbers must be written as people write them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_EXAMPLE_HOSTS = (
    "example.com",
    "example.org",
    "example.net",
    "example.edu",
    ".example",
    ".invalid",
    ".test",
    "domain.com",
)


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool]

    def masked(self, match: re.Match[str]) -> str:
        return f"[{self.name}]" if self.holds(match.group()) else match.group()


def _is_personal_mail(text: str) -> bool:
    return not text.lower().endswith(_EXAMPLE_HOSTS)


def _is_card(text: str) -> bool:
    """Luhn's check digit."""
    digits = [int(letter) for letter in text if letter.isdigit()]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _is_public_address(text: str) -> bool:
    parts = [int(part) for part in text.split(".")]
    if any(part > 255 for part in parts):
        return False
    private = (
        parts[0] in (0, 10, 127) or parts[:2] in ([192, 168], [169, 254]) or (parts[0] == 172 and 16 <= parts[1] < 32)
    )
    documentation = parts[:3] in ([192, 0, 2], [198, 51, 100], [203, 0, 113])
    return not private and not documentation and parts[0] < 224 and parts[1:] != [0, 0, 0]


_KINDS = (
    _Kind("email", re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}"), _is_personal_mail),
    _Kind("card", re.compile(r"(?<![\w.-])\d{4}(?:[ -]?\d{4}){2}[ -]?\d{1,7}(?![\w.-])"), _is_card),
    _Kind(
        "phone",
        re.compile(
            r"(?<![\w.])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}"
            r"|\(\d{3}\) ?\d{3}-\d{4}|\d{3}-\d{3}-\d{4})(?![\w-])"
        ),
        lambda text: 9 <= sum(letter.isdigit() for letter in text) <= 15 and "555" not in text,
    ),
    _Kind("address", re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"), _is_public_address),
)


def find_pii(text: str) -> list[str]:
    """The kinds of personal data that a text holds."""
    return [kind.name for kind in _KINDS if any(kind.holds(match.group()) for match in kind.pattern.finditer(text))]


def mask_pii(text: str) -> str:
    """The text with each finding replaced by its kind in brackets."""
    for kind in _KINDS:
        text = kind.pattern.sub(kind.masked, text)
    return text
