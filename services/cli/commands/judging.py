"""`lima judge`, `lima studies`, `lima agree`, `lima report`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.commands.judging_files import app as files_app
from services.cli.commands.judging_shared import StudyArgument, call, show_results, with_interval
from services.cli.commands.judging_split import app as split_app
from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, message_to_dict, next_commands, note, progress, table

if TYPE_CHECKING:
    from services.cli.client import Services

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=with_examples(
        "Studies: their results, verdicts and files.",
        "lima studies list",
        "lima studies show tuned-vs-base",
        "lima studies import tuned-vs-base annotations.json --format alpaca-eval",
    ),
)
app.add_typer(files_app)
app.add_typer(split_app)


@app.command(
    help=with_examples(
        "Compare response sets: make a study, ask its judges, print the results. Run again, it asks nothing twice.",
        "lima judge tuned-vs-base --system tuned=s3://lima/responses/1f….jsonl \\",
        "    --system base=s3://lima/responses/9c….jsonl --judge smollm2-135m --logprobs",
        "lima judge quality --protocol likert --system tuned=1f… --judge gpt",
        "lima judge by-people --system a=1f… --system b=9c… --people 2",
    ),
)
def judge(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the study.")],
    system: Annotated[list[str], typer.Option("--system", help="NAME=RESPONSES: a URI or digest of a response set.")],
    judges: Annotated[list[str] | None, typer.Option("--judge", help="Model that judges, by name.")] = None,
    protocol: Annotated[
        str, typer.Option(help="pairwise, likert, absolute, safety, dialogue_turn, dialogue_pair")
    ] = "pairwise",
    logprobs: Annotated[bool, typer.Option("--logprobs", help="Judge by log-probabilities, without parsing.")] = False,
    one_order: Annotated[bool, typer.Option("--one-order", help="Do not ask with the sides swapped.")] = False,
    concurrency: Annotated[int, typer.Option(help="Calls under way at once.")] = 4,
    people: Annotated[int, typer.Option(help="People that see each item.")] = 1,
    seed: Annotated[int, typer.Option(help="Decides sides and order.")] = 0,
    as_json: JsonOption = False,
) -> None:
    from services.shared.errors import InvalidInput

    systems = {name: responses for name, _, responses in (part.partition("=") for part in system)}
    if not all(systems.values()):
        raise InvalidInput("--system", system, "must be NAME=RESPONSES", "see what there is: lima generate --list")
    settings = {"use_logprobs": logprobs, "both_orders": not one_order, "concurrency": concurrency}
    asked = [{"name": model.rpartition("/")[2] or model, "model": model, **settings} for model in judges or []]
    fields = {"name": name, "protocol": protocol, "judges": asked, "seed": seed, "human": {"overlap": people}}
    asyncio.run(_judge(fields, systems, as_json))


async def _judge(fields: dict[str, Any], systems: dict[str, str], as_json: bool) -> None:
    from google.protobuf.json_format import ParseDict

    from lima.judging.v1 import judging_pb2, study_pb2
    from services.cli.client import connect
    from services.shared.errors import InvalidInput

    protocols = {value.removeprefix("PROTOCOL_").lower(): value for value in study_pb2.Protocol.keys()[1:]}
    if fields["protocol"] not in protocols:
        raise InvalidInput("--protocol", fields["protocol"], f"must be one of {', '.join(protocols)}")
    spec = ParseDict({**fields, "protocol": protocols[fields["protocol"]]}, study_pb2.StudySpec())
    async with connect() as services:
        for system, responses in systems.items():
            spec.systems.add(name=system, responses_uri=_responses_uri(services, responses))
        study = await services.judging.CreateStudy(judging_pb2.CreateStudyRequest(spec=spec))
        if not spec.judges:
            note(f"{study.name} waits for people: {study.item_count} items, each seen by {spec.human.overlap or 1}")
            emit(message_to_dict(study), as_json, lambda: None)
            next_commands("lima console open", f"lima studies show {spec.name}")
            return
        with progress(spec.name) as bar:
            operation = await services.judging.RunStudy(judging_pb2.RunStudyRequest(name=study.name))
            results = await services.follow("judging", operation, judging_pb2.Results(), bar)
        study = await services.judging.GetStudy(judging_pb2.GetStudyRequest(name=study.name))
    emit(message_to_dict(results), as_json, lambda: show_results(results))
    if study.state_message:
        note(study.state_message)
    note(_spent(study.ledger))
    next_commands(f"lima report {spec.name}", f"lima agree {spec.name}", f"lima studies verdicts {spec.name}")


def _spent(ledger: Any) -> str:
    """What a study's judges used since it was made, in words."""
    return (
        f"{ledger.calls} calls ({ledger.cached_calls} from the cache), {ledger.prompt_tokens} prompt and "
        f"{ledger.completion_tokens} completion tokens, {ledger.cost_usd:.2f} USD"
    )


