"""Progress bars on a terminal: rate and time left."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from modelyard.cli.output import printable, remark


class _Rate(ProgressColumn):
    """How many models a second."""

    def render(self, task: Task) -> Text:
        elapsed_seconds = task.elapsed or 0.0
        models = int(task.fields["models"])
        rate = f"{models / elapsed_seconds:,.0f}/s" if elapsed_seconds > 0.2 else ""
        return Text(f"{models:,} models {rate}")


class Meter:
    """Counts models and, of a known whole, how much has been used; draws where there is a terminal."""

    def __init__(self, progress: Progress | None, whole: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=whole, models=0) if progress else None
        self._models = 0

    def used(self, amount: int) -> None:
        """Say that so much more of the whole is used up."""
        if self._progress and self._task is not None:
            self._progress.advance(self._task, amount)

    def model(self) -> None:
        """Say that one more model is done."""
        self._models += 1
        if self._progress and self._task is not None and self._models % 64 == 0:
            self._progress.update(self._task, models=self._models)

    def models(self, count: int) -> None:
        """Say that so many more models are done, where models are what the whole is counted in."""
        self._models += count
        if self._progress and self._task is not None:
            self._progress.update(self._task, models=self._models, advance=count)


@contextlib.contextmanager
def metered(doing: str, whole: int | None) -> Iterator[tuple[Meter, Callable[[str], None]]]:
    """Give a meter, and a function that writes a remark without tearing the bar.

    ``whole`` is the amount that makes it complete, None where that cannot be known.
    """
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield Meter(None, whole), remark
        return
    columns = [TextColumn(doing), BarColumn(), _Rate()]
    if whole is not None:
        columns.append(TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield Meter(progress, whole), lambda text: console.print(Text(printable(text)))


@contextlib.contextmanager
def metered_bytes(doing: str, whole: int) -> Iterator[Callable[[int], None] | None]:
    """Give a function that is told of bytes done, drawn as a bar with rate and time left; None without a terminal."""
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal or not whole:
        yield None
        return
    columns = [TextColumn(doing), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=whole)
        yield lambda count: progress.advance(task, count)


class Bars:
    """Files done of a known number, and bytes of a known amount, with rate and time left."""

    def __init__(self, progress: Progress, doing: str) -> None:
        self._progress = progress
        self._doing = doing
        self._files: TaskID | None = None
        self._bytes: TaskID | None = None

    def expect(self, files: int, size_bytes: int) -> None:
        """Say how much there is to do; bytes only if any are to be counted."""
        self._files = self._progress.add_task(f"{self._doing}, {files:,} in all", total=files, visible=not size_bytes)
        if size_bytes:
            self._bytes = self._progress.add_task(f"hashing {files:,} files", total=size_bytes)

    def used(self, count: int) -> None:
        """Say that so many more bytes are done."""
        if self._bytes is not None:
            self._progress.advance(self._bytes, count)

    def done(self) -> None:
        """Say that one more file is done."""
        if self._files is not None:
            self._progress.advance(self._files, 1)

    def tell(self, text: str) -> None:
        """Write a remark without tearing the bars."""
        self._progress.console.print(Text(printable(text)))


class _Amount(ProgressColumn):
    """How many bytes a second, or how many of how many files."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes, self._speed = DownloadColumn(), TransferSpeedColumn()

    def render(self, task: Task) -> Text:
        if task.total is not None and task.description.startswith("hashing"):
            return Text.assemble(self._bytes.render(task), " ", self._speed.render(task))
        return Text(f"{int(task.completed):,}/{int(task.total or 0):,}")


@contextlib.contextmanager
def bars(doing: str) -> Iterator[Bars | None]:
    """Give bars for files and bytes; None without a terminal."""
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield None
        return
    columns = [TextColumn("{task.description}"), BarColumn(), _Amount(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bars(progress, doing)
