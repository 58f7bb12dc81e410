"""The annotation pages over real studies: blind, leased, undoable, and safe against lost answers."""

from __future__ import annotations

import html
import re
import secrets
import time

import pytest

from lima.judging.v1 import judging_pb2, study_pb2
from services.console.sessions import Role
from services.console.tasks import code_of
from tests.service.console.seeding import HIDDEN_SYSTEMS, response_set, study
from tests.service.console.stack import Stack
from tests.service.console.visitor import DATA, Visitor, field

PROTOCOLS = {
    study_pb2.PROTOCOL_PAIRWISE: ("A", "B", "neither"),
    study_pb2.PROTOCOL_LIKERT: ("1", "2", "3", "4", "5", "6"),
    study_pb2.PROTOCOL_ABSOLUTE: ("fail", "pass", "excellent"),
    study_pb2.PROTOCOL_SAFETY: ("safe", "unsafe"),
    study_pb2.PROTOCOL_DIALOGUE_TURN: ("fail", "pass", "excellent"),
    study_pb2.PROTOCOL_DIALOGUE_PAIR: ("A", "B", "neither"),
}
ITEMS = 3


@pytest.fixture
def annotator(stack: Stack) -> Visitor:
    return Visitor(stack).come_in(stack, "mina", Role.ANNOTATOR)


@pytest.fixture
def task(stack: Stack) -> str:
    """The path of a fresh pairwise task."""
    made = study(stack, f"pairs-{secrets.token_hex(4)}", study_pb2.PROTOCOL_PAIRWISE, ITEMS)
    return f"/annotate/{code_of(stack.settings.secret(), made.name)}"


def form(page: str) -> dict[str, str]:
    return {"item_id": field(page, "item_id"), "lease": html.unescape(field(page, "lease"))}


def verdicts(stack: Stack, task: str) -> list[study_pb2.Verdict]:
    listed = stack.judging.ListStudies(judging_pb2.ListStudiesRequest(page_size=200)).studies
    name = next(one.name for one in listed if task.endswith(code_of(stack.settings.secret(), one.name)))
    return list(stack.judging.ListVerdicts(judging_pb2.ListVerdictsRequest(parent=name, page_size=100)).verdicts)


@pytest.mark.parametrize(("protocol", "choices"), PROTOCOLS.items())
def test_every_protocol_can_be_judged(
    stack: Stack, annotator: Visitor, protocol: study_pb2.Protocol, choices: tuple[str, ...]
) -> None:
    turns = 3 if protocol in (study_pb2.PROTOCOL_DIALOGUE_TURN, study_pb2.PROTOCOL_DIALOGUE_PAIR) else 1
    made = study(stack, f"protocol-{protocol}-{secrets.token_hex(4)}", protocol, 2, turns=turns)
    path = f"/annotate/{code_of(stack.settings.secret(), made.name)}"
    page = annotator.get(path).text
    assert re.findall(r'name="choice" value="([^"]+)"', page) == list(choices)
    assert "<script>window" not in page
    answer = annotator.post(f"{path}/submit", {**form(page), "choice": choices[-1], "seconds": "4"}, DATA)
    assert answer.json() == {"next": path}
    assert "1 done" in annotator.get(path).text


def test_a_verdict_arrives_with_its_reason_and_time(stack: Stack, annotator: Visitor, task: str) -> None:
    page = annotator.get(task).text
    fields = {**form(page), "choice": "neither", "seconds": "12.5", "reasoning": "Both help.\r\nEqually."}
    assert annotator.post(f"{task}/submit", fields).status_code == 303
    (given,) = verdicts(stack, task)
    assert (given.judge, given.judge_kind, given.choice) == ("mina", "human", study_pb2.CHOICE_TIE)
    assert given.reasoning == "Both help.\nEqually."
    assert given.seconds == 12.5


def test_opening_the_task_again_shows_the_same_item(annotator: Visitor, task: str) -> None:
    """A closed tab, a second tab, a reload: the lease is still one's own."""
    assert form(annotator.get(task).text) == form(annotator.get(task).text)


