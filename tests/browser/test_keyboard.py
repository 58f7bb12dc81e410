"""Each page's main path by keyboard alone: no test here touches a pointer."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import Page, expect

from lima.curation.v1 import review_pb2
from lima.judging.v1 import judging_pb2, study_pb2
from services.console.sessions import Role
from services.console.tasks import code_of
from services.shared.records import RunPhase
from tests.browser.conftest import Visit
from tests.browser.scene import Scene
from tests.conftest import TOKEN
from tests.service.console import seeding
from tests.service.console.fake_openai import SLOWLY
from tests.service.console.stack import Stack


def tab_to(page: Page, selector: str, backwards: bool = False) -> None:
    """Moves the focus there, stop by stop."""
    page.wait_for_load_state()
    for _ in range(40):
        if page.locator(f"{selector}:focus").count():
            return
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
    raise AssertionError(f"{selector} is no stop of the focus")


def press(page: Page, *keys: str) -> None:
    """Keys, once the page's scripts listen."""
    page.wait_for_load_state()
    for key in keys:
        page.keyboard.press(key)


@pytest.fixture
def queue(stack: Stack, scene: Scene) -> str:
    name = f"keys-{secrets.token_hex(4)}"
    seeding.fill_queue(stack, name, "written", 12)
    return name


@pytest.fixture
def task(stack: Stack, scene: Scene) -> str:
    made = seeding.study(stack, f"keys-{secrets.token_hex(4)}", study_pb2.PROTOCOL_PAIRWISE, 4)
    return f"{stack.url}/annotate/{code_of(stack.settings.secret(), made.name)}"


def accepted(stack: Stack, queue: str) -> list[review_pb2.Candidate]:
    request = review_pb2.ListCandidatesRequest(parent=f"queues/{queue}", state="accepted")
    return list(stack.review.ListCandidates(request).candidates)


def verdicts(stack: Stack, task: str) -> list[study_pb2.Verdict]:
    studies = stack.judging.ListStudies(judging_pb2.ListStudiesRequest(page_size=200)).studies
    name = next(one.name for one in studies if task.endswith(code_of(stack.settings.secret(), one.name)))
    return list(stack.judging.ListVerdicts(judging_pb2.ListVerdictsRequest(parent=name)).verdicts)


def test_sign_in(visit: Visit, stack: Stack) -> None:
    page = visit(Role.VIEWER)
    page.context.clear_cookies()
    page.goto(stack.url + "/runs")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    tab_to(page, "#name")
    page.keyboard.type("Ann")
    press(page, "Tab")
    page.keyboard.type(TOKEN)
    press(page, "Enter")
    page.wait_for_url("**/runs")


