"""`lima train answers|select`: choosing which checkpoint of a run is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, next_commands, table

if TYPE_CHECKING:
    from training_jobs.run_folder import RunFolder

app = typer.Typer(add_completion=False)

Output = Annotated[str, typer.Option(help="Where runs lie, if not in the stack's store.")]


def open_run(run: str, output: str) -> RunFolder:
    from services.cli.client import client_settings
    from services.shared.errors import NotFound
    from training_jobs.run_folder import RunFolder

    folder = RunFolder.open(run, output, client_settings())
    if folder.read_json("run.json") is None:
        raise NotFound("run", run, remedy="lima train list shows the runs there are")
    return folder


@app.command(
    short_help="Choose a run's checkpoint and record why",
    help=with_examples(
        "Choose the checkpoint to serve, between epochs 5 and 10 unless said otherwise, and record the evidence.",
        "lima train select quickstart-tuned --metric perplexity",
        "lima train select quickstart-tuned --epoch 7 --note 'read 50 answers side by side'",
        "lima train select quickstart-tuned --study studies/dev-epochs    by a judge study",
        "lima train select quickstart-tuned --register tuned    what was chosen before, for inference to serve",
    ),
)
def select(
    run: str,
    metric: Annotated[str, typer.Option(help="perplexity, loss or training_loss: the lowest wins.")] = "",
    epoch: Annotated[int, typer.Option(min=0, help="Chosen by people.")] = 0,
    study: Annotated[str, typer.Option(help="A study whose systems are this run's epochs.")] = "",
    note: Annotated[str, typer.Option(help="Why, in words; recorded.")] = "",
    window: Annotated[str, typer.Option(help="First and last epoch to choose from.")] = "5-10",
    register: Annotated[str, typer.Option(help="Register the checkpoint for inference, as a model of this name.")] = "",
    output: Output = "",
    as_json: JsonOption = False,
) -> None:
    from services.cli.client import client_settings
    from training_jobs import selection

    folder = open_run(run, output)
    window_ = selection.parse_window(window)
    before = selection.recorded(folder) if register and not (metric or epoch or study) else None
    if before is not None:
        chosen = before
    elif study:
        chosen = selection.by_study(folder, study, window_, client_settings())
    elif epoch:
        chosen = selection.by_people(folder, epoch, note)
    else:
        chosen = selection.by_metric(folder, metric or "perplexity", window_)
    if chosen is not before:
        selection.record(folder, chosen)
    if register:
        from training_jobs.registration import register as hand_over

        chosen = hand_over(folder, chosen, register, client_settings())
    served = f", registered as {chosen.model}" if chosen.model else ""
    emit(chosen.model_dump(mode="json"), as_json, lambda: print(f"{chosen.checkpoint}: {chosen.reason}{served}"))
    if register:
        next_commands(f"lima models load {register}")
    else:
        next_commands(f"lima train select {run} --register NAME")


@app.command(
    short_help="Print what an epoch's checkpoint answered to dev prompts",
    help=with_examples(
        "Print what an epoch's checkpoint answered to dev prompts (evaluation.answers), to choose one by reading.",
        "lima train answers quickstart-tuned --epoch 7",
    ),
)
def answers(
    run: str,
    epoch: Annotated[int, typer.Option(min=0, help="Left out, the last one that answered.")] = 0,
    output: Output = "",
    as_json: JsonOption = False,
) -> None:
    from services.shared.errors import NotFound

    found = open_run(run, output).answers(epoch)
    if not found:
        raise NotFound("answers of", f"{run}, epoch {epoch or 'any'}", remedy="set evaluation.answers in its spec")
    emit(
        [answer.model_dump(mode="json") for answer in found],
        as_json,
        lambda: table(
            ["prompt", "answer", "ended by"],
            [[answer.messages[-1].content, answer.response, answer.finish_reason] for answer in found],
        ),
    )
    next_commands(f"lima train select {run} --epoch N --note WHY")
