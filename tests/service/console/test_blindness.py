"""Nothing that the server sends an annotator names a system: not a page, a part, a header, a redirect or an error."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from lima.judging.v1 import judging_pb2, study_pb2
from services.console.pages import PAGES
from services.console.sessions import Role
from services.console.tasks import code_of
from tests.service.console.seeding import HIDDEN_STUDY, HIDDEN_SYSTEMS, study
from tests.service.console.stack import Stack
from tests.service.console.test_annotation import PROTOCOLS, form
from tests.service.console.visitor import DATA, PAGE, Visitor

PARTS_OF_NAMES = (part for name in HIDDEN_SYSTEMS for part in name.split("-") if len(part) > 3)
HIDDEN = (*HIDDEN_SYSTEMS, HIDDEN_STUDY, *PARTS_OF_NAMES)


@pytest.fixture
def annotator(stack: Stack) -> Iterator[Visitor]:
    """Whatever they see during the test is searched after it."""
    visitor = Visitor(stack).come_in(stack, f"blind-{secrets.token_hex(3)}", Role.ANNOTATOR)
    yield visitor
    for answer in visitor.seen:
        asked = str(answer.request.url.path)
        said = (answer.text + str(answer.headers)).lower()
        # The study's name in a path that the annotator made up is the annotator's own, where it is given back.
        for own in (asked, asked.replace("/", "%2f")):
            said = said.replace(own, "")
        assert not [name for name in HIDDEN if name in said], (answer.request.url, said[:2000])


def hidden_study(
    stack: Stack, protocol: study_pb2.Protocol = study_pb2.PROTOCOL_PAIRWISE, turns: int = 1
) -> tuple[str, str]:
    """A study's resource name and the path of its task."""
    made = study(stack, f"{HIDDEN_STUDY}-{secrets.token_hex(3)}", protocol, 4, turns=turns)
    return made.name, f"/annotate/{code_of(stack.settings.secret(), made.name)}"


@pytest.mark.parametrize(("protocol", "choices"), PROTOCOLS.items())
def test_judging_skipping_undoing_and_mistaking(
    stack: Stack, annotator: Visitor, protocol: study_pb2.Protocol, choices: tuple[str, ...]
) -> None:
    turns = 3 if protocol in (study_pb2.PROTOCOL_DIALOGUE_TURN, study_pb2.PROTOCOL_DIALOGUE_PAIR) else 1
    _, task = hidden_study(stack, protocol, turns)
    for path in ("/", "/parts/home", "/annotate"):
        annotator.get(path)
    annotator.post(f"{task}/submit", {**form(annotator.get(task).text), "choice": choices[0]}, DATA)
    last = form(annotator.get(task).text)
    annotator.post(f"{task}/skip", {**last, "reason": "broken"})
    for headers in (DATA, PAGE):
        annotator.post(f"{task}/submit", {**last, "choice": choices[-1]}, headers)
        annotator.post(f"{task}/submit", {**last, "item_id": "none", "choice": "?"}, headers)
    annotator.post(f"{task}/undo", {}, DATA)
    assert annotator.get(task).status_code == 200


def test_to_the_end_of_a_task(stack: Stack, annotator: Visitor) -> None:
    _, task = hidden_study(stack)
    while item := re.search('name="item_id"', page := annotator.get(task).text):
        assert item
        annotator.post(f"{task}/submit", {**form(page), "choice": "A"})
    assert "You judged 4 items" in page


def addresses() -> list[tuple[str, bool]]:
    """Path pattern and whether it is read, of every route but those that end the session."""
    routes = [route for router in PAGES for route in router.routes if isinstance(route, APIRoute)]
    ending = ("/sign-out", "/invitation", "/preferences")
    return [(route.path, "GET" in (route.methods or ())) for route in routes if route.path not in ending]


def filled(pattern: str, names: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)(?::path)?\}", lambda found: names.get(found[1], "guessed"), pattern)


def test_every_address_of_the_console(stack: Stack, annotator: Visitor) -> None:
    """Each route there is, with the study's name or code where one may stand, as a page and as data."""
    name, task = hidden_study(stack)
    item = stack.annotation.AssignItem(judging_pb2.AssignItemRequest(parent=name, annotator="somebody"))
    fields = {"item_id": item.name.rpartition("/")[2], "lease": item.lease, "choice": "A", "reason": "x"}
    known = {"study": name.rpartition("/")[2], "code": task.rpartition("/")[2]}
    assert len(addresses()) > 40
    for pattern, is_read in addresses():
        for path in {filled(pattern, known), filled(pattern, {})}:
            for headers in (PAGE, DATA):
                if is_read:
                    annotator.get(path, headers)
                else:
                    annotator.post(path, fields, headers)
