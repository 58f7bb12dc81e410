"""What each source makes of the sample corpora, to the letter: a change of a rule shows here as a difference to read.

To accept one: python -m tests.unit.curation.test_golden
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from services.curation.archives import decode_file, decoded_name, is_compressed
from services.curation.candidates import candidate_to_json
from services.curation.sources.authored import Authored
from services.curation.sources.dialogue import Dialogue
from services.curation.sources.existing import Existing
from services.curation.sources.natural_instructions import NaturalInstructions
from services.curation.sources.reddit import Reddit
from services.curation.sources.source import CorpusFile, Source
from services.curation.sources.stack_exchange import StackExchange
from services.curation.sources.wikihow import Wikihow
from services.shared.digest import digest_json
from tests.unit.curation.builders import read, removed

SAMPLES = Path(__file__).parents[3] / "experiments" / "sample_corpora"
GOLDEN = Path(__file__).with_name("golden.json")
SOURCES: dict[str, tuple[Source, str]] = {
    "stem": (StackExchange(group="stem", seed=1), "stackexchange"),
    "other": (StackExchange(group="other", seed=1), "stackexchange"),
    "unfiltered": (StackExchange(filtered=False, title_probability=1.0), "stackexchange"),
    "comments": (Dialogue("stack_exchange_comments"), "stackexchange"),
    "dialogues": (Dialogue(), "dialogues"),
    "wikihow": (Wikihow(), "wikihow"),
    "writing-prompts": (Reddit("WritingPrompts", min_score=10), "reddit"),
    "ask-reddit": (Reddit("AskReddit", min_score=10, prompts_only=True), "reddit"),
    "natural-instructions": (NaturalInstructions(seed=1), "natural_instructions"),
    "group-a": (Authored("A"), "authored"),
    "group-b": (Authored("B"), "authored"),
    "existing": (Existing(unanswered=True), "dialogues"),
}


def found_in(name: str, work: Path) -> dict[str, Any]:
    """Candidates by id with a digest of all that they hold, and what each filter removed."""
    source, corpus = SOURCES[name]
    files = []
    for path in sorted((SAMPLES / corpus).rglob("*")):
        relative = path.relative_to(SAMPLES / corpus).as_posix()
        if path.is_file() and is_compressed(relative):
            plain = work / decoded_name(relative)
            decode_file(path, relative, plain, 1 << 30)
            files.append(CorpusFile(decoded_name(relative), plain, ""))
        elif path.is_file():
            files.append(CorpusFile(relative, path, ""))
    candidates, funnel = read(source, *files)
    return {
        "candidates": {one.id: digest_json(candidate_to_json(one))[:12] for one in candidates},
        "entered": funnel.entered,
        "removed": removed(funnel),
        "malformed": funnel.malformed_count,
    }


@pytest.mark.parametrize("name", SOURCES)
def test_the_sample_corpora_give_what_they_gave(tmp_path: Path, name: str) -> None:
    golden = json.loads(GOLDEN.read_text())[name]
    assert golden["candidates"], "a golden without candidates shows nothing"
    assert found_in(name, tmp_path) == golden


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = {name: found_in(name, Path(folder)) for name in SOURCES}
    GOLDEN.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
