"""Peers' files through the server: answers become response sets, verdicts find their items."""

from __future__ import annotations

import json
import os
from pathlib import Path

import grpc
import pytest

from lima.judging.v1 import judging_pb2, study_pb2
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore
from services.shared.rpc.status import to_error
from tests.service.judging.conftest import Judging, spec

REPOSITORY = Path(__file__).parents[3]


def put(store: ObjectStore, name: str, records: list[dict[str, object]]) -> str:
    store.put_bytes(f"imports/{name}", json.dumps(records).encode())
    return store.uri(f"imports/{name}")


PAIRS = [
    {"idx": n, "instruction": f"ask {n}", "input": "", "response1": "yes", "response2": "no!", "cmp_key": "x_y",
     "annotator1": 1, "annotator2": 1 + n % 2, "annotator3": 0}
    for n in range(6)
]  # fmt: skip


async def import_responses(judging: Judging, uri: str, form: str) -> dict[str, str]:
    request = judging_pb2.ImportResponsesRequest(source_uri=uri, format=form)
    found = await judging.judging.ImportResponses(request)
    assert not found.problems
    return {system.name: system.responses_uri for system in found.systems}


async def import_verdicts(judging: Judging, study: str, uri: str, form: str) -> judging_pb2.ImportVerdictsResponse:
    request = judging_pb2.ImportVerdictsRequest(name=study, source_uri=uri, format=form)
    return await judging.judging.ImportVerdicts(request)


async def create(judging: Judging, name: str, systems: dict[str, str], **fields: object) -> str:
    request = judging_pb2.CreateStudyRequest(spec=spec(name, systems, judges=[], **fields))
    return (await judging.judging.CreateStudy(request)).name


async def test_a_peers_study_is_rebuilt_from_its_files(judging: Judging) -> None:
    uri = put(judging.store, "pairs.json", PAIRS)
    systems = await import_responses(judging, uri, "pandalm")
    study = await create(judging, "pandalm", systems)
    outcome = await import_verdicts(judging, study, uri, "pandalm")
    assert (outcome.imported, outcome.skipped) == (18, 0)
    again = await import_verdicts(judging, study, uri, "pandalm")
    assert (again.imported, again.skipped) == (0, 18)

    results = await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=study))
    (pair,) = results.pairs
    assert (pair.judge, pair.win.n, pair.wins) == ("crowd", 6, 3)
    (reliability,) = results.reliabilities
    assert reliability.group == "crowd"
    progress = await judging.judging.GetStudyProgress(judging_pb2.GetStudyProgressRequest(name=study))
    assert [(each.judge, each.kind, each.done) for each in progress.judges] == [
        (f"annotator{n}", "human", 6) for n in (1, 2, 3)
    ]


async def test_a_study_the_other_way_round_gets_mirrored_verdicts(judging: Judging) -> None:
    uri = put(judging.store, "pairs.json", PAIRS)
    systems = await import_responses(judging, uri, "pandalm")
    study = await create(judging, "mirrored", dict(reversed(systems.items())))
    await import_verdicts(judging, study, uri, "pandalm")
    results = await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=study))
    assert (results.pairs[0].first, results.pairs[0].losses) == ("response2", 3)


async def test_what_is_exported_comes_back(judging: Judging) -> None:
    uri = put(judging.store, "pairs.json", PAIRS)
    systems = await import_responses(judging, uri, "pandalm")
    source = await create(judging, "source", systems)
    await import_verdicts(judging, source, uri, "pandalm")
    before = await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=source))
    for form in ("lima-jsonl", "lima-csv", "mt-bench", "alpaca-eval"):
        request = judging_pb2.ExportVerdictsRequest(name=source, format=form)
        exported = await judging.judging.ExportVerdicts(request)
        assert exported.exported == 18
        copy = await create(judging, f"copy-{form}", systems)
        outcome = await import_verdicts(judging, copy, exported.uri, form)
        assert (outcome.imported, outcome.skipped) == (18, 0)
        after = await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=copy))
        if form.startswith("lima"):
            assert after.pairs == before.pairs
        else:
            # The format does not tell people from models, so each annotator stands alone.
            assert [pair.judge for pair in after.pairs] == ["annotator1", "annotator2", "annotator3"]
            assert [pair.wins for pair in after.pairs] == [6, 3, 0]


async def test_verdicts_that_fit_nothing_are_named(judging: Judging) -> None:
    systems = await import_responses(judging, put(judging.store, "pairs.json", PAIRS), "pandalm")
    study = await create(judging, "strangers", systems)
    strangers = put(judging.store, "strangers.json", [{**PAIRS[0], "idx": 77, "instruction": "unknown"}, {"idx": 1}])
    outcome = await import_verdicts(judging, study, strangers, "pandalm")
    assert (outcome.imported, outcome.skipped) == (0, 4)
    assert any("no item for prompt '77'" in problem for problem in outcome.problems)

    request = judging_pb2.ImportVerdictsRequest(
        name=study, source_uri=strangers, format="pandalm", systems=["response1", "nobody"]
    )
    with pytest.raises(grpc.RpcError) as caught:
        await judging.judging.ImportVerdicts(request)
    error = to_error(caught.value)
    assert isinstance(error, InvalidInput)
    assert "nobody" in str(error)


@pytest.fixture
def pandalm() -> Path:
    folder = Path(os.environ.get("LIMA_REAL_DATA") or REPOSITORY / "../shared/data").resolve() / "pandalm"
    if not folder.is_dir():
        pytest.skip(f"the real data is not at {folder}: set LIMA_REAL_DATA to its folder")
    return folder


async def test_the_real_pandalm_study(judging: Judging, pandalm: Path) -> None:
    files = {}
    for name in ("testset-v1.json", "gpt-3.5-turbo-testset-v1.json", "pandalm-7b-testset-v1.json"):
        judging.store.put_file(f"imports/{name}", pandalm / name)
        files[name] = judging.store.uri(f"imports/{name}")
    systems = await import_responses(judging, files["testset-v1.json"], "pandalm")
    study = await create(judging, "real", systems, human=study_pb2.HumanSpec(groups={"annotator3": "author"}))
    imported = [(await import_verdicts(judging, study, uri, "pandalm")).imported for uri in files.values()]
    assert imported == [2997, 999, 999]

    results = await judging.judging.GetResults(judging_pb2.GetResultsRequest(name=study))
    assert {pair.judge: dict(pair.win.excluded) for pair in results.pairs}["gpt"] == {"unparsable": 25}
    within = next(each for each in results.agreements if (each.first, each.second) == ("crowd", "crowd"))
    assert within.tie_discounted.value == pytest.approx(0.9304, abs=5e-5)