def test_a_submission_whose_answer_was_lost_may_come_again(stack: Stack, annotator: Visitor, task: str) -> None:
    fields = {**form(annotator.get(task).text), "choice": "A", "seconds": "3"}
    assert annotator.post(f"{task}/submit", fields, DATA).status_code == 200
    assert annotator.post(f"{task}/submit", fields, DATA).status_code == 200
    assert len(verdicts(stack, task)) == 1


def test_another_verdict_from_a_second_tab_is_refused(stack: Stack, annotator: Visitor, task: str) -> None:
    fields = form(annotator.get(task).text)
    assert annotator.post(f"{task}/submit", {**fields, "choice": "A"}, DATA).status_code == 200
    assert annotator.post(f"{task}/submit", {**fields, "choice": "B"}, DATA).status_code == 409
    assert len(verdicts(stack, task)) == 1


def test_nobody_submits_for_somebody_elses_lease(stack: Stack, annotator: Visitor, task: str) -> None:
    fields = form(annotator.get(task).text)
    other = Visitor(stack).come_in(stack, "jun", Role.ANNOTATOR)
    assert other.post(f"{task}/submit", {**fields, "choice": "A"}, DATA).status_code == 409
    assert verdicts(stack, task) == []
    assert form(other.get(task).text)["item_id"] != fields["item_id"]


def test_skip_and_undo(stack: Stack, annotator: Visitor, task: str) -> None:
    first = form(annotator.get(task).text)
    answer = annotator.post(f"{task}/skip", {**first, "reason": "cannot-judge"}, DATA)
    assert answer.status_code == 200
    assert annotator.post(f"{task}/skip", {**first, "reason": "cannot-judge"}, DATA).status_code == 200
    second = form(annotator.get(task).text)
    assert second["item_id"] != first["item_id"]
    annotator.post(f"{task}/submit", {**second, "choice": "B"})
    assert annotator.post(f"{task}/undo", {}, DATA).status_code == 200
    assert form(annotator.get(task).text)["item_id"] == second["item_id"]
    assert [given.state for given in verdicts(stack, task)] == ["skipped"]


def test_the_end_of_a_task(annotator: Visitor, task: str) -> None:
    for _ in range(ITEMS):
        annotator.post(f"{task}/submit", {**form(annotator.get(task).text), "choice": "A"})
    end = annotator.get(task)
    assert end.status_code == 200
    assert f"You judged {ITEMS} items" in end.text


@pytest.mark.parametrize(
    "fields",
    [
        {"choice": "C"},
        {"choice": ""},
        {},
        {"choice": "A", "lease": "forged"},
        {"choice": "A", "item_id": "../../x"},
        {"choice": "A", "seconds": "long"},
        {"choice": "A", "reasoning": "x" * 10_001},
    ],
)
def test_bad_input_is_told_and_nothing_is_counted(
    stack: Stack, annotator: Visitor, task: str, fields: dict[str, str]
) -> None:
    answer = annotator.post(f"{task}/submit", {**form(annotator.get(task).text), **fields}, DATA)
    assert answer.status_code in (400, 404, 409)
    assert answer.json()["error"]
    assert verdicts(stack, task) == []


def test_an_unknown_task(annotator: Visitor) -> None:
    assert annotator.get("/annotate/aaaaaaaaaa").status_code == 404


def test_which_side_a_system_stands_on_does_not_follow_a_rule(stack: Stack) -> None:
    made = study(stack, f"sides-{secrets.token_hex(4)}", study_pb2.PROTOCOL_PAIRWISE, 12)
    annotator = Visitor(stack).come_in(stack, "sides", Role.ANNOTATOR)
    task = f"/annotate/{code_of(stack.settings.secret(), made.name)}"
    longer_first = set()
    for _ in range(12):
        page = annotator.get(task).text
        longer_first.add(page.index("many words") < page.index("few words"))
        annotator.post(f"{task}/submit", {**form(page), "choice": "neither"})
    assert longer_first == {True, False}


