"""`lima review`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.client import call
from services.cli.dataset_specs import read_spec
from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, message_to_dict, next_commands, progress, table
from services.cli.pages import every

if TYPE_CHECKING:
    from services.cli.client import Services

app = typer.Typer(
    add_completion=False,
    help=with_examples(
        "The review queue: people accept, reject and edit candidates.",
        "lima review fill dataset.yaml",
        "lima review start quickstart",
        "lima review queues",
    ),
    no_args_is_help=True,
)


@app.command(
    short_help="Put the best candidates of a spec before people",
    help=with_examples("Fill the queue of a dataset; reviews that exist are kept.", "lima review fill dataset.yaml"),
)
def fill(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A DatasetSpec, or an experiment file.")],
    dataset: Annotated[str, typer.Option(help="Which dataset of an experiment file.")] = "",
    as_json: JsonOption = False,
) -> None:
    from lima.curation.v1.review_pb2 import FillQueueRequest, Queue

    spec = read_spec(file, dataset)

    async def work(services: Services) -> Any:
        operation = await services.review.FillQueue(FillQueueRequest(spec=spec))
        with progress(f"fill {spec.name}") as bar:
            return await services.follow("curation", operation, Queue(), bar)

    queue = call(work)

    def show() -> None:
        print(f"{queue.name}: {queue.progress.pending} candidates to review")
        next_commands(f"lima review start {spec.name}", f"lima datasets funnel {queue.name} --samples")

    emit(message_to_dict(queue), as_json, show)


@app.command(short_help="List queues", help=with_examples("List review queues.", "lima review queues"))
def queues(as_json: JsonOption = False) -> None:
    from lima.curation.v1.review_pb2 import ListQueuesRequest

    async def work(services: Services) -> Any:
        return await every(services.review.ListQueues, ListQueuesRequest(), "queues")

    found = call(work)

    def show() -> None:
        rows = [
            [q.name, q.progress.pending, q.progress.accepted, q.progress.rejected, q.progress.conflicting]
            for q in found
        ]
        table(["queue", "pending", "accepted", "rejected", "in conflict"], rows)
        next_commands("lima review start NAME")

    emit([message_to_dict(queue) for queue in found], as_json, show)


@app.command(
    short_help="Review candidates, one after the other",
    help=with_examples(
        "Show candidates one after the other and ask: accept, reject, edit (in $EDITOR), skip, undo, quit.",
        "lima review start quickstart",
        "lima review start quickstart --source writing-prompts",
    ),
)
def start(
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help="The name of the dataset.")],
    source: Annotated[str, typer.Option(help="Only candidates of this source.")] = "",
    reviewer: Annotated[str, typer.Option(help="Who reviews; default: the name of the token.")] = "",
    as_json: JsonOption = False,
) -> None:
    from lima.curation.v1.review_pb2 import GetReviewProgressRequest
    from services.cli.review_session import ReviewSession

    name = queue.removeprefix("queues/")

    async def work(services: Services) -> Any:
        await ReviewSession(services.review, name, source, reviewer).run()
        return await services.review.GetReviewProgress(GetReviewProgressRequest(parent=f"queues/{name}"))

    reviewed = call(work)
    emit(
        message_to_dict(reviewed),
        as_json,
        lambda: next_commands("lima curate SPEC    with `review: {required: true}` in it"),
    )
