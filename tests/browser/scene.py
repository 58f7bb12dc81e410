"""What browser tests look at, and how they come in."""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import BrowserContext, Page

from services.console.sessions import Role
from tests.service.console.stack import Stack
from tests.service.console.visitor import invitation_path

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox: tests run as root in containers. The others keep it from calling home.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Scene:
    """Names of what the fixtures have made."""

    # "datasets/<name>/<digest>".
    dataset: str


def come_in(context: BrowserContext, stack: Stack, name: str, role: Role) -> Page:
    """A page of somebody who has just used an invitation, by keyboard: its button has the focus."""
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(stack.url + invitation_path(stack, name, role))
    page.keyboard.press("Enter")
    page.wait_for_url(stack.url + "/")
    return page
