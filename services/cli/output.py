"""What commands print: plain tables, JSON for scripts, progress on stderr, and the next command to try."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FILE_COLUMNS = 400

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def emit(value: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print `value` as JSON if asked to, else call `show` to print it for people."""
    if as_json:
        print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
    else:
        show()


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print a plain table. Numbers are set right, texts left; "" stands for what is unknown."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        # Text, not str: a bracket in a prompt is not markup.
        drawn.add_row(*(Text(cell(value)) for value in row))
    # A file or a pipe is as wide as the table: what folds at 80 columns is hard to read and to search.
    console = Console(width=None if sys.stdout.isatty() else FILE_COLUMNS)
    if title:
        console.print(Text(title, style="bold"))
    console.print(drawn)


def cell(value: object) -> str:
    """One value as a person reads it.

    >>> cell(0.123456), cell(None), cell(3)
    ('0.123', '', '3')
    """
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def next_commands(*commands: str) -> None:
    """Suggest what to try next, on stderr so that pipes stay clean."""
    if commands:
        print("\nnext:", *(f"  {command}" for command in commands), sep="\n", file=sys.stderr)


def note(text: str) -> None:
    """A line about what is going on, on stderr."""
    print(text, file=sys.stderr)


class Progress(Protocol):
    """A bar, or nothing at all where nobody is looking."""

    def update(self, stage: str, done: int, total: int, unit: str = "") -> None: ...


class SilentProgress:
    """Where stderr is no terminal: one line per stage, so that a log still shows where things are."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.stage = ""

    def update(self, stage: str, done: int, total: int, unit: str = "") -> None:
        if stage and stage != self.stage:
            self.stage = stage
            note(f"{self.title}: {stage}")


class BarProgress:
    def __init__(self, title: str, bar: Any) -> None:
        self.title = title
        self.bar = bar
        self.task = bar.add_task(title, total=None, detail="")

    def update(self, stage: str, done: int, total: int, unit: str = "") -> None:
        detail = f"{done}/{total} {unit}" if total else f"{done} {unit}" if done else ""
        description = f"{self.title}: {stage}" if stage else self.title
        self.bar.update(self.task, completed=done, total=total or None, description=description, detail=detail)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A progress bar on stderr; without a terminal, a line per stage."""
    if not sys.stderr.isatty():
        yield SilentProgress(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield BarProgress(title, bar)


def message_to_dict(message: Any) -> Mapping[str, Any]:
    """A protobuf message in its JSON form, with the names that the .proto files and YAML use."""
    from google.protobuf.json_format import MessageToDict

    value: Mapping[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return value
