"""Draws the pictures of docs/screenshots: each page in light, dark and narrow.

python -m tests.browser.screenshots [FOLDER]
"""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from lima.judging.v1 import study_pb2
from services.console.sessions import Role
from services.console.tasks import code_of
from services.shared.records import RunPhase
from services.shared.settings import Settings
from tests.browser.scene import ARGUMENTS, CHROMIUM_NAMES, come_in
from tests.conftest import TOKEN
from tests.fixtures.seaweedfs import running_seaweedfs
from tests.service.console import seeding
from tests.service.console.stack import Stack, running_stack

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
WAYS = {"light": (1280, 900), "dark": (1280, 900), "narrow": (390, 844)}
# What a part of a page needs to arrive and be drawn.
SETTLE_MILLISECONDS = 700


def fill(stack: Stack, folder: Path) -> dict[str, str]:
    """Names of pictures with the paths of their pages."""
    seeding.authored_corpus(stack, "written", 12, folder / "written")
    seeding.fill_queue(stack, "quickstart", "written", 12)
    dataset = seeding.build_dataset(stack, "quickstart", "written", 12)
    seeding.run_records(stack, "lima-135m", RunPhase.RUNNING)
    seeding.run_records(stack, "alpaca-135m", RunPhase.SUCCEEDED)
    seeding.outside_model(stack, "smollm2-135m")
    made = seeding.study(stack, "lima-against-alpaca", study_pb2.PROTOCOL_PAIRWISE, 8)
    return {
        "home": "/",
        "review": "/review/quickstart/next",
        "review-table": "/review/quickstart/table",
        "author": "/author",
        "annotate": f"/annotate/{code_of(stack.settings.secret(), made.name)}",
        "studies": "/studies",
        "study": f"/{made.name}",
        "runs": "/runs",
        "run": "/runs/lima-135m",
        "chat": "/chat",
        "datasets": "/datasets",
        "dataset": f"/{dataset.name}",
        "sign-in": "/sign-in",
    }


def draw(page: Page, stack: Stack, pages: dict[str, str], folder: Path) -> None:
    for name, path in pages.items():
        for way, (width, height) in WAYS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme="dark" if way == "dark" else "light", reduced_motion="reduce")
            page.goto(stack.url + path)
            if name == "chat":
                page.locator("#say").fill("What makes a good example?")
                page.keyboard.press("Enter")
            page.wait_for_timeout(SETTLE_MILLISECONDS)
            page.screenshot(path=folder / f"{name}-{way}.png")


def browser_path() -> str:
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        sys.exit(f"none of {', '.join(CHROMIUM_NAMES)} is installed: apt-get install chromium")
    return found


def draw_all(browser: Browser, stack: Stack, pages: dict[str, str], folder: Path) -> None:
    context = browser.new_context(locale="en-US")
    draw(come_in(context, stack, "mina", Role.OPERATOR), stack, pages, folder)
    context.add_cookies([{"name": "lima_locale", "value": "ko", "url": stack.url}])
    draw(context.pages[0], stack, {"review-korean": pages["review"], "annotate-korean": pages["annotate"]}, folder)


def main(folder: Path) -> None:
    path = browser_path()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, running_seaweedfs() as s3, sync_playwright() as playwright:
        settings = Settings(
            state_dir=Path(place),
            object_store_endpoint=s3.endpoint,
            object_store_access_key=s3.access_key,
            object_store_secret_key=s3.secret_key,
            object_store_bucket=f"test-{secrets.token_hex(6)}",
            token=TOKEN,
            log_level="error",
        )
        with running_stack(settings) as stack:
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            draw_all(browser, stack, fill(stack, Path(place)), folder)
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