def _responses_uri(services: Services, responses: str) -> str:
    if "://" in responses:
        return responses
    return services.store.uri(f"responses/{responses.rpartition('/')[2]}.jsonl")


@app.command(
    help=with_examples(
        "Write a study's report: report.html, report.json, figures and verdicts in the store; a copy of the page here.",
        "lima report tuned-vs-base",
        "lima report tuned-vs-base --output comparison.html",
    ),
)
def report(
    name: StudyArgument,
    output: Annotated[Path | None, typer.Option(help="Where the page goes; NAME.html if not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    from lima.judging.v1 import judging_pb2

    async def act(services: Services) -> Any:
        with progress(name) as bar:
            request = judging_pb2.CreateReportRequest(name=f"studies/{name}")
            operation = await services.judging.CreateReport(request)
            made = await services.follow("judging", operation, judging_pb2.Report(), bar)
        page = output or Path(f"{name}.html")
        await asyncio.to_thread(services.store.download, services.store.key(made.html_uri), page)
        return {**message_to_dict(made), "page": str(page)}

    value = call(act)
    emit(value, as_json, lambda: table(["report", "place"], [["page", value["page"]], ["data", value["json_uri"]]]))
    next_commands(f"open {value['page']}", f"lima studies export {name} --format lima-csv")


@app.command(
    help=with_examples(
        "How far judges agree: LIMA's tie-discounted agreement, Cohen's kappa, and agreement within groups.",
        "lima agree tuned-vs-base",
    ),
)
def agree(name: StudyArgument, as_json: JsonOption = False) -> None:
    results = _results(name)

    def show() -> None:
        rows = [
            [a.first, a.second, a.tie_discounted.n, *with_interval(a.tie_discounted), a.kappa.value]
            for a in results.agreements
        ]
        if rows:
            table(["between", "and", "n", "agreement", "95% interval", "kappa"], rows)
        within = [[r.group, r.fleiss_kappa.value, r.krippendorff_alpha.value] for r in results.reliabilities]
        if within:
            table(["within", "Fleiss' kappa", "Krippendorff's alpha"], within)
        if not rows:
            note("no two judges have judged the same items yet")

    emit(message_to_dict(results)["agreements"] if results.agreements else [], as_json, show)
    next_commands(f"lima report {name}")


@app.command("list", short_help="List the studies", help=with_examples("List the studies.", "lima studies list"))
def list_studies(as_json: JsonOption = False) -> None:
    from lima.judging.v1 import judging_pb2, study_pb2

    async def act(services: Services) -> list[Any]:
        found: list[Any] = []
        token = ""
        while True:
            request = judging_pb2.ListStudiesRequest(page_size=200, page_token=token)
            page = await services.judging.ListStudies(request)
            found += page.studies
            if not (token := page.next_page_token):
                return found

    found = call(act)

    def show() -> None:
        rows = []
        for study in found:
            state = study_pb2.Study.State.Name(study.state).removeprefix("STATE_").lower()
            systems = ", ".join(system.name for system in study.spec.systems)
            rows.append([study.name.removeprefix("studies/"), state, systems, study.item_count, study.verdict_count])
        table(["study", "state", "systems", "items", "verdicts"], rows)

    emit([message_to_dict(study) for study in found], as_json, show)
    next_commands("lima studies show STUDY")


@app.command(
    "show",
    short_help="Show a study's results",
    help=with_examples("Show a study's results, with their intervals.", "lima studies show NAME"),
)
def show_study(name: StudyArgument, as_json: JsonOption = False) -> None:
    results = _results(name)
    emit(message_to_dict(results), as_json, lambda: show_results(results))
    next_commands(f"lima studies progress {name}", f"lima report {name}")


@app.command(
    "progress",
    short_help="How far judges and annotators are",
    help=with_examples("How far judges and annotators are.", "lima studies progress NAME"),
)
def show_progress(name: StudyArgument, as_json: JsonOption = False) -> None:
    from lima.judging.v1 import judging_pb2

    request = judging_pb2.GetStudyProgressRequest(name=f"studies/{name}")
    found = call(lambda services: services.judging.GetStudyProgress(request))

    def show() -> None:
        rows = [[j.judge, j.kind, j.done, j.total or None, j.unparsable, j.failed] for j in found.judges]
        table(["judge", "kind", "done", "of", "unparsable", "failed"], rows)
        if found.annotators:
            people = [[a.annotator, a.done, a.skipped, a.remaining, a.median_seconds] for a in found.annotators]
            table(["annotator", "done", "skipped", "remaining", "median seconds"], people)

    emit(message_to_dict(found), as_json, show)


@app.command(
    "verdicts",
    short_help="List single verdicts",
    help=with_examples("List single verdicts.", "lima studies verdicts NAME --state unparsable"),
)
def list_verdicts(
    name: StudyArgument,
    judge_name: Annotated[str, typer.Option("--judge", help="Only this judge's.")] = "",
    state: Annotated[str, typer.Option(help="ok, unparsable, failed or skipped")] = "",
    limit: Annotated[int, typer.Option(help="At most this many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    from lima.judging.v1 import judging_pb2, study_pb2

    request = judging_pb2.ListVerdictsRequest(parent=f"studies/{name}", judge=judge_name, state=state, page_size=limit)
    found = call(lambda services: services.judging.ListVerdicts(request)).verdicts

    def show() -> None:
        rows = []
        for verdict in found:
            first, *second = verdict.systems
            outcomes = {study_pb2.CHOICE_WIN: first, study_pb2.CHOICE_LOSE: second[0] if second else ""}
            winner = outcomes.get(verdict.choice)
            answer = (f"{winner} wins" if winner else "neither") if second else verdict.label
            shown = answer if verdict.state == "ok" else verdict.state
            rows.append([verdict.id, verdict.prompt_id, verdict.judge, shown, verdict.reasoning[:60]])
        table(["verdict", "prompt", "judge", "says", "because"], rows)

        if len(found) == limit:
            note(f"the first {limit}; --limit shows more")

    emit([message_to_dict(verdict) for verdict in found], as_json, show)


@app.command(
    "delete",
    short_help="Delete a study with its verdicts",
    help=with_examples("Delete a study with its verdicts.", "lima studies delete NAME --yes"),
)
def delete(
    name: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    from lima.judging.v1 import judging_pb2

    if not yes:
        typer.confirm(f"Delete study {name} with all verdicts?", abort=True)
    request = judging_pb2.DeleteStudyRequest(name=f"studies/{name}")
    study = call(lambda services: services.judging.DeleteStudy(request))
    emit(message_to_dict(study), as_json, lambda: note(f"deleted {name} and its {study.verdict_count} verdicts"))


def _results(name: str) -> Any:
    from lima.judging.v1 import judging_pb2

    request = judging_pb2.GetResultsRequest(name=f"studies/{name}", current=True)
    return call(lambda services: services.judging.GetResults(request, timeout=300))
