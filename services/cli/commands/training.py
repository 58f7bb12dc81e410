"""`lima train run|plan|status|logs|cancel|select`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.commands import training_choice
from services.cli.commands.training_choice import Output, open_run
from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, next_commands, progress, table

if TYPE_CHECKING:
    from services.shared.records import RunStatus
    from training_jobs.run_folder import RunFolder

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(training_choice.app)

Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Override one setting.")]
SpecFile = Annotated[Path, typer.Argument(help="YAML or JSON file with the run's settings.")]


@app.command(
    short_help="Fine-tune here, on a local Ray or in one process",
    help=with_examples(
        "Fine-tune on this machine and follow it to its end. The same command continues a run that was interrupted.",
        "lima train run spec.yaml",
        "lima train run spec.yaml --set recipe.epochs=3 --set compute.workers=2",
        "lima train run spec.yaml --engine bare    without Ray and DeepSpeed",
    ),
)
def run(
    spec: SpecFile,
    overrides: Overrides = None,
    engine: Annotated[str, typer.Option(help="ray or bare.")] = "",
    as_json: JsonOption = False,
) -> None:
    from services.cli.client import client_settings
    from services.shared.settings import PREFIX
    from training_jobs.spec import load_spec

    changes = [*(overrides or []), *([f"compute.engine={engine}"] if engine else [])]
    resolved = load_spec(spec, tuple(changes))
    settings = client_settings()
    folder = _run_folder(resolved.run, resolved.output)
    command = [sys.executable, "-m", "training_jobs", "run", "--spec-env", "LIMA_TRAINING_SPEC"]
    environment = _environment(settings, PREFIX) | {"LIMA_TRAINING_SPEC": resolved.model_dump_json()}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    status = _follow(child, folder)
    if status is None:
        raise typer.Exit(1)
    emit(status.model_dump(mode="json"), as_json, lambda: _show(folder, status))
    next_commands(f"lima train logs {resolved.run}", f"lima train select {resolved.run}")


def _run_folder(run: str, output: str) -> RunFolder:
    from services.cli.client import client_settings
    from training_jobs.run_folder import RunFolder

    return RunFolder.open(run, output, client_settings())


def _environment(settings: Any, prefix: str) -> dict[str, str]:
    """The stack's settings for a child, so that it finds the same store."""
    import os

    values = {"STATE_DIR": str(settings.state_dir.absolute())}
    for name in ("endpoint", "access_key", "bucket", "region"):
        values[f"OBJECT_STORE_{name.upper()}"] = str(getattr(settings, f"object_store_{name}"))
    values["OBJECT_STORE_SECRET_KEY"] = settings.object_store_secret_key.get_secret_value()
    return os.environ | {prefix + name: value for name, value in values.items()}


def _follow(child: subprocess.Popen[str], folder: RunFolder) -> RunStatus | None:
    """Show progress until the child ends. Returns the final status, or None when it failed (and said why)."""
    from services.shared.errors import LimaError

    assert child.stderr is not None
    with progress(f"run {folder.run}") as bar:
        while True:
            try:
                _, errors = child.communicate(timeout=1.0)
                break
            except subprocess.TimeoutExpired:
                status = folder.status()
                if status is not None:
                    loss = "" if status.loss is None else f"loss {status.loss:.3f}"
                    bar.update(loss or status.phase.value, status.step, status.total_steps, "steps")
            except KeyboardInterrupt:
                # Its state is saved first; it says so itself when it ends.
                child.terminate()
    if child.returncode:
        reason = [line for line in errors.splitlines() if line.startswith(("error: ", "stopped: ", "remedy: "))]
        raise LimaError("\n".join(reason) or f"the run ended with exit code {child.returncode}")
    return folder.status()


