"""What tests of fetches share: a server with files that misbehaves as told, and the work of the fetcher."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard import blobs
from modelyard.fetches import Fetcher, Fetches, Hosts
from modelyard.jobs import tasks
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.worker import Worker
from modelyard.outbound import AddressPolicy, Limits, Outbound, origin_of
from modelyard.retry import RetryPolicy
from modelyard.store import jobs
from modelyard.store.fetches import Fetch
from modelyard.uploads.uploads import UploadLimits, Uploads
from modelyard.uploads.verification import UploadVerifier
from tests.app_fixture import App
from tests.upstream import Upstream

# The settings of a server that may fetch from servers of tests.
LOCAL = {"outbound_allow_http": "yes", "outbound_networks": "127.0.0.0/8"}
NO_WAIT = RetryPolicy(attempts_max=4, wait_seconds_first=0.0, wait_seconds_max=0.0, retry_after_seconds_max=0.0)
HERE_KINDS = (jobs.FETCH, jobs.MIRROR, jobs.CHECK)


class Fetching:
    """Fetches of a home, done in this process when a test says so."""

    def __init__(
        self,
        yard: App,
        home: Path,
        upstream: Upstream,
        *,
        tokens: dict[str, str] | None = None,
        quota_bytes: int = 0,
        upload_bytes_max: int = 10**9,
        policy: RetryPolicy = NO_WAIT,
        limits: Limits | None = None,
        requires_signature: bool = False,
    ) -> None:
        storage = blobs.open_storage("", home, os.environ)
        origin = origin_of(upstream.url)
        addresses = AddressPolicy(origins={origin})
        outbound = Outbound(addresses, tokens or {})
        self.hosts = Hosts(upstream.url, upstream.url)
        received = Uploads(
            yard.store, storage.kept, storage.incoming, UploadLimits(upload_bytes_max, 100, quota_bytes, 3600)
        )
        self.yard = yard
        self.incoming = storage.incoming
        self.fetches = Fetches(yard.store, storage.kept, storage.incoming, addresses)
        self.fetcher = Fetcher(
            yard.store,
            storage.kept,
            storage.incoming,
            received,
            outbound,
            self.hosts,
            policy=policy,
            limits=limits or Limits(seconds_max=None, idle_seconds=20.0),
        )
        verifier = UploadVerifier(yard.store, storage.kept, storage.incoming, requires_signature=requires_signature)
        resources = Resources(yard.store, verifier, fetcher=self.fetcher)
        kinds = [kind for kind in tasks.KINDS if kind.name in HERE_KINDS]
        self._worker = lambda: Worker(resources, kinds, ThreadExecutor(resources), node="test", clock=time.time)

    def run(self, times: int = 50) -> None:
        """Do what there is until there is no more, without waiting for its time."""
        for _ in range(times):
            with self.yard.store.transaction() as transaction:
                for job in jobs.listed(transaction.connection):
                    jobs.retry(transaction.connection, job.id, transaction.now)
            if not self._worker().run_next():
                return
        raise AssertionError("there is always more to do")

    def run_once(self) -> None:
        """Do one piece of work."""
        assert self._worker().run_next()

    def row(self, fetch_id: str, team: str = "red") -> Fetch:
        return self.fetches.get(team, fetch_id)


class RemoteFile:
    """A file that answers ranges as a good server does; ``cuts`` are lengths after which an answer ends early."""

    def __init__(self, content: bytes, etag: str | None = '"1"', cuts: tuple[int, ...] = ()) -> None:
        self.content, self.etag, self.cuts = content, etag, [*cuts]
        self.ranges: list[str | None] = []
        self.before_answer: Callable[[], None] = lambda: None

    def __call__(self, on: Any) -> None:
        self.before_answer()
        asked = on.headers.get("Range")
        self.ranges.append(asked)
        if on.headers.get("If-Range", self.etag) != self.etag:
            asked = None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        body = self.content[start:]
        headers = {"content_length": str(len(body))}
        if self.etag:
            headers["etag"] = self.etag
        if asked:
            headers["content_range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        if self.cuts:
            body = body[: self.cuts.pop(0)]
        on.reply(body, 206 if asked else 200, **headers)
