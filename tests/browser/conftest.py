"""A real headless Chromium before a console over the real services."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect, sync_playwright

from services.console.sessions import Role
from services.shared.records import RunPhase
from services.shared.settings import Settings
from tests.browser.scene import ARGUMENTS, CHROMIUM_NAMES, Scene, come_in
from tests.conftest import TOKEN
from tests.fixtures.seaweedfs import S3Server
from tests.service.console import seeding
from tests.service.console.stack import Stack, running_stack

# Generous: a busy machine is no fault of the pages.
EXPECT_MILLISECONDS = 20_000
OPEN_MILLISECONDS = 60_000
Visit = Callable[[Role], Page]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Ends with this package: while Playwright is open its event loop runs in this thread; no other test gets one."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.skip(f"no browser here: none of {', '.join(CHROMIUM_NAMES)} is installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        expect.set_options(timeout=EXPECT_MILLISECONDS)
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def stack(chromium: Browser, tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[Stack]:
    settings = Settings(
        state_dir=tmp_path_factory.mktemp("console"),
        object_store_endpoint=s3_server.endpoint,
        object_store_access_key=s3_server.access_key,
        object_store_secret_key=s3_server.secret_key,
        object_store_bucket=f"test-{secrets.token_hex(6)}",
        token=TOKEN,
        shutdown_notice_seconds=0,
        log_format="json",
    )
    with running_stack(settings) as running:
        yield running


@pytest.fixture(scope="package")
def scene(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Something at every stage of the loop."""
    seeding.authored_corpus(stack, "written", 12, tmp_path_factory.mktemp("corpus") / "written")
    seeding.fill_queue(stack, "to-review", "written", 12)
    dataset = seeding.build_dataset(stack, "built", "written", 12)
    seeding.run_records(stack, "run-at-work", RunPhase.RUNNING)
    seeding.outside_model(stack, "outside")
    seeding.outside_model(stack, "outside-too")
    return Scene(dataset.name)


@pytest.fixture(scope="package")
def cookies(chromium: Browser, stack: Stack) -> Callable[[Role], StorageState]:
    """The session of somebody with a role, who came in once for all tests."""

    @cache
    def of(role: Role) -> StorageState:
        with chromium.new_context() as context:
            come_in(context, stack, f"some-{role}", role)
            return context.storage_state()

    return of


@pytest.fixture
def visit(chromium: Browser, stack: Stack, cookies: Callable[[Role], StorageState]) -> Iterator[Visit]:
    """Opens a window for somebody with a role; afterwards no page may have had an error or broken the policy."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_window(role: Role) -> Page:
        context = chromium.new_context(
            viewport={"width": 1280, "height": 900}, locale="en-US", storage_state=cookies(role)
        )
        context.set_default_timeout(OPEN_MILLISECONDS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert errors == []
