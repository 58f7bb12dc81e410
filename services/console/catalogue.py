"""Every word of the interface, in English and Korean, by key."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

DEFAULT_LOCALE = "en"
LOCALES = {"en": "English", "ko": "한국어"}
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


def choose_locale(cookie: str | None, accept_language: str) -> str:
    """The visitor's own choice, else the first language of the browser's list that the catalogue has."""
    if cookie in LOCALES:
        return cookie
    for entry in accept_language[:200].split(","):
        language = entry.split(";")[0].strip().lower().split("-")[0]
        if language in LOCALES:
            return language
    return DEFAULT_LOCALE
