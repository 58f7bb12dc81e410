"""`lima studies import`, `import-responses` and `export`: verdicts and answers as files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.commands.judging_shared import StudyArgument, call
from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, message_to_dict, next_commands, note, table

if TYPE_CHECKING:
    from services.cli.client import Services

app = typer.Typer(add_completion=False)

FormatOption = Annotated[
    str, typer.Option("--format", help="lima-jsonl, lima-csv, alpaca-eval, mt-bench, vicuna or pandalm")
]


@app.command(
    "import",
    short_help="Add the verdicts of a file",
    help=with_examples(
        "Add the verdicts of a file: ours, or AlpacaEval's, MT-Bench's, Vicuna's, PandaLM's.",
        "lima studies import NAME annotations.json --format alpaca-eval",
        "lima studies import NAME review.jsonl --format vicuna --system llama --system vicuna",
    ),
)
def import_verdicts(
    name: StudyArgument,
    file: Annotated[str, typer.Argument(help="A local file, or a URI in the store.")],
    form: FormatOption = "lima-jsonl",
    system: Annotated[
        list[str] | None, typer.Option("--system", help="The file's systems, as the study names them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    from lima.judging.v1 import judging_pb2

    async def act(services: Services) -> Any:
        uri = await asyncio.to_thread(_upload, services, file)
        request = judging_pb2.ImportVerdictsRequest(name=f"studies/{name}", source_uri=uri, format=form, systems=system)
        return await services.judging.ImportVerdicts(request)

    outcome = call(act)

    def show() -> None:
        note(f"{outcome.imported} verdicts imported, {outcome.skipped} left out")
        for problem in outcome.problems[:10]:
            note(f"  {problem}")

    emit(message_to_dict(outcome), as_json, show)
    next_commands(f"lima studies show {name}")


@app.command(
    "import-responses",
    short_help="Turn a peer's answers into response sets",
    help=with_examples(
        "Turn a peer's file of answers into response sets, one per system.",
        "lima studies import-responses model_outputs.json --format alpaca-eval",
        "lima studies import-responses answer.jsonl --format vicuna --prompts question.jsonl",
    ),
)
def import_responses(
    file: Annotated[str, typer.Argument(help="A local file, or a URI in the store.")],
    form: FormatOption,
    prompts: Annotated[str, typer.Option(help="The benchmark's question.jsonl.")] = "",
    as_json: JsonOption = False,
) -> None:
    from lima.judging.v1 import judging_pb2

    async def act(services: Services) -> Any:
        uri = await asyncio.to_thread(_upload, services, file)
        questions = await asyncio.to_thread(_upload, services, prompts) if prompts else ""
        request = judging_pb2.ImportResponsesRequest(source_uri=uri, format=form, prompts_uri=questions)
        return await services.judging.ImportResponses(request)

    found = call(act)

    def show() -> None:
        table(["system", "responses"], [[system.name, system.responses_uri] for system in found.systems])

    emit(message_to_dict(found), as_json, show)
    next_commands("lima judge NAME --system A=RESPONSES --system B=RESPONSES --judge MODEL")


@app.command(
    "export",
    short_help="Write verdicts to a file",
    help=with_examples("Write verdicts to a file.", "lima studies export NAME --format lima-csv"),
)
def export(
    name: StudyArgument,
    form: Annotated[str, typer.Option("--format", help="lima-jsonl, lima-csv, alpaca-eval or mt-bench")] = "lima-jsonl",
    output: Annotated[Path | None, typer.Option(help="The file to write.")] = None,
    as_json: JsonOption = False,
) -> None:
    from lima.judging.v1 import judging_pb2

    async def act(services: Services) -> Any:
        request = judging_pb2.ExportVerdictsRequest(name=f"studies/{name}", format=form)
        done = await services.judging.ExportVerdicts(request)
        place = output or Path(f"{name}-{done.uri.rpartition('/')[2]}")
        await asyncio.to_thread(services.store.download, services.store.key(done.uri), place)
        return {**message_to_dict(done), "file": str(place)}

    value = call(act)
    emit(value, as_json, lambda: note(f"{value.get('exported', 0)} verdicts in {value['file']}"))


def _upload(services: Services, file: str) -> str:
    """The URI of a file: as it is, or that of a copy in the store named by its content."""
    from services.shared.digest import digest_file
    from services.shared.errors import InvalidInput

    if "://" in file:
        return file
    if not Path(file).is_file():
        raise InvalidInput("FILE", file, "must be a file, or a URI in the store")
    key = f"imports/{digest_file(file)[:16]}/{Path(file).name}"
    services.store.put_file(key, file)
    return services.store.uri(key)
