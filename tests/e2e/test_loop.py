"""The whole loop with a tiny random model, as its user starts it: whole, again, and killed at every step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.place import REPOSITORY, SECONDS, Place

EXPERIMENT = REPOSITORY / "experiments" / "smoke.yaml"
# Which component dies together with the command when the step of that kind is being made.
VICTIMS = {
    "corpus": "object-store",
    "dataset": "curation",
    "model": "inference",
    "run": "run-",
    "responses": "replica",
    "study": "judging",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS)]


def run(place: Place) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(place.lima("run", str(EXPERIMENT), "--json", "--port-base", "0"))
    return summary


def run_until(place: Place, step: str) -> None:
    """Start the experiment, and kill it and a component hard when `step` is being made."""
    words = place.command("run", str(EXPERIMENT), "--port-base", "0")
    with subprocess.Popen(words, env=place.environment, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        seen = []
        for line in child.stderr:
            seen.append(line)
            stage = line.removeprefix(f"{step}: ")
            if stage != line and not stage.startswith("starting"):
                break
        else:
            pytest.fail(f"{step} was never made: {''.join(seen)}")
        child.send_signal(signal.SIGKILL)
    kill_component(place, VICTIMS[step.partition(" ")[0]])


def kill_component(place: Place, name: str) -> None:
    for file in (place.state_dir / "processes").glob(f"{name}*.json"):
        pid = json.loads(file.read_text())["pid"]
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, dict[str, Any]]]:
    """A place where the experiment was run once, undisturbed, and what it printed."""
    place = Place(tmp_path_factory.mktemp("whole") / "state")
    try:
        yield place, run(place)
    finally:
        place.lima("down", "--purge", "--yes")


def digests(summary: dict[str, Any]) -> dict[str, str]:
    return {step: artefact["digest"] for step, artefact in summary["artefacts"].items()}


def test_every_step_leaves_its_artefact(whole: tuple[Place, dict[str, Any]]) -> None:
    _, summary = whole
    artefacts = summary["artefacts"]
    assert summary["reused"] == []
    assert artefacts["dataset-smoke"]["split_counts"] == {"train": 16, "dev": 2, "test": 4}
    assert len(artefacts["run-smoke-tuned"]["loss_per_epoch"]) == 2
    assert len(artefacts["run-smoke-tuned"]["dev_perplexity_per_epoch"]) == 2
    assert artefacts["responses-tuned"]["responses"] == artefacts["responses-base"]["responses"] == 4
    assert digests(summary)["model-tiny-random"] != digests(summary)["run-smoke-tuned"]


def test_the_report_is_there_and_speaks_of_the_judge(whole: tuple[Place, dict[str, Any]]) -> None:
    _, summary = whole
    report = Path(summary["artefacts"]["study-smoke-pairwise"]["report"]).read_text()
    assert "<svg" in report
    assert "tiny-random" in report
    pairs = summary["artefacts"]["study-smoke-pairwise"]["results"]["pairs"]
    assert {int(pair["win"]["n"]) for pair in pairs} == {4}


def test_nothing_is_left_running(whole: tuple[Place, dict[str, Any]]) -> None:
    place, _ = whole
    assert {row["state"] for row in json.loads(place.lima("status", "--json"))} == {"stopped"}


def test_a_second_run_makes_nothing(whole: tuple[Place, dict[str, Any]]) -> None:
    place, first = whole
    begin = time.monotonic()
    second = run(place)
    print(f"second run: {time.monotonic() - begin:.1f} s")
    assert second["reused"] == list(second["artefacts"])
    assert digests(second) == digests(first)


def test_killed_at_every_step_it_ends_with_the_same_artefacts(
    whole: tuple[Place, dict[str, Any]], tmp_path: Path
) -> None:
    _, undisturbed = whole
    place = Place(tmp_path / "state")
    try:
        for step in undisturbed["artefacts"]:
            run_until(place, step.replace("-", " ", 1))
        finished = run(place)
        assert digests(finished) == digests(undisturbed)
    finally:
        place.lima("down", "--purge", "--yes")


def test_the_stack_by_hand(whole: tuple[Place, dict[str, Any]]) -> None:
    place, _ = whole
    place.lima("up")
    states = {row["name"]: row["state"] for row in json.loads(place.lima("status", "--json"))}
    assert set(states.values()) == {"ready"}
    second = place.ended("up")
    assert second.returncode == 5
    assert "is running already" in second.stderr
    assert "lima down" in second.stderr
    question = "How does one boil an egg?"
    answered = place.lima("chat", "smoke-tuned", "--once", question, "--max-tokens", "8", "--seed", "1", "--json")
    said = json.loads(answered)
    assert [(turn["prompt"], type(turn["answer"])) for turn in said] == [(question, str)]
    place.lima("down")
    assert {row["state"] for row in json.loads(place.lima("status", "--json"))} == {"stopped"}
