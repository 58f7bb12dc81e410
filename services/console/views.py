"""From a page's values to its HTML: templates with the visitor's language, theme and permissions."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.console import catalogue, charts, rendering
from services.console.sessions import Permission, Session

FOLDER = Path(__file__).parent
THEMES = ("auto", "light", "dark")
LOCALE_COOKIE = "lima_locale"
THEME_COOKIE = "lima_theme"
# In the order of the loop; each with the permission that shows it.
NAVIGATION = (
    ("home", "/", None),
    ("review", "/review", Permission.TASKS),
    ("author", "/author", Permission.TASKS),
    ("datasets", "/datasets", Permission.READ),
    ("runs", "/runs", Permission.READ),
    ("chat", "/chat", Permission.OPERATE),
    ("annotate", "/annotate", Permission.TASKS),
    ("studies", "/studies", Permission.READ),
)


@cache
def asset(name: str) -> str:
    """The URL of a static file, with its content's digest so that browsers may keep it for ever."""
    digest = hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def moment(value: Timestamp | datetime | None) -> str:
    """A time as people read it: UTC, to the minute; empty for an unset one."""
    if isinstance(value, Timestamp):
        value = value.ToDatetime() if value.seconds else None
    return value.strftime("%Y-%m-%d %H:%M") if value else ""


def number(value: float | None, digits: int = 3) -> str:
    """A number in as many significant digits; an em dash for none.

    >>> number(1234567), number(0.00001), number(2.34567), number(None)
    ('1,234,567', '1e-05', '2.35', '—')
    """
    if value is None:
        return "—"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.{digits}g}"


def last_part(name: str) -> str:
    """The id at the end of a resource name."""
    return name.rsplit("/", 1)[-1]


@cache
def environment() -> Environment:
    loader = FileSystemLoader(FOLDER / "templates")
    jinja = Environment(
        loader=loader,
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.globals.update(asset=asset, charts=charts, term=catalogue.term, locales=catalogue.LOCALES, themes=THEMES)
    jinja.filters.update(
        markdown=rendering.markdown, safe_link=rendering.safe_link, moment=moment, number=number, last_part=last_part
    )
    return jinja


def locale_of(request: Request) -> str:
    return catalogue.choose_locale(request.cookies.get(LOCALE_COOKIE), request.headers.get("accept-language", ""))


def translator_of(request: Request) -> catalogue.Translator:
    return catalogue.translator(locale_of(request))


def page(request: Request, template: str, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A whole page, or a part of one where the template is a fragment."""
    session: Session = request.state.session
    theme = request.cookies.get(THEME_COOKIE, "auto")
    shown = [(key, path) for key, path, needed in NAVIGATION if session.role and (not needed or session.may(needed))]
    text = (
        environment()
        .get_template(template)
        .render(
            t=translator_of(request),
            locale=locale_of(request),
            theme=theme if theme in THEMES else "auto",
            session=session,
            operator=session.may(Permission.OPERATE),
            csrf=request.app.state.keeper.csrf_token(session),
            navigation=shown,
            path=request.url.path,
            **values,
        )
    )
    return HTMLResponse(text, status_code)