def test_the_first_stop_skips_to_the_content(visit: Visit, stack: Stack) -> None:
    page = visit(Role.VIEWER)
    page.goto(stack.url)
    press(page, "Tab")
    expect(page.locator(":focus")).to_have_text("Skip to content")
    press(page, "Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_home(visit: Visit, stack: Stack, queue: str) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(stack.url)
    press(page, "j")
    expect(page.locator(":focus")).to_have_attribute("data-row", "")
    press(page, "j", "k")
    press(page, "Enter")
    page.wait_for_url(lambda url: "/review/" in url or "/annotate/" in url or "/author" in url)


def test_review(visit: Visit, stack: Stack, queue: str) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(f"{stack.url}/review/{queue}/next")
    first = page.url
    press(page, "1")
    page.wait_for_url(lambda url: "/c/" in url and url != first)
    second = page.url
    press(page, "2")
    expect(page.get_by_role("dialog")).to_be_visible()
    press(page, "5")
    page.wait_for_url(lambda url: "/c/" in url and url != second)
    third = page.url
    press(page, "3")
    page.wait_for_url(lambda url: "/c/" in url and url != third)
    assert [one.name.rsplit("/", 1)[1] for one in accepted(stack, queue)] == [first.rsplit("/", 1)[1]]
    press(page, "u")
    page.wait_for_url(third)


def test_review_by_editing(visit: Visit, stack: Stack, queue: str) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(f"{stack.url}/review/{queue}/next")
    first = page.url
    press(page, "e")
    expect(page.locator("textarea:focus")).to_have_count(1)
    press(page, "Control+Home")
    # Keys that decide elsewhere are letters here.
    page.keyboard.type("123eu ")
    expect(page.locator("[data-diff] ins").first).to_contain_text("123eu")
    press(page, "Control+Enter")
    page.wait_for_url(lambda url: "/c/" in url and url != first)
    (edited,) = accepted(stack, queue)
    assert edited.reviews[0].messages[0].content.startswith("123eu ")


def test_a_table_of_candidates(visit: Visit, stack: Stack, queue: str) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(f"{stack.url}/review/{queue}/table")
    rows, ticked = page.locator("[data-tickable]"), page.locator("[data-tickable]:checked")
    press(page, "a")
    expect(ticked).to_have_count(rows.count())
    press(page, "a")
    expect(ticked).to_have_count(0)
    press(page, "j", "x", "j", "j", "x")
    expect(ticked).to_have_count(2)
    assert page.locator("[data-all]").evaluate("box => box.indeterminate")
    names = [value.split(" ")[0] for value in ticked.evaluate_all("boxes => boxes.map(box => box.value)")]
    press(page, "1")
    expect(rows).to_have_count(10)
    assert sorted(one.name.rpartition("/")[2] for one in accepted(stack, queue)) == sorted(names)
    press(page, "a", "2")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    progress = stack.review.GetReviewProgress(review_pb2.GetReviewProgressRequest(parent=f"queues/{queue}"))
    assert (progress.accepted, progress.rejected) == (2, 10)


def test_annotate(visit: Visit, stack: Stack, task: str) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(task)
    item = page.locator("[name=item_id]").first.input_value()
    press(page, "2")
    expect(page.get_by_role("radio", name="B is significantly better")).to_be_checked()
    press(page, "e")
    expect(page.locator("#reasoning")).to_be_focused()
    page.keyboard.type("Because 1 and 3, surely?")
    expect(page.get_by_role("radio", name="B is significantly better")).to_be_checked()
    press(page, "Escape", "Enter")
    expect(page.get_by_text("1 done")).to_be_visible()
    (given,) = verdicts(stack, task)
    assert given.reasoning == "Because 1 and 3, surely?"
    press(page, "u")
    expect(page.get_by_text("0 done")).to_be_visible()
    assert page.locator("[name=item_id]").first.input_value() == item
    press(page, "s")
    expect(page.get_by_role("dialog")).to_be_visible()
    press(page, "1")
    expect(page.locator("[name=item_id]").first).not_to_have_value(item)


@pytest.mark.parametrize(
    ("protocol", "turns", "key", "shown", "given"),
    [
        (study_pb2.PROTOCOL_LIKERT, 1, "6", 6, "6"),
        (study_pb2.PROTOCOL_ABSOLUTE, 1, "3", 3, "excellent"),
        (study_pb2.PROTOCOL_SAFETY, 1, "2", 2, "unsafe"),
        (study_pb2.PROTOCOL_DIALOGUE_TURN, 2, "1", 3, "fail"),
        (study_pb2.PROTOCOL_DIALOGUE_PAIR, 2, "3", 3, "neither"),
    ],
    ids=["likert", "absolute", "safety", "dialogue-turn", "dialogue-pair"],
)
def test_annotate_by_every_other_protocol(
    visit: Visit, stack: Stack, scene: Scene, protocol: study_pb2.Protocol, turns: int, key: str, shown: int, given: str
) -> None:
    """One digit for each choice that is shown, Enter, and back with U."""
    made = seeding.study(stack, f"keys-{secrets.token_hex(4)}", protocol, 2, turns=turns)
    task = f"{stack.url}/annotate/{code_of(stack.settings.secret(), made.name)}"
    page = visit(Role.ANNOTATOR)
    page.goto(task)
    item = page.locator("[name=item_id]").first.input_value()
    expect(page.locator("[name=choice]")).to_have_count(shown)
    if turns > 1:
        expect(page.get_by_text("Reply 1.").first).to_be_visible()
    press(page, key)
    expect(page.locator(f"[name=choice][value='{given}']")).to_be_checked()
    press(page, "Enter")
    expect(page.get_by_text("1 done")).to_be_visible()
    (verdict,) = verdicts(stack, task)
    assert (verdict.label or {0.5: "neither"}[verdict.preference]) == given
    press(page, "u")
    expect(page.get_by_text("0 done")).to_be_visible()
    assert page.locator("[name=item_id]").first.input_value() == item
    assert verdicts(stack, task) == []


def test_long_answers_scroll_together(visit: Visit, stack: Stack, task: str) -> None:
    page = visit(Role.ANNOTATOR)
    page.set_viewport_size({"width": 1280, "height": 600})
    page.goto(task)
    press(page, "j")
    sides = page.locator("[data-together]")
    tops = [side.evaluate("side => side.scrollTop / (side.scrollHeight - side.clientHeight)") for side in sides.all()]
    page.wait_for_function(
        "[...document.querySelectorAll('[data-together]')].every(side => side.scrollTop > 0)", timeout=5000
    )
    assert len(tops) == 2


def test_author(visit: Visit, stack: Stack, scene: Scene) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(stack.url + "/author")
    press(page, "n")
    page.wait_for_url("**/author/d/*")
    tab_to(page, "textarea")
    page.keyboard.type("How do I sharpen a knife?")
    press(page, "Tab")
    page.keyboard.type("Good question. Use a whetstone, at 20 degrees.")
    expect(page.locator("[data-saved-state]")).to_have_text("Saved")
    press(page, "Control+Enter")
    page.wait_for_url("**/author")
    expect(page.get_by_text("How do I sharpen a knife?")).to_be_visible()


def test_studies(visit: Visit, stack: Stack, scene: Scene) -> None:
    seeding.study(stack, "a-first-one", study_pb2.PROTOCOL_PAIRWISE, 1)
    page = visit(Role.VIEWER)
    page.goto(stack.url + "/studies")
    press(page, "j", "Enter")
    page.wait_for_url("**/studies/*")
    expect(page.get_by_text("Nobody has judged yet.")).to_be_visible()


def test_runs(visit: Visit, stack: Stack, scene: Scene) -> None:
    seeding.run_records(stack, "keys", RunPhase.RUNNING)
    page = visit(Role.OPERATOR)
    page.goto(stack.url + "/runs/keys")
    expect(page.get_by_role("img").first).to_be_visible()
    seeding.run_records(stack, "keys", RunPhase.RUNNING, steps=60)
    expect(page.get_by_text("Step 60 of 120")).to_be_visible()
    press(page, "c")
    expect(page.get_by_role("dialog")).to_be_visible()
    press(page, "Enter")
    expect(page.get_by_text("Asked to stop")).to_be_visible()
    assert stack.store.stat("runs/keys/cancel.json") is not None


def test_chat(visit: Visit, stack: Stack, scene: Scene) -> None:
    page = visit(Role.OPERATOR)
    page.goto(stack.url + "/chat")
    tab_to(page, "#model-b", backwards=True)
    page.keyboard.type("outside-too")
    tab_to(page, "#say")
    page.keyboard.type("Hello there")
    press(page, "Enter")
    expect(page.get_by_text("You said: Hello there")).to_have_count(2)
    page.keyboard.type(f"Now {SLOWLY}")
    press(page, "Enter")
    expect(page.locator(".bubble").last).to_contain_text("One word")
    press(page, "Escape")
    expect(page.get_by_text("Stopped.")).to_have_count(2)
    # Coming back finds what was said.
    page.reload()
    expect(page.get_by_text("You said: Hello there")).to_have_count(2)
    press(page, "Escape", "g")
    page.wait_for_url("**/annotate/*")
    expect(page.get_by_role("heading", name="Answer A")).to_be_visible()


def test_a_dataset(visit: Visit, stack: Stack, scene: Scene) -> None:
    page = visit(Role.VIEWER)
    page.goto(f"{stack.url}/{scene.dataset}")
    press(page, "/")
    page.keyboard.type("boil")
    press(page, "Enter")
    page.wait_for_url("**query=boil**")
    press(page, "j", "Enter")
    page.wait_for_url("**/examples/*")
    expect(page.get_by_role("heading", name="Where it came from")).to_be_visible()


def test_the_shortcuts_are_shown_and_can_be_switched_off(visit: Visit, stack: Stack, queue: str) -> None:
    page = visit(Role.ANNOTATOR)
    page.goto(f"{stack.url}/review/{queue}/next")
    here = page.url
    press(page, "?")
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    for meaning in ("Accept", "Reject", "Skip", "Edit", "Undo"):
        expect(dialog.locator("dd", has_text=meaning).first).to_be_visible()
    tab_to(page, "#keys-on")
    press(page, "Space", "Escape", "1")
    page.wait_for_timeout(300)
    assert page.url == here
    assert accepted(stack, queue) == []