@app.command(
    short_help="Say what a run needs: memory, traffic, time",
    help=with_examples(
        "Say how much memory each worker needs, what travels and how long it takes, before anything starts.",
        "lima train plan spec.yaml",
        "lima train plan spec.yaml --device-memory 80GB --set compute.workers=16",
    ),
)
def plan(
    spec: SpecFile,
    overrides: Overrides = None,
    device_memory: Annotated[
        str, typer.Option(help="What one worker has, as in 80GB: exit code 1 if it is less.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    from services.cli.client import client_settings
    from training_jobs.planning import plan_report
    from training_jobs.spec import load_spec

    report = plan_report(load_spec(spec, tuple(overrides or [])), client_settings(), device_memory)
    emit(report.as_json(), as_json, lambda: print("\n".join(report.lines())))
    if not report.fits:
        raise typer.Exit(1)
    next_commands(f"lima train run {spec}")


@app.command(
    name="list",
    short_help="List the runs in the store",
    help=with_examples(
        "List the runs in the store, with phase and progress.", "lima train list", "lima train list --json"
    ),
)
def list_runs(output: Output = "", as_json: JsonOption = False) -> None:
    from services.cli.client import client_settings
    from training_jobs.run_folder import RunFolder
    from training_jobs.storage import locate

    settings = client_settings()
    storage, prefix = locate(output or f"s3://{settings.object_store_bucket}/runs", settings)
    found = [(name, RunFolder(storage, f"{prefix}/{name}", name).status()) for name in storage.list_folders(prefix)]
    rows = [
        [name, status.phase, f"{status.step}/{status.total_steps}", status.loss, status.last_checkpoint]
        for name, status in found
        if status is not None
    ]
    values = [status.model_dump(mode="json") for _, status in found if status is not None]
    emit(values, as_json, lambda: table(["run", "phase", "steps", "loss", "last checkpoint"], rows))


@app.command(
    short_help="Say how far a run is",
    help=with_examples("Say how far a run is, its loss, and what it left.", "lima train status quickstart-tuned"),
)
def status(run: str, output: Output = "", as_json: JsonOption = False) -> None:
    folder = open_run(run, output)
    found = folder.status()
    value = found.model_dump(mode="json") if found else {"run": run, "phase": "Pending"}
    emit(value, as_json, lambda: _show(folder, found))
    next_commands(f"lima train logs {run}")


@app.command(
    short_help="Print a run's steps and evaluations",
    help=with_examples(
        "Print a run's metrics: one row per optimiser step or evaluation.",
        "lima train logs quickstart-tuned",
        "lima train logs quickstart-tuned --tail 5 --json",
    ),
)
def logs(
    run: str,
    tail: Annotated[int, typer.Option(min=0, help="Only the last rows; 0 for all.")] = 0,
    output: Output = "",
    as_json: JsonOption = False,
) -> None:
    rows = open_run(run, output).metrics()[-tail:]
    names = ["kind", "step", "epoch", "loss", "learning_rate", "gradient_norm", "tokens_per_second", "perplexity"]
    shown = [
        [f"{value:.3g}" if isinstance(value := getattr(row, name), float) else value for name in names] for row in rows
    ]
    emit([json.loads(row.model_dump_json()) for row in rows], as_json, lambda: table(names, shown))


@app.command(
    short_help="Ask a run to save its state and stop",
    help=with_examples(
        "Ask a run to save its state and stop. Starting it again continues.", "lima train cancel quickstart-tuned"
    ),
)
def cancel(run: str, output: Output = "", as_json: JsonOption = False) -> None:
    folder = open_run(run, output)
    folder.ask_to_stop("cancel")
    emit({"run": run, "asked": "cancel"}, as_json, lambda: print(f"run {run} stops after its current step"))
    next_commands(f"lima train status {run}")


def _show(folder: RunFolder, status: RunStatus | None) -> None:
    if status is None:
        print(f"run {folder.run}: not started")
        return
    rows: list[list[object]] = [
        ["phase", status.phase.value],
        ["steps", f"{status.step} of {status.total_steps}"],
        ["epochs", f"{status.epoch} of {status.total_epochs}"],
        ["loss", status.loss],
        ["tokens per second", status.tokens_per_second],
        ["seconds left", status.eta_seconds],
        ["checkpoints", ", ".join(folder.checkpoint_names())],
        ["selected", status.selected_checkpoint],
        ["restarts", status.restarts],
        ["message", status.message],
    ]
    table(["", folder.run], [row for row in rows if row[1] not in (None, "")])
