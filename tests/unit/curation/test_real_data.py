"""Every real file of the shared data goes through the source it is for, with the yields told beside the data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.curation.archives import decode_file, decoded_name, is_compressed
from services.curation.sources.existing import Existing
from services.curation.sources.natural_instructions import NaturalInstructions
from services.curation.sources.reddit import Reddit
from services.curation.sources.source import CorpusFile, Source
from services.curation.sources.stack_exchange import LENGTH, SCORE, StackExchange
from services.curation.sources.wikihow import Wikihow
from tests.unit.curation.builders import read, removed

REAL_DATA = Path(os.environ.get("LIMA_REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason="the real data is not here: set LIMA_REAL_DATA to the folder that holds it"
)
MANY = 10_000


def real(tmp_path: Path, name: str) -> CorpusFile:
    """A file of the shared data, decoded as an import does."""
    path = REAL_DATA / name
    if not path.is_file():
        pytest.skip(f"{name} is not in the real data at LIMA_REAL_DATA")
    if not is_compressed(name):
        return CorpusFile(name, path, "")
    plain = tmp_path / "decoded"
    decode_file(path, name, plain, 1 << 30)
    return CorpusFile(decoded_name(name), plain, "")


# A dump's host, its questions, those whose top answer has 10 votes, and of these the ones of the right length.
YIELDS = [("coffee.stackexchange.com", 225, 35, 8), ("matheducators.stackexchange.com", 397, 143, 85)]


@pytest.mark.parametrize(("host", "questions", "scored", "of_length"), YIELDS)
def test_the_yields_of_real_dumps(tmp_path: Path, host: str, questions: int, scored: int, of_length: int) -> None:
    """Told beside the data: 35 and 143 with 10 votes, exactly; about 7 and 84 of the length; about 3 and 4 of these
    without first person. docs/curation.md explains each difference."""
    file = real(tmp_path, f"stackexchange/{host}/Posts.xml")
    file = CorpusFile(f"{host}/Posts.xml", file.path, "")
    _, funnel = read(StackExchange(first_person=(), cross_references=()), file)
    assert funnel.entered == questions
    assert funnel.entered - removed(funnel)[SCORE] == scored
    assert scored - removed(funnel)[LENGTH] == of_length
    assert not funnel.malformed
    without, _ = read(StackExchange(cross_references=()), file)
    assert len(without) == 3
    found, _ = read(StackExchange(), file)
    assert len(found) == {"coffee.stackexchange.com": 3, "matheducators.stackexchange.com": 2}[host]


PAGES = {
    "Determine": "Health",
    "Grill_Fish": "Food and Entertaining",
    "Cardio": "Sports and Fitness",
    "Ube": "Food and Entertaining",
    "Homeschooling": "Education and Communications",
    "Zucchini": "Food and Entertaining",
    "Pork": "Food and Entertaining",
    "Ketosis": "Health",
}


@pytest.mark.parametrize(("word", "category"), PAGES.items())
def test_real_wikihow_pages(tmp_path: Path, word: str, category: str) -> None:
    [path] = (REAL_DATA / "wikihow").glob(f"*{word}*.html")
    [found], funnel = read(Wikihow(), real(tmp_path, f"wikihow/{path.name}"))
    assert found.stratum == category
    assert found.prompt().startswith("How to ")
    body = found.messages[1].content
    assert 3000 < len(body) < 20_000
    assert "This article" not in body
    assert "<" not in body
    assert "](" not in body
    assert not funnel.malformed
    assert found.attribution.url.startswith("https://www.wikihow.com/")


@pytest.mark.parametrize(
    ("name", "source", "entered", "found"),
    [
        ("reddit/RS_AskReddit_top.zst", Reddit("AskReddit", min_score=10), 500, 161),
        ("reddit/RS_WritingPrompts_top.zst", Reddit("WritingPrompts", min_score=1, prompts_only=True), 500, 257),
        ("reddit/RS_2019-10.zst", Reddit("AskReddit"), 0, 0),
        ("reddit/RC_2005-12.zst", Reddit("WritingPrompts"), 0, 0),
        ("natural_instructions/task045_miscellaneous_sentence_paraphrasing.TRIMMED.json", NaturalInstructions(), 1, 1),
        ("vicuna80/question.jsonl", Existing(unanswered=True), 80, 80),
        ("pandalm/testset-v1.json", Existing(unanswered=True), 999, 999),
        ("pandalm/testset-inference-v1.json", Existing(unanswered=True), 170, 170),
        ("alpaca_eval/results/claude-2/model_outputs.json", Existing(), 805, 805),
        ("alpaca_eval/results/gemma-2b-it/model_outputs.json", Existing(), 783, 783),  # 22 outputs are empty
    ],
)
def test_what_real_files_yield(tmp_path: Path, name: str, source: Source, entered: int, found: int) -> None:
    candidates, funnel = read(source, real(tmp_path, name), max_malformed=MANY)
    assert (funnel.entered, len(candidates)) == (entered, found)
    assert funnel.malformed_count == (22 if "gemma" in name else 0)


NO_SETS = ("alpaca_eval", "pandalm", "vicuna80")
FILES = sorted(
    path.relative_to(REAL_DATA).as_posix()
    for folder in NO_SETS
    for path in (REAL_DATA / folder).rglob("*")
    if path.name.endswith((".json", ".jsonl", ".csv", ".json.gz"))
)


@pytest.mark.parametrize("name", FILES)
def test_every_other_file_is_read_or_refused_with_its_place(tmp_path: Path, name: str) -> None:
    """Verdicts, answers and leaderboards are no instruction sets: each of their records is told, none is taken."""
    found, funnel = read(Existing(unanswered=True), real(tmp_path, name), max_malformed=MANY)
    assert len(found) + funnel.malformed_count > 0
    if "/answer/" in name or "/review/" in name or "leaderboards" in name:
        assert not found
        assert "none of the fields" in funnel.malformed[0].reason
