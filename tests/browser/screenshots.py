"""Draws the pictures of docs/screenshots: each page in light, dark and narrow.

python -m tests.browser.screenshots [FOLDER]
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from google.protobuf.json_format import ParseDict
from playwright.sync_api import Browser, Page, sync_playwright

from lima.common.v1 import message_pb2
from lima.curation.v1 import authoring_pb2, curation_pb2, review_pb2, spec_pb2
from lima.judging.v1 import judging_pb2, study_pb2
from services.console.sessions import Role
from services.console.tasks import code_of
from services.shared.records import Response, RunPhase, Turn
from services.shared.settings import Settings
from tests.browser.scene import ARGUMENTS, CHROMIUM_NAMES, come_in
from tests.conftest import TOKEN
from tests.fixtures.seaweedfs import running_seaweedfs
from tests.service.console import seeding
from tests.service.console.stack import Stack, finish, running_stack

SOURCES = [
    {
        "name": "stem",
        "corpus": "stackexchange",
        "stack_exchange": {"group": "stem"},
        "quota": {"train": 8, "allow_fewer": True},
    },
    {
        "name": "other",
        "corpus": "stackexchange",
        "stack_exchange": {"group": "other"},
        "quota": {"train": 8, "allow_fewer": True},
    },
    {"name": "group-a", "corpus": "authored", "authored": {"group": "A"}, "quota": {"train": 20, "dev": 5}},
    {"name": "group-b", "corpus": "authored", "authored": {"group": "B"}, "quota": {"test": 10}},
]
FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
WAYS = {"light": (1280, 900), "dark": (1280, 900), "narrow": (390, 844)}
# What a part of a page needs to arrive and be drawn.
SETTLE_MILLISECONDS = 700


def sample_study(stack: Stack) -> study_pb2.Study:
    """The written answers against their own first paragraphs: two systems that differ in length alone."""
    lines = (seeding.SAMPLES / "authored" / "group_a.jsonl").read_text().splitlines()[:8]
    examples = [json.loads(line) for line in lines]
    systems = {}
    for system, shorten in (("lima-135m", False), ("alpaca-135m", True)):
        responses = [
            Response(
                prompt_id=example["id"],
                messages=(Turn(role="user", content=example["messages"][0]["content"]),),
                response=example["messages"][1]["content"].split("\n\n")[0]
                if shorten
                else example["messages"][1]["content"],
                model=system,
                finish_reason="stop",
                prompt_tokens=1,
                completion_tokens=1,
            )
            for example in examples
        ]
        key = f"responses/{system}.jsonl"
        stack.store.put_bytes(key, "".join(one.model_dump_json() + "\n" for one in responses).encode())
        systems[system] = stack.store.uri(key)
    spec = study_pb2.StudySpec(
        name="lima-against-alpaca",
        protocol=study_pb2.PROTOCOL_PAIRWISE,
        systems=[study_pb2.System(name=name, responses_uri=uri) for name, uri in systems.items()],
        human=study_pb2.HumanSpec(overlap=2),
    )
    study: study_pb2.Study = stack.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=spec))
    for annotator, choices in (("jun", ("A", "B", "A", "neither")), ("sora", ("A", "neither", "B"))):
        for choice in choices:
            item = stack.annotation.AssignItem(judging_pb2.AssignItemRequest(parent=study.name, annotator=annotator))
            stack.annotation.SubmitVerdict(
                judging_pb2.SubmitVerdictRequest(
                    name=item.name, lease=item.lease, annotator=annotator, choice=choice, seconds=31
                )
            )
    return study


def selection_study(stack: Stack) -> study_pb2.Study:
    """Epochs of a run, graded by two people."""
    systems = ("epoch-01", "epoch-02", "epoch-03")
    spec = study_pb2.StudySpec(
        name="pick-an-epoch",
        protocol=study_pb2.PROTOCOL_LIKERT,
        systems=[
            study_pb2.System(name=name, responses_uri=seeding.response_set(stack, name, name, 4)) for name in systems
        ],
        selection=study_pb2.Selection(run="runs/lima-135m", first_epoch=1, last_epoch=3),
        human=study_pb2.HumanSpec(overlap=2),
    )
    study: study_pb2.Study = stack.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=spec))
    for number in range(10):
        who = ("jun", "sora")[number % 2]
        item = stack.annotation.AssignItem(judging_pb2.AssignItemRequest(parent=study.name, annotator=who))
        stack.annotation.SubmitVerdict(
            judging_pb2.SubmitVerdictRequest(
                name=item.name, lease=item.lease, annotator=who, choice=str(2 + number % 4), seconds=24
            )
        )
    return study


def draft(stack: Stack) -> str:
    """The name of a draft that the style remarks have something to say about."""
    turns = [("user", "How do I keep basil alive on a windowsill?"), ("assistant", "Sure! Water it, but not too much.")]
    messages = [message_pb2.Message(role=role, content=content) for role, content in turns]
    written = authoring_pb2.Draft(group="A", split="train", author="mina", messages=messages)
    request = authoring_pb2.CreateDraftRequest(parent="collections/authored", draft=written)
    return str(stack.authoring.CreateDraft(request).name)


def near_duplicates(stack: Stack) -> str:
    """A queue in which one example stands twice, the second time without its end; the path of the first."""
    lines = (seeding.SAMPLES / "authored" / "group_a.jsonl").read_text().splitlines()[:4]
    examples = [json.loads(line) for line in lines]
    twin = json.loads(lines[0])
    said = twin["messages"][1]["content"]
    twin["messages"][1]["content"] = said[: int(len(said) * 0.85)].rpartition(".")[0] + "."
    records = [{**one, "id": f"note-{number}"} for number, one in enumerate([*examples, twin])]
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "notes.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        stack.store.put_folder("uploads/notes", place, {})
    request = curation_pb2.ImportCorpusRequest(corpus_id="notes", source_uri=stack.store.uri("uploads/notes"))
    finish(stack.curation_operations, stack.curation.ImportCorpus(request), curation_pb2.Corpus())
    seeding.fill_queue(stack, "notes", "notes", 5)
    return "/review/notes/c/written.note-0"


def fill(stack: Stack) -> dict[str, str]:
    """Names of pictures with the paths of their pages."""
    for name in ("stackexchange", "authored"):
        seeding.sample_corpus(stack, name)
    spec = ParseDict({"name": "quickstart", "seed": 1, "sources": SOURCES}, spec_pb2.DatasetSpec())
    fill_queue = stack.review.FillQueue(review_pb2.FillQueueRequest(spec=spec))
    finish(stack.curation_operations, fill_queue, review_pb2.Queue())
    built = stack.curation.BuildDataset(curation_pb2.BuildDatasetRequest(spec=spec))
    dataset = finish(stack.curation_operations, built, curation_pb2.Dataset())
    seeding.run_records(stack, "lima-135m", RunPhase.RUNNING)
    seeding.run_records(stack, "alpaca-135m", RunPhase.SUCCEEDED)
    seeding.outside_model(stack, "lima-135m")
    seeding.outside_model(stack, "smollm2-135m")
    made, graded = sample_study(stack), selection_study(stack)
    return {
        "home": "/",
        "review": "/review/quickstart/next?source=stem",
        "review-duplicates": near_duplicates(stack),
        "review-table": "/review/quickstart/table",
        "funnel": "/review/quickstart/funnel",
        "author": "/author",
        "draft": f"/author/d/{draft(stack).rpartition('/')[2]}",
        "annotate": f"/annotate/{code_of(stack.settings.secret(), made.name)}",
        "annotate-likert": f"/annotate/{code_of(stack.settings.secret(), graded.name)}",
        "studies": "/studies",
        "study": f"/{made.name}",
        "runs": "/runs",
        "run": "/runs/lima-135m",
        "chat": "/chat",
        "datasets": "/datasets",
        "dataset": f"/{dataset.name}",
    }


def draw(page: Page, stack: Stack, pages: dict[str, str], folder: Path) -> None:
    for name, path in pages.items():
        for way, (width, height) in WAYS.items():
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme="dark" if way == "dark" else "light", reduced_motion="reduce")
            page.goto(stack.url + path)
            if name == "chat":
                # A conversation is kept in the browser: the picture before has left one.
                page.evaluate("localStorage.clear()")
                page.reload()
                page.locator("#model-b").select_option(index=2)
                page.locator("#say").fill("What makes a good example?")
                page.keyboard.press("Enter")
            page.wait_for_load_state("networkidle")
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
            draw_all(browser, stack, fill(stack), folder)
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
