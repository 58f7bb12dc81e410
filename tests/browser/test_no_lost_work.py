"""A dropped connection, a closed tab, a restarted server, two tabs on one item: nothing is lost."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import expect

from lima.judging.v1 import judging_pb2, study_pb2
from services.console.sessions import Role
from services.console.tasks import code_of
from tests.browser.conftest import Visit
from tests.browser.scene import Scene, come_in
from tests.service.console import seeding
from tests.service.console.stack import Stack


@pytest.fixture
def study(stack: Stack, scene: Scene) -> study_pb2.Study:
    return seeding.study(stack, f"lost-{secrets.token_hex(4)}", study_pb2.PROTOCOL_PAIRWISE, 3)


@pytest.fixture
def task(stack: Stack, study: study_pb2.Study) -> str:
    return f"{stack.url}/annotate/{code_of(stack.settings.secret(), study.name)}"


def verdicts(stack: Stack, study: study_pb2.Study) -> list[study_pb2.Verdict]:
    return list(stack.judging.ListVerdicts(judging_pb2.ListVerdictsRequest(parent=study.name)).verdicts)


def test_a_verdict_given_while_the_server_restarts(
    visit: Visit, stack: Stack, study: study_pb2.Study, task: str
) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(task)
    page.keyboard.press("1")
    stack.interrupt()
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("nothing is lost")
    stack.resume()
    expect(page.get_by_text("1 done")).to_be_visible(timeout=20_000)
    assert len(verdicts(stack, study)) == 1


def test_a_verdict_whose_tab_was_closed_before_it_was_sent(
    visit: Visit, stack: Stack, study: study_pb2.Study, task: str
) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(task)
    page.keyboard.press("2")
    page.context.set_offline(True)
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("nothing is lost")
    page.close()
    context = page.context
    context.set_offline(False)
    again = context.new_page()
    again.goto(stack.url)
    expect(again.locator("#notice")).to_contain_text("has been saved")
    assert len(verdicts(stack, study)) == 1


def test_a_lost_answer_counts_once(visit: Visit, stack: Stack, study: study_pb2.Study, task: str) -> None:
    """The server has the verdict, the browser does not know: it sends again, and nothing is counted twice."""
    page = visit(Role.ANNOTATOR)
    page.goto(task)
    dropped = []

    def lose_the_first_answer(route: object) -> None:
        if dropped:
            route.continue_()  # type: ignore[attr-defined]
            return
        dropped.append(True)
        route.fetch()  # type: ignore[attr-defined]
        route.abort("connectionreset")  # type: ignore[attr-defined]

    page.route("**/submit", lose_the_first_answer)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 done")).to_be_visible()
    assert dropped
    assert len(verdicts(stack, study)) == 1


def test_two_tabs_on_one_item(visit: Visit, stack: Stack, study: study_pb2.Study, task: str) -> None:
    first = visit(Role.ANNOTATOR)
    first.goto(task)
    second = first.context.new_page()
    second.goto(task)
    first.keyboard.press("1")
    first.keyboard.press("Enter")
    expect(first.get_by_text("1 done")).to_be_visible()
    expect(second.locator("#notice")).to_contain_text("another tab")
    second.keyboard.press("2")
    second.keyboard.press("Enter")
    expect(second.locator("#notice")).to_contain_text("Somebody changed this")
    assert len(verdicts(stack, study)) == 1


def test_an_edit_survives_its_tab(visit: Visit, stack: Stack, scene: Scene) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(stack.url + "/review/to-review/next")
    here = page.url
    page.keyboard.press("e")
    page.locator("textarea").first.fill("Half an edit")
    page.close()
    again = page.context.new_page()
    again.goto(here)
    expect(again.locator("textarea").first).to_have_value("Half an edit")
    expect(again.locator("#edit")).to_have_attribute("open", "")


def test_a_draft_survives_its_tab(visit: Visit, stack: Stack, scene: Scene) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(stack.url + "/author")
    page.keyboard.press("n")
    page.wait_for_url("**/author/d/*")
    page.locator("textarea").first.fill("Written and left at once")
    # No pause for the save: leaving the page sends it.
    # The next page may overtake what was sent, so it is asked for until it has it.
    written = page.get_by_text("Written and left at once")
    for _ in range(50):
        page.goto(stack.url + "/author")
        if written.count():
            break
        page.wait_for_timeout(200)
    expect(written).to_be_visible()


def test_a_draft_written_without_a_connection_survives_its_tab(visit: Visit, stack: Stack, scene: Scene) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(stack.url + "/author")
    page.keyboard.press("n")
    page.wait_for_url("**/author/d/*")
    page.wait_for_load_state()
    here = page.url
    page.context.set_offline(True)
    page.locator("textarea").first.fill("Written on a train")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    page.locator("textarea").nth(2).fill("And a third turn")
    expect(page.locator("[data-saved-state]")).to_have_text("Not saved yet")
    page.close()
    context = page.context
    context.set_offline(False)
    again = context.new_page()
    again.goto(here)
    expect(again.locator("#notice")).to_contain_text("Your unfinished text")
    expect(again.locator("textarea").nth(2)).to_have_value("And a third turn")
    expect(again.locator("[data-saved-state]")).to_have_text("Saved")
    again.reload()
    expect(again.locator("textarea").first).to_have_value("Written on a train")
    expect(again.locator("#notice")).to_be_empty()


def test_what_one_person_left_is_not_sent_by_the_next(
    visit: Visit, stack: Stack, study: study_pb2.Study, task: str
) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(task)
    cookies = page.context.cookies()
    page.keyboard.press("1")
    page.context.set_offline(True)
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("nothing is lost")
    page.close()
    context = page.context
    context.set_offline(False)
    context.clear_cookies()
    other = come_in(context, stack, "somebody-else", Role.ANNOTATOR)
    other.wait_for_load_state("networkidle")
    expect(other.locator("#notice")).to_be_empty()
    assert verdicts(stack, study) == []
    context.clear_cookies()
    context.add_cookies(cookies)  # type: ignore[arg-type]
    other.goto(stack.url)
    expect(other.locator("#notice")).to_contain_text("has been saved")
    assert [one.judge for one in verdicts(stack, study)] == ["some-annotator"]


def test_signed_out_in_the_middle(visit: Visit, stack: Stack, study: study_pb2.Study, task: str) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(task)
    cookies = page.context.cookies()
    page.keyboard.press("1")
    page.context.clear_cookies()
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).not_to_be_empty()
    assert verdicts(stack, study) == []
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    page.goto(stack.url)
    expect(page.locator("#notice")).to_contain_text("has been saved")
    assert len(verdicts(stack, study)) == 1
