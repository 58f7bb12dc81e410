"""`lima datasets`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.client import call
from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, message_to_dict, next_commands, note, progress, table
from services.cli.pages import every

if TYPE_CHECKING:
    from services.cli.client import Services

app = typer.Typer(
    help=with_examples(
        "Datasets: immutable, each named by what it was made from.",
        "lima datasets list",
        "lima datasets show quickstart",
        "lima datasets funnel quickstart",
    ),
    no_args_is_help=True,
    add_completion=False,
)

DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="A name (its newest version), NAME/DIGEST, or datasets/NAME/DIGEST.")
]


def full_name(dataset: str) -> str:
    """
    >>> full_name("quickstart"), full_name("quickstart/ab12")
    ('datasets/quickstart/latest', 'datasets/quickstart/ab12')
    """
    name = dataset.removeprefix("datasets/")
    return f"datasets/{name}" if "/" in name else f"datasets/{name}/latest"


def show_dataset(dataset: Any) -> None:
    rows = [
        [row.source, row.split, row.examples, round(row.mean_prompt_tokens), round(row.mean_response_tokens)]
        for row in dataset.statistics
    ]
    table(["source", "split", "examples", "prompt tokens", "response tokens"], rows, title=dataset.name)
    note(f"{dataset.diversity_metric}: {dataset.diversity:.1f}")


@app.command("list", short_help="List datasets", help=with_examples("List datasets.", "lima datasets list"))
def list_datasets(as_json: JsonOption = False) -> None:
    from lima.curation.v1.curation_pb2 import ListDatasetsRequest

    async def work(services: Services) -> Any:
        return await every(services.curation.ListDatasets, ListDatasetsRequest(), "datasets")

    found = call(work)

    def show() -> None:
        rows = [
            [d.name.split("/")[1], d.digest[:12], *(d.split_counts[s] for s in ("train", "dev", "test"))] for d in found
        ]
        table(["dataset", "digest", "train", "dev", "test"], rows)
        next_commands("lima datasets show NAME")

    emit([message_to_dict(dataset) for dataset in found], as_json, show)


@app.command("corpora", short_help="List corpora", help=with_examples("List corpora.", "lima datasets corpora"))
def list_corpora(as_json: JsonOption = False) -> None:
    from lima.curation.v1.curation_pb2 import ListCorporaRequest

    async def work(services: Services) -> Any:
        return await every(services.curation.ListCorpora, ListCorporaRequest(), "corpora")

    found = call(work)

    def show() -> None:
        table(
            ["corpus", "digest", "files", "bytes"], [[c.name, c.digest[:12], c.file_count, c.size_bytes] for c in found]
        )

    emit([message_to_dict(corpus) for corpus in found], as_json, show)


@app.command(
    "show", short_help="One dataset's Table 1", help=with_examples("Show a dataset.", "lima datasets show quickstart")
)
def show_one(dataset: DatasetArgument, as_json: JsonOption = False) -> None:
    from lima.curation.v1.curation_pb2 import GetDatasetRequest

    async def work(services: Services) -> Any:
        return await services.curation.GetDataset(GetDatasetRequest(name=full_name(dataset)))

    found = call(work)
    emit(message_to_dict(found), as_json, lambda: show_dataset(found))


@app.command(
    short_help="Read a dataset's examples",
    help=with_examples(
        "Print examples, filtered by split, source or words.",
        "lima datasets examples quickstart --split test",
        'lima datasets examples quickstart --query "coffee" --limit 3',
    ),
)
def examples(
    dataset: DatasetArgument,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "",
    source: Annotated[str, typer.Option(help="Only this source.")] = "",
    query: Annotated[str, typer.Option(help="Only examples that hold these words.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 10,
    as_json: JsonOption = False,
) -> None:
    from lima.curation.v1.curation_pb2 import ListExamplesRequest

    request = ListExamplesRequest(parent=full_name(dataset), split=split, source=source, query=query)

    async def work(services: Services) -> Any:
        return await every(services.curation.ListExamples, request, "examples", limit)

    found = call(work)

    def show() -> None:
        for example in found:
            print(f"── {example.id}  [{example.split}]  {example.attribution.licence}")
            for message in example.messages:
                print(f"{message.role}: {message.content}\n")
        if found:
            next_commands(f"lima datasets lineage {dataset} {found[0].id}")

    emit([message_to_dict(example) for example in found], as_json, show)


@app.command(
    short_help="Where an example came from",
    help=with_examples("Trace an example to its row and the steps since.", "lima datasets lineage quickstart EXAMPLE"),
)
def lineage(
    dataset: DatasetArgument, example: Annotated[str, typer.Argument(metavar="EXAMPLE")], as_json: JsonOption = False
) -> None:
    from lima.curation.v1.curation_pb2 import GetLineageRequest

    async def work(services: Services) -> Any:
        return await services.curation.GetLineage(GetLineageRequest(name=f"{full_name(dataset)}/examples/{example}"))

    found = call(work)

    def show() -> None:
        print(found.example.id)
        print(f"  {found.corpus} {found.corpus_digest[:12]}, {found.file}, byte {found.offset}, row {found.row_id}")
        for step in found.steps:
            print(f"  → {step.detail}")
        made = found.example.attribution
        print(f"  {made.author}, {made.licence}, {made.url}")

    emit(message_to_dict(found), as_json, show)


@app.command(
    short_help="What each filter removed",
    help=with_examples(
        "Show how many candidates each filter removed, with samples.",
        "lima datasets funnel quickstart",
        "lima datasets funnel queues/quickstart --samples",
    ),
)
def funnel(
    dataset: DatasetArgument,
    samples: Annotated[bool, typer.Option("--samples", help="Also show some of what was removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    from lima.curation.v1.curation_pb2 import GetFunnelRequest

    name = dataset if dataset.startswith("queues/") else full_name(dataset)

    async def work(services: Services) -> Any:
        return await services.curation.GetFunnel(GetFunnelRequest(name=name))

    found = call(work)

    def show() -> None:
        rows = [
            [source.source, step.filter, step.entered, step.removed]
            for source in found.sources
            for step in source.steps
        ]
        table(["source", "filter", "entered", "removed"], rows)
        for source in found.sources if samples else ():
            for step in source.steps:
                for sample in step.samples:
                    print(f"{source.source} / {step.filter}: {sample.candidate_id}: {sample.reason}")
                    print(f"    {sample.excerpt[:160]}")

    emit(message_to_dict(found), as_json, show)


@app.command(
    short_help="Write a dataset for other tools",
    help=with_examples(
        "Export a dataset to a prefix of the store and fetch it.",
        "lima datasets export quickstart ./quickstart --format hf",
        "lima datasets export quickstart ./quickstart --format parquet",
    ),
)
def export(
    dataset: DatasetArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An empty or absent local folder.")],
    form: Annotated[
        str, typer.Option("--format", help="jsonl, parquet or hf (a Hugging Face datasets folder).")
    ] = "jsonl",
    as_json: JsonOption = False,
) -> None:
    from lima.curation.v1.curation_pb2 import ExportDatasetRequest, ExportDatasetResult, GetDatasetRequest
    from services.shared.errors import InvalidInput

    forms: dict[str, Any] = {"jsonl": "FORMAT_JSONL", "parquet": "FORMAT_PARQUET", "hf": "FORMAT_HF_DATASETS"}
    if form not in forms:
        raise InvalidInput("--format", form, f"must be one of {', '.join(forms)}")

    async def work(services: Services) -> Any:
        found = await services.curation.GetDataset(GetDatasetRequest(name=full_name(dataset)))
        place = services.store.uri(f"exports/{found.name.split('/')[1]}-{found.digest[:12]}-{form}")
        request = ExportDatasetRequest(name=found.name, format=forms[form], destination_uri=place)
        operation = await services.curation.ExportDataset(request)
        with progress(f"export {dataset}") as bar:
            result = await services.follow("curation", operation, ExportDatasetResult(), bar)
        await asyncio.to_thread(services.store.get_folder, services.store.key(result.uri), folder)
        return result

    result = call(work)
    emit(message_to_dict(result), as_json, lambda: print(f"{result.file_count} files in {folder}, and at {result.uri}"))