def test_agreement_and_gold_as_they_form(stack: Stack) -> None:
    """Two people judge the same items; one of them knows the gold item, the other does not."""
    name = f"agreed-{secrets.token_hex(4)}"
    systems = [
        study_pb2.System(name=system, responses_uri=response_set(stack, f"{name}-{system}", system, 8))
        for system in HIDDEN_SYSTEMS
    ]
    people = study_pb2.HumanSpec(overlap=2, gold={"p0": "tie"}, groups={"mina": "author", "jun": "author"})
    spec = study_pb2.StudySpec(name=name, protocol=study_pb2.PROTOCOL_PAIRWISE, systems=systems, human=people)
    made = stack.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=spec))
    task = f"/annotate/{code_of(stack.settings.secret(), made.name)}"
    for person, choice in (("mina", "neither"), ("jun", "A")):
        visitor = Visitor(stack).come_in(stack, person, Role.ANNOTATOR)
        while "item_id" in (page := visitor.get(task).text):
            visitor.post(f"{task}/submit", {**form(page), "choice": choice, "seconds": "4"})
    viewer = Visitor(stack).come_in(stack, "vera", Role.VIEWER)
    progress = viewer.get(f"/parts/studies/{name}/progress").text
    assert re.findall(r"<td>(jun|mina)</td>.*?>(\d+%)<", progress) == [("jun", "0%"), ("mina", "100%")]
    results = viewer.get(f"/parts/studies/{name}/results").text
    for heading in ("Tie-discounted agreement", "Kappa", "Fleiss kappa", "Krippendorff alpha", "Gold accuracy"):
        assert heading in results
    assert re.search(r"<td>author[^<]*</td>", results), "people are compared by their groups"


def test_a_report_comes_into_the_page_when_it_is_written(stack: Stack) -> None:
    made = study(stack, f"told-{secrets.token_hex(4)}", study_pb2.PROTOCOL_PAIRWISE, ITEMS)
    operator = Visitor(stack).come_in(stack, "op", Role.OPERATOR)
    task = f"/annotate/{code_of(stack.settings.secret(), made.name)}"
    operator.post(f"{task}/submit", {**form(operator.get(task).text), "choice": "A"})
    path = f"/{made.name}"
    assert "No report has been written yet." in operator.get(path).text
    part = f"/parts{path}/report"
    assert operator.get(f"{part}?seen=").status_code == 204
    assert operator.post(f"{path}/report", {}, DATA).json() == {"next": path}
    deadline = time.monotonic() + 60
    while operator.get(part).status_code == 204 and time.monotonic() < deadline:
        time.sleep(0.2)
    shown = operator.get(part).text
    seen = re.search(r'data-seen="([^"]+)"', shown)
    assert seen
    assert f'src="{path}/report.html?v={seen[1]}"' in shown
    assert operator.get(f"{part}?seen={seen[1]}").status_code == 204
    assert HIDDEN_SYSTEMS[0] in operator.get(f"{path}/report.html").text


def test_the_pages_that_operators_see(stack: Stack) -> None:
    made = study(stack, f"open-{secrets.token_hex(4)}", study_pb2.PROTOCOL_PAIRWISE, ITEMS)
    operator = Visitor(stack).come_in(stack, "op", Role.OPERATOR)
    name = made.name.split("/")[1]
    page = operator.get(f"/studies/{name}").text
    assert HIDDEN_SYSTEMS[0] in page
    task = f"/annotate/{code_of(stack.settings.secret(), made.name)}"
    assert task in page
    operator.post(f"{task}/submit", {**form(operator.get(task).text), "choice": "A"})
    assert "op" in operator.get(f"/parts/studies/{name}/progress").text
    assert operator.get(f"/parts/studies/{name}/results").status_code == 200
    assert name in operator.get("/studies").text
    assert operator.get(f"/studies/{name}/report.html").status_code == 404


def test_the_report_runs_nothing_and_reaches_nothing(stack: Stack) -> None:
    stack.store.put_bytes("studies/with-report/report.html", b"<script>parent.hacked = 1</script>")
    viewer = Visitor(stack).come_in(stack, "vera", Role.VIEWER)
    answer = viewer.get("/studies/with-report/report.html")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert policy.startswith("sandbox;")
    assert "script" not in policy
    assert "default-src 'none'" in policy


def test_only_operators_start_work(stack: Stack) -> None:
    viewer = Visitor(stack).come_in(stack, "vera", Role.VIEWER)
    for path in ("/studies/x/run", "/studies/x/report", "/runs/x/cancel", "/annotate/x/submit", "/author/new"):
        assert viewer.post(path, {}, DATA).status_code == 403
