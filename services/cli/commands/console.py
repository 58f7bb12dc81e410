"""`lima console`: open the pages that people work in, and invite people to them."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, next_commands

app = typer.Typer(invoke_without_command=True, add_completion=False)


@app.callback(
    help=with_examples(
        "Start the console of the local stack where it does not run, and print a link that signs you in once.",
        "lima console",
        "lima console invite mina                  a link that lets mina in once, as an annotator",
        "lima console invite vera --role viewer",
    ),
)
def console(context: typer.Context, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is not None:
        return
    import getpass

    from services.cli.client import state_dir
    from services.cli.stack.stack import Stack

    Stack(state_dir()).start("console")
    name = getpass.getuser()
    link = invitation_link(name, "operator")
    emit({"link": link, "name": name, "role": "operator"}, as_json, lambda: print(link))
    next_commands("lima console invite NAME", "lima status")


@app.command(
    short_help="Make a one-time link that lets somebody in",
    help=with_examples(
        "Make a link that lets one person in once, within seven days, under a name and a role that they cannot change.",
        "lima console invite mina",
        "lima console invite vera --role viewer",
    ),
)
def invite(
    name: Annotated[str, typer.Argument(help="The name that stands beside what they decide.")],
    role: Annotated[str, typer.Option("--role", help="viewer, annotator or operator.")] = "annotator",
    as_json: JsonOption = False,
) -> None:
    link = invitation_link(name, role)
    emit({"link": link, "name": name, "role": role}, as_json, lambda: print(link))
    next_commands("lima console")


def invitation_link(name: str, role: str) -> str:
    """A link signed by the console's own program: of the local stack, or of the environment's settings."""
    import os
    import subprocess
    import sys

    from services.cli.client import state_dir
    from services.cli.stack.components import COMPONENTS, listening
    from services.cli.stack.stack import Stack
    from services.shared.errors import FailedPrecondition

    stack = Stack(state_dir())
    file = stack.file()
    told = stack.environment() | listening(COMPONENTS["console"], file.ports) if file else {}
    command = [sys.executable, "-m", "services.console", "invite", name, role]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=False)
    if done.returncode:
        message = done.stderr.strip().removeprefix("console: ") or "the console gave no link"
        raise FailedPrecondition(message, remedy="lima console --help shows how it is called")
    return done.stdout.strip()
