"""`lima studies split`: which prompts are far from everything that was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.commands.judging_shared import StudyArgument, call
from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, message_to_dict, next_commands, note, table

if TYPE_CHECKING:
    from services.cli.client import Services

# The sentence model reads some ten to a hundred prompts a second, and all of the training set.
SECONDS = 1800
app = typer.Typer(add_completion=False)


@app.command(
    "split",
    short_help="Find prompts unlike the training set",
    help=with_examples(
        "Show how near each prompt is to its nearest training example, and keep your decision with --confirm.",
        "lima studies split NAME --dataset s3://lima/datasets/small/1f…",
        "lima studies split NAME --dataset s3://lima/datasets/small/1f… --confirm --inside p17 --outside p3",
    ),
)
def split(
    name: StudyArgument,
    dataset: Annotated[str, typer.Option(help="URI of the data set that was trained on.")],
    threshold: Annotated[
        float | None, typer.Option(help="Less similar prompts are proposed as out of distribution.")
    ] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Keep it: results are broken down by it.")] = False,
    outside: Annotated[list[str] | None, typer.Option(help="This prompt is out of distribution after all.")] = None,
    inside: Annotated[list[str] | None, typer.Option(help="This prompt is in distribution after all.")] = None,
    as_json: JsonOption = False,
) -> None:
    from lima.judging.v1 import judging_pb2

    async def act(services: Services) -> Any:
        study = f"studies/{name}"
        found = await services.judging.ProposeSplit(
            judging_pb2.ProposeSplitRequest(name=study, dataset_uri=dataset, threshold=threshold), timeout=SECONDS
        )
        if not confirm:
            return found
        proposed = {each.prompt_id for each in found.prompts if each.out_of_distribution}
        request = judging_pb2.ConfirmSplitRequest(name=study, dataset_uri=dataset, threshold=threshold)
        request.out_of_distribution.extend(sorted((proposed | set(outside or [])) - set(inside or [])))
        return await services.judging.ConfirmSplit(request, timeout=SECONDS)

    found = call(act)

    def show() -> None:
        rows = [
            [
                each.prompt_id,
                f"{each.similarity:.2f}",
                "out" if each.out_of_distribution else "in",
                " ".join(each.text.split())[:50],
                " ".join(each.nearest_text.split())[:50],
            ]
            for each in found.prompts
        ]
        table(["prompt", "similarity", "distribution", "begins", "nearest training example"], rows)
        note(f"{found.method}; proposed below {found.threshold:g}")

    emit(message_to_dict(found), as_json, show)
    again = f"lima studies split {name} --dataset {dataset} --confirm"
    next_commands(f"lima report {name}" if confirm else again)
