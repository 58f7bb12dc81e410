from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.catalogue import translator
from services.console.charts import Series
from services.console.pages.runs import curves
from services.console.runs import check_run, parse_metrics
from services.shared.errors import InvalidInput
from services.shared.records import MetricsRow

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def row(**fields: object) -> bytes:
    given = {"kind": "step", "step": 1, "epoch": 0.1, "loss": 2.0, "time": NOW, **fields}
    return MetricsRow.model_validate(given).model_dump_json().encode() + b"\n"


def test_steps_and_evaluations_are_told_apart() -> None:
    metrics = parse_metrics(row() + row(kind="evaluation", perplexity=9.5) + b'{"kind": "step", "st')
    assert len(metrics.steps) == 1
    assert [one.perplexity for one in metrics.evaluations] == [9.5]
    assert metrics.malformed == 1


@given(st.binary(max_size=400))
def test_any_bytes_are_counted_or_read(data: bytes) -> None:
    metrics = parse_metrics(data)
    lines = [line for line in data.splitlines() if line.strip()]
    assert len(metrics.steps) + len(metrics.evaluations) + metrics.malformed == len(lines)


def test_a_file_that_grows_reads_as_if_it_were_read_at_once() -> None:
    whole = row() + row(step=2) + b"torn" + row(step=3)
    cut = len(row() + row(step=2))
    assert parse_metrics(whole[:cut]).and_then(parse_metrics(whole[cut:])) == parse_metrics(whole)


def test_only_what_was_measured_is_drawn() -> None:
    bare = curves(translator("en"), parse_metrics(row()), [])
    assert len(bare) == 1
    full = row(learning_rate=1e-5, gradient_norm=1.0, tokens_per_second=100.0) + row(kind="evaluation", perplexity=9.0)
    assert len(curves(translator("ko"), parse_metrics(full), [Series("crowd", [(1.0, 0.4)])])) == 6


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../models"])
def test_a_run_is_named_by_one_word(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_run(name)
