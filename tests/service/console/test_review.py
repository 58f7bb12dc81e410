"""The review pages over a real queue: every decision, undo, two tabs, and answers that were lost."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from lima.curation.v1 import curation_pb2, review_pb2
from services.console.sessions import Role
from tests.service.console.seeding import ANSWER, authored_corpus, fill_queue, sample_corpus, sample_queue
from tests.service.console.stack import Stack
from tests.service.console.visitor import DATA, Visitor, field

CORPUS = "written-for-review"
CANDIDATES = 6


@pytest.fixture(scope="module")
def corpus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    authored_corpus(stack, CORPUS, CANDIDATES, tmp_path_factory.mktemp("corpus") / CORPUS)
    return CORPUS


@pytest.fixture(scope="module")
def samples(stack: Stack) -> str:
    sample_corpus(stack, "stackexchange")
    return "stackexchange"


@pytest.fixture
def queue(stack: Stack, corpus: str, request: pytest.FixtureRequest) -> str:
    """A queue of this test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    fill_queue(stack, name, corpus, CANDIDATES)
    return name


@pytest.fixture
def reviewer(stack: Stack) -> Visitor:
    return Visitor(stack).come_in(stack, "mina", Role.ANNOTATOR)


def first(reviewer: Visitor, queue: str) -> tuple[str, str]:
    """Path and text of the next candidate's page."""
    page = reviewer.get(f"/review/{queue}/next")
    assert page.status_code == 200
    here = re.search('data-here="([^"]+)"', page.text)
    assert here
    return html.unescape(here[1]), page.text


def candidate(stack: Stack, queue: str, path: str) -> review_pb2.Candidate:
    name = f"queues/{queue}/candidates/{path.rsplit('/', 1)[1]}"
    found: review_pb2.Candidate = stack.review.GetCandidate(review_pb2.GetCandidateRequest(name=name))
    return found


def test_a_candidate_is_shown_with_all_that_a_reviewer_needs(stack: Stack, reviewer: Visitor, queue: str) -> None:
    path, page = first(reviewer, queue)
    shown = candidate(stack, queue, path)
    assert '<span class="k">def</span>' in page, "code is highlighted"
    assert "written" in page
    assert "<script>window" not in page
    assert "<img" not in page
    assert html.escape("<script>") in page
    assert all(html.escape(note) in page for note in shown.notes)


def test_source_licence_reasons_and_score_are_beside_it(stack: Stack, reviewer: Visitor, samples: str) -> None:
    sample_queue(stack, "beside", {"name": "stem", "corpus": samples, "stack_exchange": {"group": "stem"}})
    path, page = first(reviewer, "beside")
    shown = candidate(stack, "beside", path)
    assert f'href="{shown.attribution.url}" rel="noopener noreferrer nofollow"' in page
    assert shown.attribution.licence in page
    assert html.escape(shown.attribution.author, quote=False) in html.unescape(page)
    assert f"<dd>{shown.score:g}</dd>" in page
    assert shown.notes
    assert all(html.escape(note) in page for note in shown.notes)


def test_near_duplicates_stand_beside_it_with_what_differs(stack: Stack, reviewer: Visitor, tmp_path: Path) -> None:
    authored_corpus(stack, "with-twins", 3, tmp_path / "twins", twins=1)
    fill_queue(stack, "with-twins", "with-twins", 4)
    pages = {}
    listed = stack.review.ListCandidates(review_pb2.ListCandidatesRequest(parent="queues/with-twins")).candidates
    for one in listed:
        name = one.name.rsplit("/", 1)[1]
        pages[name] = reviewer.get(f"/review/with-twins/c/{name}").text
    original, twin = "written.with-twins-0", "written.with-twins-0-twin"
    assert f"/c/{twin}" in pages[original]
    assert "Near-duplicates: " in pages[original]
    assert "Enjoy" in "".join(re.findall(r"<ins>([^<]*)</ins>", pages[original]))
    assert f"/c/{original}" in pages[twin]
    assert "Enjoy" in "".join(re.findall(r"<del>([^<]*)</del>", pages[twin]))


@pytest.mark.parametrize(("decision", "state"), [("accept", "accepted"), ("reject", "rejected")])
def test_deciding_leads_to_the_next(stack: Stack, reviewer: Visitor, queue: str, decision: str, state: str) -> None:
    path, page = first(reviewer, queue)
    answer = reviewer.post(f"{path}/{decision}", {"etag": field(page, "etag"), "reason": "style"}, DATA)
    assert answer.json() == {"next": f"/review/{queue}/next"}
    decided = candidate(stack, queue, path)
    assert decided.state == state
    assert [(review.reviewer, review.reason) for review in decided.reviews] == [("mina", "style")]
    assert first(reviewer, queue)[0] != path


