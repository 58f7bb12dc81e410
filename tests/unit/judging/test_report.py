"""The report from results alone: figures of every protocol, the page, and its warnings."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from services.judging.columns import Columns, ColumnsBuilder, ItemGroup, VerdictGroup
from services.judging.items import Item
from services.judging.protocols import Protocol
from services.judging.report import svg
from services.judging.report.document import document
from services.judging.report.figures import Figure, figures_of
from services.judging.report.page import render_page
from services.judging.report.provenance import Provenance
from services.judging.report.readings import choose
from services.judging.repository import StoredStudy, Usage
from services.judging.results import Results, compute
from services.judging.study import StudySpec
from services.judging.verdicts import Verdict
from services.judging.warnings import warnings_of
from services.shared.records import Turn

PROMPTS = 30
LOST = 12
HOSTILE = "</text><script>alert(1)</script>&"


def study(protocol: Protocol, systems: tuple[str, ...] = ("ours", HOSTILE)) -> StudySpec:
    listed = [{"name": name, "responses_uri": "s3://b/r"} for name in systems]
    judges = [{"name": "model", "model": "models/m"}]
    return StudySpec.parse({"name": "report", "protocol": protocol, "systems": listed, "judges": judges})


def judged(spec: StudySpec, *, follows_side: bool = False, unparsable: bool = False) -> Columns:
    """Verdicts of a model in both orders and of two people, on prompts of two sources."""
    generator = np.random.default_rng(0)
    labels = () if spec.rules.pairwise else spec.rules.choices
    builder = ColumnsBuilder(lambda judge, kind: judge if kind == "llm" else "crowd", labels)
    for systems in spec.pairs:
        for prompt in range(PROMPTS):
            item = f"{systems}/{prompt}"
            source = ("authored", "reddit")[prompt % 2]
            builder.add_items(ItemGroup(systems, source, [item], [f"p{prompt}"], [float(generator.normal(0, 100))]))
            truth = float(generator.choice([0.0, 0.5, 1.0], p=[0.2, 0.2, 0.6]))
            for judge, kind, sides in (
                ("model", "llm", (True, False)),
                ("ann", "human", (True,)),
                ("bob", "human", (True,)),
            ):
                for side in sides:
                    choice = spec.rules.choices[prompt % len(spec.rules.choices)]
                    preference = float(side) if follows_side and kind == "llm" else truth
                    if unparsable and kind == "llm" and prompt < LOST and side:
                        builder.add_excluded(systems, judge, kind, "unparsable", 1)
                        continue
                    if spec.rules.pairwise:
                        group = VerdictGroup(judge, kind, "", None, side, 0, [item], [preference])
                    else:
                        score = spec.rules.scores[spec.rules.choices.index(choice)]
                        group = VerdictGroup(judge, kind, choice, score, side, 0, [item], [None])
                    builder.add_verdicts(group)
    return builder.columns()


def results_of(spec: StudySpec, columns: Columns) -> Results:
    results = compute(spec.name, columns, spec.rules, resamples=200)
    results.warnings = warnings_of(results, {})
    return results


def provenance(spec: StudySpec) -> dict[str, Provenance]:
    """Epochs and sizes that grow from system to system."""
    return {
        system.name: Provenance("s3://b/r", epoch=number, training_examples=1000 * number, perplexity=5.0 + number)
        for number, system in enumerate(spec.systems, start=5)
    }


def stored(spec: StudySpec) -> StoredStudy:
    return StoredStudy(spec, spec.digest(), "done", "", PROMPTS, 0, 1, 0, 0, {}, 0.0, Usage(calls=3))


EXPECTED = {
    Protocol.PAIRWISE: {"preference-people", "preference-llm", "win-rates"},
    Protocol.DIALOGUE_PAIR: {"preference-people", "preference-llm", "win-rates"},
    Protocol.LIKERT: {"helpfulness", "quantity", "epochs"},
    Protocol.ABSOLUTE: {"labels", "epochs"},
    Protocol.SAFETY: {"labels", "epochs"},
    Protocol.DIALOGUE_TURN: {"labels", "epochs"},
}


@pytest.mark.parametrize("protocol", Protocol)
def test_every_protocol_has_its_figures_and_page(protocol: Protocol) -> None:
    spec = study(protocol)
    results = results_of(spec, judged(spec))
    figures = figures_of(spec, results, provenance(spec))
    assert {figure.name for figure in figures} == EXPECTED[protocol]
    for figure in figures:
        check_drawing(figure)
    whole = document(stored(spec), results, [], provenance(spec), {"note": HOSTILE})
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    page = render_page(whole, figures)
    assert "<script" not in page
    assert page.count("<svg") == len(figures)
    assert whole["headline"] in page.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").replace(
        "&amp;", "&"
    )


def check_drawing(figure: Figure) -> None:
    """The SVG is well formed, draws within its frame, and runs nothing."""
    root = ET.fromstring(figure.svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "script" not in names
    for element in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(element.attrib["x"]) + float(element.attrib["width"]) <= width
        assert float(element.attrib["y"]) + float(element.attrib["height"]) <= height


def test_a_side_following_judge_is_the_first_warning() -> None:
    spec = study(Protocol.PAIRWISE, ("ours", "theirs"))
    results = results_of(spec, judged(spec, follows_side=True))
    assert results.warnings[0].startswith("model is a weak judge")
    assert "consistency 0%" in results.warnings[0]
    assert any("favours the answer shown first" in warning for warning in results.warnings)
    assert any("Only 30 prompts" in warning for warning in results.warnings)
    assert not any("crowd saw" in warning for warning in results.warnings)


def test_numbers_say_what_they_leave_out() -> None:
    spec = study(Protocol.PAIRWISE, ("ours", "theirs"))
    results = results_of(spec, judged(spec, unparsable=True))
    model = next(pair for pair in results.pairs if pair.judge == "model")
    assert model.summary.win.excluded == {"unparsable": LOST}
    assert any(f"{LOST} unparsable" in warning for warning in results.warnings)


def test_three_systems_have_strengths_and_sources_their_rows() -> None:
    spec = study(Protocol.PAIRWISE, ("ours", "second", "third"))
    results = results_of(spec, judged(spec))
    assert {each.system for each in results.strengths} == {"ours", "second", "third"}
    assert {pair.source for pair in results.pairs_by_source} == {"authored", "reddit"}
    per_source = [
        pair.summary.win.n for pair in results.pairs_by_source if (pair.second, pair.judge) == ("third", "crowd")
    ]
    assert sum(per_source) == PROMPTS


def test_what_is_worth_reading_comes_first() -> None:
    turns = (Turn(role="user", content="ask"),)
    item = Item("i", "p", 0, 0, ("a", "b"), turns, (turns, turns), "", (), True)
    base = Verdict("p", ("a", "b"), "j", "llm", preference=1.0, item="clear")
    flipped = [replace(base, item="flip"), replace(base, item="flip", preference=0.0, first_on_a=False)]
    split = [replace(base, item="split"), replace(base, item="split", judge="k", preference=0.0)]
    items = [replace(item, id=name) for name in ("unseen", "clear", "flip", "split")]
    readings = choose(items, [base, *flipped, *split])
    assert [each.item.id for each in readings] == ["split", "flip", "clear"]
    assert [each.why for each in readings] == [
        "judges disagree",
        "the verdict changed with the sides",
        "a won every verdict",
    ]


def test_an_order_that_no_file_tells_is_not_shown() -> None:
    """AlpacaEval's annotations do not say which answer stood on side A."""
    spec = study(Protocol.PAIRWISE, ("ours", "theirs"))
    turns = (Turn(role="user", content="ask"),)
    items = [Item(f"i{n}", f"p{n}", 0, 0, ("ours", "theirs"), turns, (turns, turns), "", (), True) for n in range(2)]
    base = Verdict("p0", ("ours", "theirs"), "imported", "llm", preference=1.0, first_on_a=False, item="i0")
    verdicts = [
        base,
        replace(base, item="i1"),
        replace(base, judge="model"),
        replace(base, judge="ann", judge_kind="human"),
        replace(base, judge="both orders"),
        replace(base, judge="both orders", item="i1", first_on_a=True),
    ]
    results = results_of(spec, judged(spec))
    whole = document(stored(spec), results, choose(items, verdicts), provenance(spec), {})
    shown = {(v["judge"], v["first_on_a"]) for reading in whole["readings"] for v in reading["verdicts"]}
    assert shown == {
        ("imported", None),
        ("model", False),
        ("ann", False),
        ("both orders", False),
        ("both orders", True),
    }
    assert render_page(whole, []).count("not known") == 2


def test_judges_in_one_figure_share_its_axis() -> None:
    """The same score stands at the same height, whoever gave it."""
    nan = float("nan")
    drawn = svg.lines(
        "title",
        "examples",
        [
            svg.Series("low", ((1.0, 1.0, nan, nan), (2.0, 3.0, nan, nan))),
            svg.Series("high", ((1.0, 3.0, nan, nan), (2.0, 6.0, nan, nan))),
        ],
    )
    circles = [
        (element.attrib["cx"], element.attrib["cy"])
        for element in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}circle")
    ]
    (_, second_of_low, first_of_high, _) = circles
    assert second_of_low[1] == first_of_high[1]
