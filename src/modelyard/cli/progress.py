"""Progress on a terminal: how much is done, at which rate, and the time left. Without a terminal nothing is drawn."""

from types import TracebackType
from typing import Self

from rich import filesize, progress
from rich.console import Console
from rich.text import Text

from modelyard.cli import options, output

# An update for every item would take longer than the item.
_ITEMS_PER_UPDATE = 64


class _AmountColumn(progress.ProgressColumn):
    """How much is done, of how much, and how much in a second."""

    def render(self, task: progress.Task) -> Text:
        unit, items = task.fields["unit"], task.fields["items"]
        rate = task.speed if items is None else items / max(task.elapsed or 0.0, 0.2)
        amounts = [task.completed, *([] if task.total is None else [task.total])] if items is None else [items]
        if unit == "bytes":
            text = "/".join(filesize.decimal(int(amount)) for amount in amounts)
            return Text(text if rate is None else f"{text} {filesize.decimal(int(rate))}/s")
        text = "/".join(f"{int(amount):,}" for amount in amounts)
        return Text(f"{text} {unit}" if rate is None else f"{text} {unit} {rate:,.0f}/s")


class Bar:
    """One bar of a progress display; without a terminal it does nothing."""

    def __init__(
        self, display: progress.Progress | None, text: str, total: int | None, unit: str, items: int | None
    ) -> None:
        self._display = display
        self._task = display.add_task(text, total=total, unit=unit, items=items) if display else progress.TaskID(0)
        self._items = 0

    def advance(self, amount: int) -> None:
        """Add to the amount that is done."""
        if self._display:
            self._display.advance(self._task, amount)

    def set(self, amount: int, total: int) -> None:
        """Set the amount that is done, and the total."""
        if self._display:
            self._display.update(self._task, completed=amount, total=total)

    def count_item(self) -> None:
        """Count an item, for a bar with items."""
        self._items += 1
        if self._display and self._items % _ITEMS_PER_UPDATE == 0:
            self._display.update(self._task, items=self._items)


class Progress:
    """Bars on standard error while the block runs, and remarks that do not tear them."""

    def __init__(self) -> None:
        console = Console(stderr=True, highlight=False, markup=False)
        columns = (
            # A file may be called "[red]".
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            _AmountColumn(),
            progress.TimeRemainingColumn(),
        )
        # Threads that write remarks have no command of their own to ask.
        self._is_quiet = options.is_quiet()
        is_shown = console.is_terminal and not self._is_quiet
        self._display = progress.Progress(*columns, console=console, transient=True) if is_shown else None

    def __enter__(self) -> Self:
        if self._display:
            self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display:
            self._display.stop()

    def add_bar(self, text: str, total: int | None, unit: str, *, with_items: bool = False) -> Bar:
        """Add a bar. ``total`` is None if nobody can know it; ``unit`` is ``bytes`` or a noun in the plural.

        With items the bar measures one thing, such as bytes, and shows the number of another, ``unit``.
        """
        return Bar(self._display, output.printable(text), total, unit, 0 if with_items else None)

    def remark(self, text: str) -> None:
        """Write a line on standard error, above the bars, unless the command has ``--quiet``."""
        if not self._is_quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Write a problem as a line on standard error, above the bars."""
        if self._display:
            self._display.console.print(Text(output.printable(text)), soft_wrap=True)
        else:
            output.warn(text)