def test_an_edit_keeps_what_was_written(stack: Stack, reviewer: Visitor, queue: str) -> None:
    path, page = first(reviewer, queue)
    before = candidate(stack, queue, path).messages
    fields = {
        "etag": field(page, "etag"),
        "role": [turn.role for turn in before],
        "content": [before[0].content, "Better words.\r\nIn two lines."],
    }
    assert reviewer.post(f"{path}/edit", fields).status_code == 303
    decided = candidate(stack, queue, path)
    assert decided.state == "accepted"
    assert decided.reviews[0].messages[1].content == "Better words.\nIn two lines."
    shown = reviewer.get(path).text
    assert "<ins>" in shown
    assert "<del>" in shown


def test_skipping_and_undoing(stack: Stack, reviewer: Visitor, queue: str) -> None:
    path, page = first(reviewer, queue)
    reviewer.post(f"{path}/skip", {"etag": field(page, "etag")})
    other, page = first(reviewer, queue)
    assert other != path
    reviewer.post(f"{other}/accept", {"etag": field(page, "etag")})
    answer = reviewer.post(f"/review/{queue}/undo", {}, DATA)
    assert answer.json()["next"] == other
    assert candidate(stack, queue, other).state == "pending"


def test_nothing_to_undo_is_told(stack: Stack, reviewer: Visitor, queue: str) -> None:
    answer = reviewer.post(f"/review/{queue}/undo", {}, DATA)
    assert answer.status_code in (404, 409)
    assert answer.json()["error"]


def test_a_submission_whose_answer_was_lost_may_come_again(stack: Stack, reviewer: Visitor, queue: str) -> None:
    path, page = first(reviewer, queue)
    fields = {"etag": field(page, "etag"), "reason": ""}
    assert reviewer.post(f"{path}/accept", fields, DATA).status_code == 200
    assert reviewer.post(f"{path}/accept", fields, DATA).status_code == 200
    assert len(candidate(stack, queue, path).reviews) == 1


def test_two_tabs_on_one_candidate(stack: Stack, reviewer: Visitor, queue: str) -> None:
    """The second tab is told, and what the first decided stands."""
    path, page = first(reviewer, queue)
    assert reviewer.post(f"{path}/accept", {"etag": field(page, "etag")}, DATA).status_code == 200
    late = reviewer.post(f"{path}/reject", {"etag": field(page, "etag"), "reason": "wrong"}, DATA)
    assert late.status_code == 409
    assert candidate(stack, queue, path).state == "accepted"


def test_two_reviewers_never_hold_the_same_candidate(stack: Stack, reviewer: Visitor, queue: str) -> None:
    other = Visitor(stack).come_in(stack, "jun", Role.ANNOTATOR)
    assert first(reviewer, queue)[0] != first(other, queue)[0]


def test_the_end_of_a_queue(stack: Stack, reviewer: Visitor, queue: str) -> None:
    for _ in range(CANDIDATES):
        path, page = first(reviewer, queue)
        reviewer.post(f"{path}/accept", {"etag": field(page, "etag")})
    end = reviewer.follow(f"/review/{queue}/next")
    assert end.status_code == 200
    assert f"Accepted: {CANDIDATES}" in end.text


def test_the_table_decides_for_many(stack: Stack, reviewer: Visitor, queue: str) -> None:
    page = reviewer.get(f"/review/{queue}/table").text
    rows = [html.unescape(row) for row in re.findall(r'name="row" data-tickable[^>]* value="([^"]+)"', page)]
    assert len(rows) == CANDIDATES
    fields = {"row": rows[:3], "decision": "reject", "reason": "style", "state": "pending"}
    assert reviewer.post(f"/review/{queue}/table", fields).status_code == 303
    rejected = reviewer.get(f"/review/{queue}/table?state=rejected").text
    assert len(re.findall('name="row"', rejected)) == 3


def test_the_table_says_which_rows_others_changed(stack: Stack, reviewer: Visitor, queue: str) -> None:
    page = reviewer.get(f"/review/{queue}/table").text
    rows = [html.unescape(row) for row in re.findall(r'name="row" data-tickable[^>]* value="([^"]+)"', page)]
    stale = rows[0].split(" ")[0] + " old-etag"
    answer = reviewer.post(f"/review/{queue}/table", {"row": [stale, rows[1]], "decision": "accept"})
    assert answer.status_code == 409
    assert rows[0].split(" ")[0] in answer.text
    assert len(re.findall('name="row"', reviewer.get(f"/review/{queue}/table?state=accepted").text)) == 1


