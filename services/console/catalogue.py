"""Every word of the interface, in English and Korean, by key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

DEFAULT_LOCALE = "en"
LOCALES = {"en": "English", "ko": "한국어"}
TERM = re.compile(r"[^a-z0-9]+")
FOLDER = Path(__file__).parent / "messages"

Translator = Callable[..., str]


@cache
def catalogue(locale: str) -> dict[str, str]:
    """All messages of one locale: key to text with `{name}` placeholders."""
    messages: dict[str, str] = json.loads((FOLDER / f"{locale}.json").read_text(encoding="utf-8"))
    return messages


@cache
def translator(locale: str) -> Translator:
    """A function from a key and its values to text. An unknown key raises KeyError: it is a mistake in a page."""
    messages = catalogue(locale)

    def translate(key: str, **values: object) -> str:
        text = messages[key]
        return text.format_map(values) if values else text

    return translate


def term(translate: Translator, group: str, name: str) -> str:
    """A service's own word, such as a filter's name, where the catalogue has one for it; else as it came.

    >>> term(translator("ko"), "filter", "answer length"), term(translator("ko"), "filter", "new one")
    ('답변 길이', 'new one')
    """
    key = f"{group}.{TERM.sub('-', name.lower()).strip('-')}"
    return translate(key) if key in catalogue(DEFAULT_LOCALE) else name


def choose_locale(cookie: str | None, accept_language: str) -> str:
    """The visitor's own choice, else the first language of the browser's list that the catalogue has."""
    if cookie in LOCALES:
        return cookie
    for entry in accept_language[:200].split(","):
        language = entry.split(";")[0].strip().lower().split("-")[0]
        if language in LOCALES:
            return language
    return DEFAULT_LOCALE
