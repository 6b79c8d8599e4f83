"""What `modelyard pull` and `modelyard push` share: several transfers at once, with a bar each."""

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import click
import msgspec

from modelyard import errors
from modelyard.cli import options, output
from modelyard.cli.progress import Progress
from modelyard.cli.server import explain
from modelyard.client import Client
from modelyard.client.bandwidth import BandwidthLimit

THREADS = 4

OnBytes = Callable[[int, int], None]

limit_rate_option = click.option(
    "--limit-rate",
    "rate",
    type=options.Rate(),
    help="The most bytes in a second for all files together, such as 500k or 2.5M.",
)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file: the line for people, and the fields of the JSON."""

    line: str
    fields: dict[str, Any]


Transfer = Callable[[Client, str, OnBytes], Result]


class _InterruptedError(Exception):
    """The user pressed Ctrl-C."""


class Transfers:
    """Transfers that run at the same time, each with its own connection and its own bar."""

    def __init__(self, url: str, key: str, *, rate: int | None = None, as_json: bool = False) -> None:
        self._url, self._key, self._as_json = url, key, as_json
        self._stop = threading.Event()
        limit = BandwidthLimit(rate, sleep=self._stop.wait) if rate else None
        self._pace = limit.take if limit else None
        self._arguments: Sequence[str] = click.get_current_context().obj or ()
        self._results: dict[str, dict[str, Any]] = {}
        self._finished_names: list[str] = []

    def run(self, names: Sequence[str], transfer: Transfer) -> int:
        """Run ``transfer`` for each name, write its results, and return the exit code.

        The threads are daemons, so Ctrl-C ends the command at once. The next command continues the partial files.
        """
        names_left: queue.SimpleQueue[str] = queue.SimpleQueue()
        for name in names:
            names_left.put(name)
        with Progress() as progress:

            def work() -> None:
                with suppress(queue.Empty):
                    while True:
                        self._transfer(names_left.get_nowait(), transfer, progress)

            threads = [threading.Thread(target=work, daemon=True) for _ in range(min(THREADS, len(names)))]
            try:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            except KeyboardInterrupt:
                self._stop.set()
                with suppress(queue.Empty):
                    while True:
                        names_left.get_nowait()
                done = f"{len(self._finished_names)} of {len(names)} files are done"
                progress.warn(f"Interrupted: {done}. Run the command again for the others.")
                raise
        if self._as_json:
            output.write_json([self._results[name] for name in dict.fromkeys(names) if name in self._results])
        return 0 if len(self._finished_names) == len(names) else 1

    def _transfer(self, name: str, transfer: Transfer, progress: Progress) -> None:
        bar = progress.add_bar(name, None, "bytes")

        def show_bytes(count: int, size_bytes: int) -> None:
            if self._stop.is_set():
                raise _InterruptedError
            bar.set(count, size_bytes)

        try:
            with Client(self._url, self._key, sleep=self._stop.wait, pace=self._pace) as client:
                result = transfer(client, name, show_bytes)
            self._results[name] = {"name": name, **result.fields}
            if not self._as_json:
                click.echo(output.printable(result.line))
            self._finished_names.append(name)
        except _InterruptedError:
            return
        except (errors.ModelyardError, OSError, msgspec.MsgspecError) as problem:
            text = self._describe(problem)
            self._results[name] = {"name": name, "problem": text}
            progress.warn(f"{name}: {text}")

    def _describe(self, problem: Exception) -> str:
        if isinstance(problem, errors.InvalidRequest):
            message = options.name_option(problem, self._arguments)
            if message != problem.message:
                return f"{self._url}: {message}"
        return explain(problem, self._url)
