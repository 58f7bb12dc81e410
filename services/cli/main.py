"""`lima`: the command line. Command modules are imported when they are called, so that help is quick."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from services.cli.failure import report_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

# Command name: (module below services.cli.commands, attribute, one line for the list of commands).
# An attribute "app" is a group of subcommands; any other is a command of that group's module.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("experiments", "run", "Walk an experiment file through the whole loop"),
    "experiments": ("experiments", "app", "List and check experiment files"),
    "up": ("stack", "up", "Start the stack on this machine and keep it running"),
    "status": ("stack", "status", "Say what runs and where"),
    "down": ("stack", "down", "Stop the stack, and with --purge remove its data"),
    "doctor": ("stack", "doctor", "Say what is missing on this machine and how to get it"),
    "import": ("curation", "import", "Put dumps into the store as a corpus"),
    "curate": ("curation", "curate", "Build a dataset from corpora"),
    "datasets": ("datasets", "app", "List, read, trace and export datasets"),
    "review": ("review", "app", "Accept, reject and edit candidates in the terminal"),
    "train": ("training", "app", "Plan, start and follow fine-tuning runs"),
    "models": ("inference", "models", "Register, load and alias models"),
    "chat": ("inference", "chat", "Talk to a model, streaming"),
    "generate": ("inference", "generate", "Generate from a prompt or a prompt set"),
    "score": ("inference", "score", "Log-likelihood and perplexity of a text"),
    "judge": ("judging", "judge", "Compare response sets with judges"),
    "studies": ("judging", "app", "List and read studies"),
    "agree": ("judging", "agree", "Agreement between judges"),
    "report": ("judging", "report", "Write a study's report"),
    "console": ("console", "app", "Open the pages that people work in"),
}


def load_command(name: str) -> Any:
    """Import the module behind a command and return the command object that typer made of it."""
    module_name, attribute, _ = COMMANDS[name]
    app: typer.Typer = importlib.import_module(f"services.cli.commands.{module_name}").app
    app.rich_markup_mode = None  # plain help, and rich is not imported for it
    group = typer.main.get_command(app)
    if attribute == "app":
        # Commands that stand at the top level are not listed a second time in their module's group.
        for other, (other_module, other_attribute, _) in COMMANDS.items():
            if other_module == module_name and other_attribute != "app":
                group.commands.pop(other, None)  # type: ignore[attr-defined]
        return group
    return group.commands[attribute]  # type: ignore[attr-defined]


class LazyGroup(TyperGroup):
    """Lists commands from the table above and imports only the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(name=cmd_name, help=COMMANDS[cmd_name][2])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        if name is None:
            return name, None, rest
        return name, load_command(name), rest


HELP = """\b
Examples:
  lima run experiments/quickstart.yaml    the whole loop on the sample corpora
  lima up                                 start the stack and keep it running
  lima chat smollm2-135m                  talk to a model
  lima doctor                             what is missing here

LIMA: curate a thousand examples, fine-tune, serve, and find out honestly how good the result is.
"""

EPILOG = "Exit codes: 0 done, 1 failed, 2 bad input, 3 not found, 4 unreachable, 5 not possible now, 130 interrupted."

app = typer.Typer(
    cls=LazyGroup, help=HELP, epilog=EPILOG, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the stack trace of an error.")] = False,
) -> None:
    """Options of every command."""
    del debug  # read from the arguments by main(), so that it works wherever it stands


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; every failure becomes one message with a remedy and an exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        app(words, prog_name="lima")
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        sys.exit(report_failure(error))


if __name__ == "__main__":
    main()
