"""Writes a study's report to the store: data and figures first, the manifest last."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.judging.exporters import to_jsonl
from services.judging.items import Item
from services.judging.report.document import document
from services.judging.report.figures import figures_of
from services.judging.report.neighbours import add_neighbours
from services.judging.report.page import render_page
from services.judging.report.provenance import parse_context, trace
from services.judging.report.readings import choose
from services.judging.repository import StoredStudy
from services.judging.results import Results
from services.judging.selection import record_selection
from services.judging.studies import Studies
from services.judging.verdicts import Verdict
from services.shared.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class WrittenReport:
    html_uri: str
    json_uri: str


async def write_report(studies: Studies, name: str, context_json: str) -> WrittenReport:
    """Make the report of what is there now; an earlier one is replaced."""
    context = parse_context(context_json)
    study = await studies.repository.get(name)
    results = await studies.results(name)
    items = await studies.repository.items(name)
    verdicts = await studies.repository.verdicts(name)
    return await asyncio.to_thread(_write, studies.store, study, results, items, verdicts, context)


def _write(
    store: ObjectStore,
    study: StoredStudy,
    results: Results,
    items: list[Item],
    verdicts: list[Verdict],
    context: Mapping[str, Any],
) -> WrittenReport:
    record_selection(store, study.spec, results)
    provenance = trace(store, study.spec, dict(context))
    figures = figures_of(study.spec, results, provenance)
    whole = document(study, results, choose(items, verdicts), provenance, context)
    add_neighbours(whole, store, provenance)
    prefix = f"studies/{study.spec.name}"
    with tempfile.TemporaryDirectory(prefix="lima-report-") as place:
        folder = Path(place)
        (folder / "figures").mkdir()
        for figure in figures:
            (folder / "figures" / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
        (folder / "verdicts.jsonl").write_bytes(b"".join(to_jsonl(verdicts)))
        # A model's reply may hold a lone surrogate, which no UTF-8 file can.
        for file, text in (
            ("report.json", json.dumps(whole, ensure_ascii=False, indent=1)),
            ("report.html", render_page(whole, figures)),
        ):
            (folder / file).write_text(text, encoding="utf-8", errors="replace")
        store.put_folder(prefix, folder, {"study": study.spec.name, "digest": study.digest})
    return WrittenReport(store.uri(f"{prefix}/report.html"), store.uri(f"{prefix}/report.json"))
