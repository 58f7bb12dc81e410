"""What is wrong is one message with a remedy and an exit code, at the command line, and nothing is left behind."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from services.cli.stack.components import OBJECT_STORE
from services.cli.stack.layout import Ports
from services.cli.stack.stack import Stack
from services.shared.objects import ObjectStore
from tests.e2e.place import Place

EXPERIMENT = """
name: bad-input
title: Bad input
corpora: {posts: posts}
datasets:
  chosen:
    seed: 1
    sources:
      - {name: posts, corpus: posts, stack_exchange: {group: any}, quota: {train: 6}}
"""
# A row that ends in the middle of an attribute, as in a dump whose download broke off and went on.
CORRUPT_POSTS = """<?xml version="1.0" encoding="utf-8"?>
<posts>
  <row Id="1" PostTypeId="1" AcceptedAnswerId="2" CreationDate="2020-01-01T00:00:00.000" Score="20" Title="Why?" />
  <row Id="2" PostTypeId="2" ParentId="1" CreationDate="2020-
  <row Id="3" PostTypeId="2" ParentId="1" CreationDate="2020-01-01T00:00:00.000" Score="20" Body="Because" />
</posts>
"""


def told(place: Place, experiment: Path, *words: str) -> tuple[int, str]:
    """The exit code and stderr of `lima run`; nothing may be left running, and no stack trace is shown."""
    ended = place.ended("run", str(experiment), *(words or ("--port-base", "0")))
    assert "Traceback" not in ended.stderr
    assert "error: " in ended.stderr
    states = {row["state"] for row in json.loads(place.lima("status", "--json"))}
    assert states <= {"stopped", "elsewhere"}
    return ended.returncode, ended.stderr


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "state")


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    site = tmp_path / "posts" / "eggs.stackexchange.com"
    site.mkdir(parents=True)
    (site / "Posts.xml").write_text(CORRUPT_POSTS)
    path = tmp_path / "experiment.yaml"
    path.write_text(EXPERIMENT)
    return path


@pytest.mark.parametrize(
    ("good", "bad", "field"),
    [("title:", "titel:", "titel"), ("seed: 1", "seed: many", "datasets.chosen.seed = 'many'")],
    ids=["unknown key", "wrong type"],
)
def test_a_wrong_experiment_file(place: Place, experiment: Path, good: str, bad: str, field: str) -> None:
    experiment.write_text(EXPERIMENT.replace(good, bad))
    code, message = told(place, experiment)
    assert code == 2
    assert field in message
    assert not place.state_dir.exists()


def test_a_missing_corpus(place: Place, experiment: Path) -> None:
    shutil.rmtree(experiment.parent / "posts")
    code, message = told(place, experiment)
    assert code == 3
    assert "corpora.posts" in message
    assert not place.state_dir.exists()


def test_a_store_that_does_not_answer(place: Place, experiment: Path) -> None:
    away = Place(place.state_dir, {"LIMA_OBJECT_STORE_ENDPOINT": "http://127.0.0.1:1"})
    code, message = told(away, experiment)
    assert code == 4
    assert "http://127.0.0.1:1 cannot be reached" in message
    assert "remedy: " in message


def test_a_taken_port(place: Place, experiment: Path) -> None:
    ports = Ports.from_base(0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.curation))
        other.listen()
        code, message = told(place, experiment, "--port-base", str(ports.object_store))
    assert code == 5
    assert f"port {ports.curation} (curation) on 127.0.0.1 is taken" in message
    assert "--port-base" in message


def test_a_corrupt_row_is_located_and_no_dataset_is_left(place: Place, experiment: Path) -> None:
    offset = CORRUPT_POSTS.index('<row Id="2"')
    code, message = told(place, experiment)
    assert code == 5
    assert f"the first at byte {offset} of eggs.stackexchange.com/Posts.xml" in message
    stack = Stack(place.state_dir)
    stack.start(OBJECT_STORE)
    try:
        store = ObjectStore.from_settings(stack.settings())
        assert list(store.list("corpora/"))
        assert list(store.list("datasets/")) == []
    finally:
        stack.stop()


def test_a_full_disk(small_disk: Path, experiment: Path) -> None:
    code, message = told(Place(small_disk / "state"), experiment)
    assert code == 5
    assert f"no space left on the disk that holds {small_disk}" in message
    assert "LIMA_STATE_DIR" in message
