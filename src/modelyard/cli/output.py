"""How results look: tables and JSON on standard output, remarks on standard error."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelyard.domain import DATE_SECONDS_MAX

# A pipe or a file has no width. This is wide enough for whole names.
_PIPE_WIDTH = 400

INTERRUPTED = "Interrupted. Progress is saved; run the command again to continue."


def write_json(value: object) -> None:
    """Write a value as one JSON document on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def write_table(headings: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[str] = ()) -> None:
    """Write rows under headings on standard output; columns named in ``numeric`` are aligned to the right."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_PIPE_WIDTH)
    numeric_headings = set(numeric)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numeric_headings else "left", overflow="fold")
    for row in rows:
        # Text, not markup: a model may be called "[red]".
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)


def printable(text: str) -> str:
    """Return ``text`` without characters that move a terminal's cursor or change its colours: names are untrusted."""
    return "".join(c if c.isprintable() else "�" for c in text)


def remark(text: str) -> None:
    """Write a line on standard error."""
    click.echo(printable(text), err=True)


def format_time(seconds: int | None) -> str:
    """Return Unix seconds as a date and a time in UTC, empty for None."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(min(seconds, DATE_SECONDS_MAX), UTC).strftime("%Y-%m-%d %H:%M")
