from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from services.shared import logs
from services.shared.settings import Settings


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def configure(tmp_path: Path, **values: str) -> None:
    logs.configure(Settings(state_dir=tmp_path, **values), "curation")


def test_off_a_terminal_each_line_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path)
    structlog.get_logger().info("dataset built", examples=3)
    logging.getLogger("a.library").warning("from %s", "elsewhere")
    ours, theirs = lines_of(capsys)
    assert (ours["event"], ours["examples"], ours["service"], ours["level"]) == ("dataset built", 3, "curation", "info")
    assert (theirs["event"], theirs["level"]) == ("from elsewhere", "warning")
    assert str(ours["timestamp"]).endswith("Z")


def test_secrets_are_hidden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path)
    structlog.get_logger().info("call", authorization="Bearer hunter2", token="hunter2")
    assert "hunter2" not in str(lines_of(capsys))


def test_tracebacks_are_part_of_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path)
    try:
        raise ValueError("cause")
    except ValueError:
        structlog.get_logger().exception("failed")
    [line] = lines_of(capsys)
    assert "cause" in json.dumps(line["exception"])


def test_the_level_bounds_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path, log_level="warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines_of(capsys)] == ["loud"]


def test_on_a_terminal_lines_are_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path, log_format="console")
    structlog.get_logger().info("dataset built", examples=3)
    text = capsys.readouterr().err
    assert "dataset built" in text
    assert not text.startswith("{")
