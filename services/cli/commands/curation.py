"""`lima import` and `lima curate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.client import call
from services.cli.commands.datasets import show_dataset
from services.cli.dataset_specs import read_spec
from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, message_to_dict, next_commands, progress, table
from services.shared.errors import NotFound

if TYPE_CHECKING:
    from services.cli.client import Services

app = typer.Typer(add_completion=False)


@app.command(
    "import",
    short_help="Put dumps into the store as a corpus",
    help=with_examples(
        "Upload a folder or file of raw dumps, or let the server fetch it, and import it as an immutable corpus.",
        "lima import stackexchange ~/dumps/stackexchange",
        "lima import stackexchange experiments/sample_corpora/stackexchange",
        "lima import coffee https://archive.org/download/stackexchange/coffee.stackexchange.com.7z",
        "lima import stackexchange s3://bucket/dumps/stackexchange",
    ),
)
def import_corpus(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the corpus: a-z, 0-9 and -.")],
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder or file here, or an http(s):// or s3:// address.")
    ],
    as_json: JsonOption = False,
) -> None:
    from services.cli.corpora import import_address, import_folder

    remote = source.startswith(("http://", "https://", "s3://"))
    if not remote and not Path(source).exists():
        raise NotFound("folder or file", source)

    async def work(services: Services) -> Any:
        with progress(f"import {name}") as bar:
            if remote:
                return await import_address(services, name, source, bar)
            return await import_folder(services, name, Path(source), bar)

    corpus = call(work)

    def show() -> None:
        table(
            ["corpus", "digest", "files", "bytes"],
            [[corpus.name, corpus.digest[:12], corpus.file_count, corpus.size_bytes]],
        )
        next_commands("lima curate SPEC", "lima datasets corpora")

    emit(message_to_dict(corpus), as_json, show)


@app.command(
    short_help="Build a dataset from corpora",
    help=with_examples(
        "Build the dataset of a spec, or return the one that exists for the same inputs.",
        "lima curate dataset.yaml",
        "lima curate experiments/quickstart.yaml --dataset quickstart",
        "lima curate dataset.yaml --resolve    only say what would be built",
    ),
)
def curate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A DatasetSpec, or an experiment file.")],
    dataset: Annotated[str, typer.Option(help="Which dataset of an experiment file.")] = "",
    resolve: Annotated[
        bool, typer.Option("--resolve", help="Say its name and whether it exists; build nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    from lima.curation.v1.curation_pb2 import BuildDatasetRequest, Dataset, ResolveDatasetRequest

    spec = read_spec(file, dataset)

    async def work(services: Services) -> Any:
        if resolve:
            return await services.curation.ResolveDataset(ResolveDatasetRequest(spec=spec))
        operation = await services.curation.BuildDataset(BuildDatasetRequest(spec=spec))
        with progress(f"curate {spec.name}") as bar:
            return await services.follow("curation", operation, Dataset(), bar)

    made = call(work)

    def show() -> None:
        if resolve:
            print(f"{made.name}: {'exists' if made.exists else 'not built yet'}")
            return
        show_dataset(made)
        next_commands(f"lima datasets examples {spec.name}", f"lima datasets funnel {spec.name}")

    emit(message_to_dict(made), as_json, show)
