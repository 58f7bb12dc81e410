"""`lima up`, `lima status`, `lima down`, `lima doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, next_commands, note, progress, table

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command(
    short_help="Start the stack on this machine and keep it running",
    help=with_examples(
        "Start an S3 server, a local Ray, and the services on loopback, and leave them running.",
        "lima up",
        "lima up --port-base 7500    where the usual ports are taken",
    ),
)
def up(
    port_base: Annotated[
        int | None, typer.Option("--port-base", help="First of a block of ports; 0 takes free ones. Usually 7400.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    from services.cli.client import state_dir
    from services.cli.stack.components import COMPONENTS
    from services.cli.stack.stack import Stack
    from services.shared.errors import FailedPrecondition

    stack = Stack(state_dir())
    if stack.is_whole():
        raise FailedPrecondition(
            f"the stack of {stack.layout.state_dir} is running already",
            remedy="lima status shows it; lima down stops it",
        )
    with progress("starting") as bar:
        started: list[str] = []
        for index, name in enumerate(COMPONENTS):
            bar.update(name, index, len(COMPONENTS), "programs")
            started += stack.start(name, port_base=port_base)
    statuses = stack.status()
    emit({"started": started, "components": [asdict(row) for row in statuses]}, as_json, lambda: show(statuses))
    next_commands("lima status", "lima run experiments/quickstart.yaml", "lima down")


@app.command(
    short_help="Say what runs and where",
    help=with_examples("Say what runs, on which port, and how much memory it holds.", "lima status"),
)
def status(as_json: JsonOption = False) -> None:
    from services.cli.client import state_dir
    from services.cli.stack.stack import Stack

    statuses = Stack(state_dir()).status()
    emit([asdict(row) for row in statuses], as_json, lambda: show(statuses))
    if all(row.state in ("stopped", "elsewhere") for row in statuses):
        next_commands("lima up")


@app.command(
    short_help="Stop the stack, and with --purge remove its data",
    help=with_examples(
        "Stop the stack. With --purge, remove the state directory with all data in it.",
        "lima down",
        "lima down --purge --yes",
    ),
)
def down(
    purge: Annotated[bool, typer.Option("--purge", help="Remove all data of the stack as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before removing.")] = False,
    as_json: JsonOption = False,
) -> None:
    from services.cli.client import state_dir
    from services.cli.stack.stack import Stack

    stack = Stack(state_dir())
    if purge and not yes:
        typer.confirm(f"Remove everything in {stack.layout.state_dir.resolve()}?", abort=True)
    stopped = stack.stop()
    if purge:
        stack.purge()
    value = {"stopped": stopped, "purged": purge}
    emit(value, as_json, lambda: note(f"stopped: {', '.join(stopped) or 'nothing was running'}"))


@app.command(
    short_help="Say what is missing on this machine and how to get it",
    help=with_examples("Check this machine: Python, packages, memory, disk, ports, compiler.", "lima doctor"),
)
def doctor(as_json: JsonOption = False) -> None:
    from services.cli.client import state_dir
    from services.cli.stack.doctor import examine

    findings = examine(state_dir())

    def show_findings() -> None:
        table(["", "what", "found", "remedy"], [[f.mark, f.what, f.found, f.remedy] for f in findings])

    emit([asdict(finding) for finding in findings], as_json, show_findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
    next_commands("lima run experiments/quickstart.yaml")


def show(statuses: list) -> None:  # type: ignore[type-arg]
    table(
        ["component", "state", "port", "pid", "MiB"],
        [
            [row.name, row.state, row.port, row.pid, round(row.resident_mib) if row.resident_mib else None]
            for row in statuses
        ],
    )
