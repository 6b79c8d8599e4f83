"""What `modelyard pull` and `modelyard push` share: their options, and several transfers at once with a bar each."""

import errno
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click
import msgspec

from modelyard import errors
from modelyard.cli import output
from modelyard.cli.progress import Progress
from modelyard.client import Client

THREADS = 4

F = TypeVar("F", bound=Callable[..., Any])
OnBytes = Callable[[int, int], None]


class _InterruptedError(Exception):
    """The user pressed Ctrl-C."""


def _read_url(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    """Return the address of a server; ``host:port`` means HTTP."""
    url = text if "://" in text else f"http://{text}"
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in ("http", "https") or not rest.strip("/"):
        raise click.BadParameter(f"{text!r} is not accepted; accepted: http://HOST[:PORT] or https://HOST[:PORT]")
    return url


def server_options(command: F) -> F:
    """Add ``--url`` and ``--key``."""
    command = click.option(
        "--url",
        envvar="MODELYARD_URL",
        default="http://127.0.0.1:8080",
        show_default=True,
        callback=_read_url,
        help="The server.",
    )(command)
    return click.option("--key", envvar="MODELYARD_KEY", default="", help="The API key.  [env: MODELYARD_KEY]")(command)


def _explain(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
        return "the disk is full; free some space and run the command again"
    return str(getattr(problem, "message", problem))


class Transfers:
    """Transfers that run at the same time, each with its own connection and its own bar."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        self._stop = threading.Event()
        self._finished_names: list[str] = []

    def run(self, names: Sequence[str], transfer: Callable[[Client, str, OnBytes], str]) -> int:
        """Run ``transfer`` for each name, write the lines that it returns, and return the exit code.

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
                progress.remark(f"Interrupted: {done}. Run the command again for the others.")
                raise
        return 0 if len(self._finished_names) == len(names) else 1

    def _transfer(self, name: str, transfer: Callable[[Client, str, OnBytes], str], progress: Progress) -> None:
        bar = progress.add_bar(name, None, "bytes")

        def show_bytes(count: int, size_bytes: int) -> None:
            if self._stop.is_set():
                raise _InterruptedError
            bar.set(count, size_bytes)

        try:
            with Client(self._url, self._key, sleep=self._stop.wait) as client:
                result = transfer(client, name, show_bytes)
            click.echo(output.printable(result))
            self._finished_names.append(name)
        except _InterruptedError:
            return
        except (errors.ModelyardError, OSError, msgspec.MsgspecError) as problem:
            progress.remark(f"{name}: {_explain(problem)}")