def test_a_table_sent_again_after_a_lost_answer_decides_once(stack: Stack, reviewer: Visitor, queue: str) -> None:
    page = reviewer.get(f"/review/{queue}/table").text
    rows = [html.unescape(row) for row in re.findall(r'name="row" data-tickable[^>]* value="([^"]+)"', page)]
    fields = {"row": rows[:2], "decision": "accept", "state": "pending"}
    for _ in range(2):
        answer = reviewer.post(f"/review/{queue}/table", fields, DATA)
        assert answer.json() == {"next": f"/review/{queue}/table?state=pending&source="}
    progress = stack.review.GetReviewProgress(review_pb2.GetReviewProgressRequest(parent=f"queues/{queue}"))
    assert (progress.accepted, dict(progress.by_reviewer)) == (2, {"mina": 2})


def test_the_funnel_shows_samples_of_what_each_filter_removed(stack: Stack, reviewer: Visitor, samples: str) -> None:
    sample_queue(stack, "funnelled", {"name": "stem", "corpus": samples, "stack_exchange": {"group": "stem"}})
    page = reviewer.get("/review/funnelled/funnel").text
    funnel = stack.curation.GetFunnel(curation_pb2.GetFunnelRequest(name="queues/funnelled"))
    removed = [step for step in funnel.sources[0].steps if step.samples]
    assert removed
    for step in removed:
        assert f"{step.removed} of {step.entered} removed" in page
        assert all(sample.reason in html.unescape(page) for sample in step.samples)


def test_the_funnel_and_the_list_of_queues(stack: Stack, reviewer: Visitor, queue: str) -> None:
    assert reviewer.get(f"/review/{queue}/funnel").status_code == 200
    listed = reviewer.get("/review").text
    assert f'href="/review/{queue}/next"' in listed
    assert f"/review/{queue}/next?source=written" in listed


def test_the_changes_of_an_edit_under_way(stack: Stack, reviewer: Visitor) -> None:
    page = reviewer.post("/parts/diff", {"before": "Boil it.", "content": "Boil <b>them</b>."}).text
    assert "<del>it</del>" in page
    assert "&lt;b" in "".join(page.split())
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/review/{queue}/c/none/accept", {"etag": "x"}),
        ("/review/{queue}/c/none/explode", {"etag": "x"}),
        ("/review/{queue}/c/none/accept", {}),
        ("/review/{queue}/c/none/edit", {"etag": "x", "role": ["user"], "content": ["a", "b"]}),
        ("/review/{queue}/table", {"decision": "explode"}),
        ("/review/no-such-queue/undo", {}),
    ],
)
def test_bad_input_is_told(stack: Stack, reviewer: Visitor, corpus: str, path: str, fields: dict[str, object]) -> None:
    fill_queue(stack, "bad-input", corpus, 2)
    answer = reviewer.post(path.format(queue="bad-input"), fields, DATA)
    assert answer.status_code in (400, 404, 409), answer.text
    assert answer.json()["error"]


def test_a_comment_chain_becomes_a_dialogue_under_its_licence(stack: Stack, reviewer: Visitor, samples: str) -> None:
    chains = {"name": "chains", "corpus": samples, "dialogue": {"origin": "stack_exchange_comments"}}
    sample_queue(stack, "chains", chains)
    path, page = first(reviewer, "chains")
    chain = candidate(stack, "chains", path)
    assert len(chain.messages) >= 4
    assert "needs-editing" in page
    target = reviewer.post("/author/from-candidate", {"name": chain.name}).headers["location"]
    draft = reviewer.get(target).text
    assert html.unescape(draft).count('<textarea name="content"') == len(chain.messages) + 2, "and two blank turns"
    assert f'href="{chain.attribution.url}"' in draft
    assert chain.attribution.licence in draft
    assert 'value="dialogue" checked' in draft


def test_a_candidate_becomes_a_dialogue_draft(stack: Stack, reviewer: Visitor, queue: str) -> None:
    path, _ = first(reviewer, queue)
    name = candidate(stack, queue, path).name
    answer = reviewer.post("/author/from-candidate", {"name": name})
    assert answer.status_code == 303
    assert ANSWER.splitlines()[0] in html.unescape(reviewer.get(answer.headers["location"]).text)
