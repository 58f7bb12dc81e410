"""Every page: no violation of the rules that axe knows, no sideways scrolling, in light, dark and narrow."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from lima.judging.v1 import study_pb2
from services.console.sessions import Role
from services.console.tasks import code_of
from tests.browser.conftest import Visit
from tests.browser.scene import Scene
from tests.service.console import seeding
from tests.service.console.stack import Stack

PAGES = (
    "/", "/review", "/review/to-review/next", "/review/to-review/table", "/review/to-review/funnel", "/author",
    "/author/d/*", "/datasets", "/{dataset}", "/{dataset}/examples/*", "/runs", "/runs/run-at-work", "/chat",
    "/annotate", "/annotate/*", "/studies", "/studies/a-study", "/invite", "/nothing", "/sign-in",
    "/invitation?code=none", "/author/d/*#delete", "/review/to-review/next#reject", "/annotate/*#skip", "/#shortcuts",
    "/runs/run-at-work#cancel",
)  # fmt: skip
# Every rule in each of them; zooming changes what the narrow page changes, and less.
TESTED = ("light", "dark", "narrow")
WAYS = {"light": (1280, 900), "dark": (1280, 900), "narrow": (390, 844), "zoomed": (640, 450)}


@pytest.fixture(scope="module")
def addresses(stack: Stack, scene: Scene) -> dict[str, str]:
    """Where the pages with a * lead."""
    made = seeding.study(stack, "a-study", study_pb2.PROTOCOL_PAIRWISE, 3)
    return {"/annotate/*": f"/annotate/{code_of(stack.settings.secret(), made.name)}"}


def open_page(page: Page, stack: Stack, scene: Scene, addresses: dict[str, str], path: str) -> None:
    """A path may name a dialog of its page after a #, which is opened."""
    path, _, dialog = path.partition("#")
    if path == "/author/d/*":
        page.goto(stack.url + "/author")
        page.keyboard.press("n")
        page.wait_for_url("**/author/d/*")
    elif path.endswith("/examples/*"):
        page.goto(f"{stack.url}/{scene.dataset}")
        page.locator("a[data-row]").first.click()
    else:
        page.goto(stack.url + addresses.get(path, path.replace("{dataset}", scene.dataset)))
    page.wait_for_load_state()
    if dialog:
        page.locator(f"[data-open={dialog}]").first.click()
        page.locator(f"dialog#{dialog}[open]").wait_for()


@pytest.mark.parametrize("path", PAGES)
def test_no_violation(visit: Visit, stack: Stack, scene: Scene, addresses: dict[str, str], path: str) -> None:
    page = visit(Role.OPERATOR)
    open_page(page, stack, scene, addresses, path)
    for way, (width, height) in WAYS.items():
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if way == "dark" else "light", reduced_motion="reduce")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, way
        if way in TESTED:
            found = Axe().run(page)
            assert found.violations_count == 0, f"{way}: {found.generate_report()}"
    assert page.evaluate("window.hacked") is None


def test_korean_is_said_to_be_korean(visit: Visit, stack: Stack, scene: Scene) -> None:
    page = visit(Role.OPERATOR)
    page.goto(stack.url)
    page.locator("#locale").select_option("ko")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_load_state()
    assert page.locator("html").get_attribute("lang") == "ko"
    assert Axe().run(page).violations_count == 0


def test_focus_is_never_hidden(visit: Visit, stack: Stack, scene: Scene) -> None:
    """Tabbing through a long page at 200% zoom: what has the focus is in view."""
    page = visit(Role.OPERATOR)
    page.set_viewport_size({"width": 640, "height": 450})
    page.goto(stack.url + "/review/to-review/next")
    for _ in range(25):
        page.keyboard.press("Tab")
        hidden = page.evaluate(
            """() => {
                const one = document.activeElement;
                if (one === document.body) return null;
                const box = one.getBoundingClientRect();
                const x = Math.min(Math.max(box.x + box.width / 2, 0), innerWidth - 1);
                const y = Math.min(Math.max(box.y + Math.min(box.height, 40) / 2, 0), innerHeight - 1);
                const top = document.elementFromPoint(x, y);
                return one.contains(top) || top?.contains(one) ? null : one.outerHTML.slice(0, 200);
            }"""
        )
        assert hidden is None
