"""How results look: tables and JSON on standard output, remarks on standard error."""

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import click
import msgspec
from rich import box, filesize
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelyard.cli import options
from modelyard.domain import DATE_SECONDS_MAX

_WIDTH_MAX = 1_000_000

INTERRUPTED = "Interrupted. Progress is saved; run the command again to continue."


def write_json(value: object) -> None:
    """Write a value as one JSON document on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def write_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: Iterable[str] = (),
    prose: Iterable[str] = (),
) -> None:
    """Write rows under headings on standard output; columns named in ``numeric`` are aligned to the right.

    A value is never broken, so that it can be copied. On a terminal the columns named in ``prose`` wrap between words.
    In a pipe each row is one line.
    """
    # Text, not markup: a model may be called "[red]".
    cells = [[Text(printable(cell)) for cell in row] for row in rows]
    console = Console(highlight=False, markup=False)
    numeric_headings, prose_headings = set(numeric), set(prose) if console.is_terminal else set()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, heading in enumerate(headings):
        wraps = heading in prose_headings
        texts = [heading, *(row[number].plain for row in cells)]
        pieces = [word for text in texts for word in text.split()] if wraps else texts
        table.add_column(
            heading,
            justify="right" if heading in numeric_headings else "left",
            overflow="fold",
            no_wrap=not wraps,
            min_width=max(map(cell_len, pieces), default=0),
        )
    for row in cells:
        table.add_row(*row)
    # A terminal continues a longer row on its next line, and copies it as one.
    needed = table.__rich_measure__(console, console.options.update(width=_WIDTH_MAX))
    width = max(console.width, needed.minimum) if console.is_terminal else needed.maximum
    Console(highlight=False, markup=False, width=width).print(table)


def write_paragraph(text: str) -> None:
    """Write a text on standard output: on a terminal in lines that end between words, in a pipe as one line."""
    console, shown = Console(), printable(text)
    if console.is_terminal:
        # A long word, such as the name of a tensor, is not broken, so that it can be copied.
        shown = textwrap.fill(shown, console.width, subsequent_indent="  ", break_long_words=False)
    click.echo(shown)


def printable(text: str) -> str:
    """Return ``text`` without characters that move a terminal's cursor or change its colours: names are untrusted."""
    return "".join(c if c.isprintable() else "�" for c in text)


def remark(text: str) -> None:
    """Write a line on standard error, unless the command has ``--quiet``."""
    if not options.is_quiet():
        warn(text)


def warn(text: str) -> None:
    """Write a problem as a line on standard error."""
    click.echo(printable(text), err=True)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 model``, ``1,200 models``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def describe_status(status: int) -> str:
    """Say whether a model can be used."""
    return "available" if status else "unavailable"


def format_size(size_bytes: int | None) -> str:
    """Return a number of bytes in a decimal unit, empty for None."""
    return "" if size_bytes is None else filesize.decimal(size_bytes)


def format_time(seconds: int | None) -> str:
    """Return Unix seconds as a date and a time in UTC, empty for None."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(min(seconds, DATE_SECONDS_MAX), UTC).strftime("%Y-%m-%d %H:%M")
