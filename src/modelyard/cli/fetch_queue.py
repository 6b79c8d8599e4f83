"""What `modelyard fetch` and `modelyard mirror` share: they do fetches in this process, beside a running server.

Whoever takes a job first does it: this process or a server on the same home. A job of a process that is killed is
taken by another one. Only this process does the jobs of a mirror, which has a rate of its own.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import click

from modelyard import errors
from modelyard.cli import background, context, output
from modelyard.cli.progress import Bar, Progress
from modelyard.client.bandwidth import BandwidthLimit
from modelyard.covers import Covers
from modelyard.fetches.fetches import describe_state
from modelyard.fetches.sources import describe_source
from modelyard.jobs import tasks
from modelyard.jobs.kinds import Resources
from modelyard.jobs.worker import name_process
from modelyard.settings import Settings
from modelyard.store import Store, fetches, jobs
from modelyard.store.fetches import DONE, OPEN, Fetch
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.uploads.verification import UploadVerifier

AT_ONCE = 4
_VERIFIERS = 2
_PAUSE_SECONDS = 0.2
# What a command waits for its threads to stop where they can continue.
_STOP_SECONDS = 0.8


class FetchQueue:
    """The fetches that a command follows, and the threads that do them."""

    def __init__(
        self, config: Settings, store: Store, *, as_json: bool, rate: int | None = None, total_count: int | None = None
    ) -> None:
        self._config = config
        self._store = store
        self._as_json = as_json
        self._stop = threading.Event()
        limit = BandwidthLimit(rate, sleep=self._stop.wait) if rate else None
        self._pace = limit.take if limit else None
        self._kinds = tasks.MIRROR if total_count is not None else tasks.FETCHER
        self._total_count = total_count
        self._open: dict[str, Fetch] = {}
        self._bars: dict[str, Bar] = {}
        self._count_bar: Bar | None = None
        self._progress = Progress()
        self._results: list[dict[str, Any]] = []
        self._present_count = self._done_count = self._failed_count = 0

    @property
    def summary(self) -> str:
        """How many files were fetched, were here before, and were refused."""
        parts = [f"{self._done_count:,} fetched"]
        parts += [f"{self._present_count:,} were here"] if self._present_count else []
        parts += [f"{self._failed_count:,} refused"] if self._failed_count else []
        return ", ".join(parts)

    def follow(self, fetch: Fetch) -> None:
        """Wait for the end of a fetch, later."""
        self._open[fetch.id] = fetch

    def note_present(self, source: str, problem: errors.ModelExists) -> None:
        """Note a file that is here."""
        self._present_count += 1
        self._results.append({"source": source, "model": problem.facts.get("model"), "state": "here"})
        if not self._as_json:
            output.remark(f"{source}: {problem.message}")

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Do fetches and verifications in threads of this process until the block ends."""
        threads = [*self._start(self._kinds, AT_ONCE), *self._start(tasks.VERIFIER, _VERIFIERS)]
        with self._progress as progress:
            if self._total_count is not None:
                self._count_bar = progress.add_bar("mirroring", self._total_count, "files")
            try:
                yield
            except KeyboardInterrupt:
                progress.warn(f"Interrupted: {self.summary}. Run the command again for the others.")
                raise
            finally:
                self._stop.set()
                for thread in threads:
                    thread.join(_STOP_SECONDS / len(threads))
                # The next command does not wait for the leases of threads that could not stop in time.
                with contextlib.suppress(errors.Unavailable), self._store.transaction() as transaction:
                    jobs.release(transaction.connection, name_process(), transaction.now)

    def _start(self, process: str, count: int) -> list[threading.Thread]:
        # They are daemons: a command that is interrupted does not wait for slow hosts.
        storage = context.open_storage(self._config)
        resources = Resources(
            self._store,
            UploadVerifier(
                self._store,
                storage.kept,
                storage.incoming,
                serves_suspicious=self._config.suspicious_files == "served",
                requires_signature=self._config.require_signature == "yes",
            ),
            UploadCleaner(self._store, storage.kept, storage.incoming),
            Covers(self._store, storage.kept, storage.incoming),
            fetcher=context.create_fetcher(self._config, self._store, pace=self._pace),
        )
        return background.start_threads(self._config, process, resources, self._stop, count)

    def wait(self, below: int = 1) -> None:
        """Wait until fewer than ``below`` fetches are open; write the result of each that ends."""
        while len(self._open) >= below:
            with self._store.reading() as connection:
                current = fetches.by_ids(connection, [*self._open])
            for fetch_id in [*self._open]:
                fetch = current.get(fetch_id)
                if fetch is not None and fetch.state == OPEN:
                    self._show(fetch)
                    continue
                self._note_end(self._open.pop(fetch_id), fetch)
            if len(self._open) >= below:
                self._stop.wait(_PAUSE_SECONDS)

    def _show(self, fetch: Fetch) -> None:
        before = self._open[fetch.id]
        self._open[fetch.id] = fetch
        if fetch.problem and fetch.problem != before.problem:
            self._progress.warn(f"{describe_source(fetch.source)}: {fetch.problem}")
        if self._total_count is None and fetch.size_bytes is not None:
            if fetch.id not in self._bars:
                self._bars[fetch.id] = self._progress.add_bar(describe_source(fetch.source), None, "bytes")
            self._bars[fetch.id].set(fetch.received_bytes, fetch.size_bytes)

    def _note_end(self, before: Fetch, fetch: Fetch | None) -> None:
        """Note and write what became of a fetch."""
        source = describe_source(before.source)
        state = "cancelled" if fetch is None else describe_state(fetch)
        problem = "" if fetch is None or state == DONE else fetch.problem
        is_done = state == DONE
        self._done_count += is_done
        self._failed_count += not is_done
        self._results.append({"source": source, "model": before.model_id, "state": state, "problem": problem})
        if fetch is not None and fetch.id in self._bars and fetch.size_bytes:
            self._bars[fetch.id].set(fetch.size_bytes, fetch.size_bytes)
        if self._count_bar is not None:
            self._count_bar.advance(1)
        if not is_done:
            self._progress.warn(f"{source}: {state}: {problem}" if problem else f"{source}: {state}")
        elif not self._as_json and self._total_count is None:
            click.echo(output.printable(f"{source}: model {before.model_id}"))

    def finish(self) -> int:
        """Write the results as JSON if the command has --json, and return the exit code."""
        if self._as_json:
            output.write_json(self._results)
        return 1 if self._failed_count else 0
