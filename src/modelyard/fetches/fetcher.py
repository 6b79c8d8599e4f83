"""Does one fetch: asks for the file, receives it, and hands it to verification. An interruption loses no byte.

    offer → limits of size, quota and disk → GET, from the byte that was reached → bytes on disk, hashed meanwhile
      → length and hash compared → one transaction: the upload is received, and has a job that verifies it

Every two seconds the bytes are flushed to the disk, and their number is written into the row. A process that dies loses
what came after that; whoever takes the job next cuts the file there, and continues. If the file has changed meanwhile
(ETag or date, in If-Range), it is fetched from its first byte.
"""

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import sqlalchemy as sa

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.blobs.partial import PartialFile
from modelyard.domain import OWN_ID_MIN
from modelyard.facts import Entry, Facts
from modelyard.fetches.hash_thread import HashThread
from modelyard.fetches.offers import Hosts, Offer, find_offer
from modelyard.fetches.progress import Recorder
from modelyard.fetches.refusals import page_error, refuse_answer
from modelyard.fetches.sources import parse_source
from modelyard.outbound import Answer, Limits, Outbound, TemporaryFailure
from modelyard.registry import inspections
from modelyard.registry.upstream_facts import give_upstream_facts
from modelyard.retry import RetryPolicy
from modelyard.store import Store, fetches, jobs, uploads
from modelyard.store.fetches import DONE, FAILED, Fetch
from modelyard.store.uploads import Upload
from modelyard.uploads.uploads import Uploads

# The failures in a row take about twenty minutes. A host may ask for an hour at most.
RETRY_POLICY = RetryPolicy(
    attempts_max=8, wait_seconds_first=5.0, wait_seconds_max=600.0, retry_after_seconds_max=3600.0
)
_LIMITS = Limits(seconds_max=None, idle_seconds=60.0)
# A host that sends less than this in a minute has stalled.
_RATE_SECONDS, _RATE_BYTES_MIN = 60.0, 60 * 1024
# A file without a length gets room in steps of this size.
_STEP_BYTES = 64 * 2**20
_BUSY_SECONDS = 5.0
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")
_FAILURES = (
    errors.DownloadFailed,
    errors.UpstreamRefused,
    errors.TooLarge,
    errors.StorageFull,
    errors.HashMismatch,
    errors.InvalidRequest,
    errors.UploadNotFound,
)


class Run(Protocol):
    """The run of a job: whether to stop, a sign of life, and the end of the job in a transaction."""

    @property
    def is_stopping(self) -> Callable[[], bool]: ...
    def allow_bytes(self, size_bytes: int) -> None: ...
    def finish(self, connection: sa.Connection) -> None: ...


class _StoppedError(Exception):
    """The process stops, or somebody cancelled the fetch."""


class Fetcher:
    """Fetches files into one store. Threads may share it."""

    def __init__(
        self,
        store: Store,
        storage: Blobs,
        incoming: IncomingFiles,
        received: Uploads,
        outbound: Outbound,
        hosts: Hosts,
        *,
        policy: RetryPolicy = RETRY_POLICY,
        limits: Limits = _LIMITS,
        pace: Callable[[int], object] | None = None,
    ) -> None:
        """``pace`` gets the number of bytes of every block, and may wait."""
        self._store = store
        self._blobs = storage
        self._incoming = incoming
        self._uploads = received
        self._outbound = outbound
        self._hosts = hosts
        self._policy = policy
        self._limits = limits
        self._pace = pace

    def fetch(self, fetch_id: str, run: Run) -> float | None:
        """Do a fetch, or a part of it. Return None if it has ended, or the seconds until the next attempt."""
        with self._store.reading() as connection:
            fetch, upload = fetches.find(connection, fetch_id), uploads.find(connection, fetch_id)
        if fetch is None or upload is None or fetch.state != fetches.OPEN or upload.received_at is not None:
            return None
        try:
            return self._attempt(fetch, upload, run)
        except _StoppedError:
            return 0.0
        except errors.UploadLocked:
            return _BUSY_SECONDS  # a worker that lost its lease still writes
        except _FAILURES as problem:
            self._fail(fetch, upload, run, problem.message)
            return None
        except TemporaryFailure as problem:
            return self._wait(fetch, upload, run, problem)

    def _attempt(self, fetch: Fetch, upload: Upload, run: Run) -> float | None:
        entry = self._entry(fetch.model_id)
        if entry is None:
            raise errors.DownloadFailed("the model was deleted")
        is_listed = fetch.model_id < OWN_ID_MIN
        if is_listed and entry.model.blob is not None:
            self._note_present(fetch, run)
            return None
        if is_listed and self._is_other_first(fetch):
            return _BUSY_SECONDS
        offer, refusal = find_offer(
            parse_source(fetch.source), entry if is_listed else None, self._hosts, self._outbound
        )
        if refusal is not None:
            with refusal:
                refuse_answer(refusal, offer, self._hosts, self._outbound)
            raise errors.DownloadFailed(f"{refusal.host} answers with status {refusal.status}")
        if self._incoming.size(fetch.id) is None:
            self._incoming.create(fetch.id, 0)
        if offer.size_bytes is not None:
            self._reserve(upload, offer.size_bytes, fetch.received_bytes)
        with self._incoming.open(fetch.id) as partial:
            partial.truncate(fetch.received_bytes)
            _Transfer(self, fetch, upload, offer, partial, run).receive()
            size_bytes = partial.size_bytes
        self._complete(fetch, upload, offer, size_bytes, run, None if is_listed else offer.facts)
        return None

    def _entry(self, model_id: int) -> Entry | None:
        return self._store.entry(model_id)

    def _is_other_first(self, fetch: Fetch) -> bool:
        """Whether an older fetch brings the file of the same version; then this one waits for it."""
        with self._store.reading() as connection:
            oldest = fetches.open_of_model(connection, fetch.model_id)
        return oldest is not None and oldest.id != fetch.id

    def _note_present(self, fetch: Fetch, run: Run) -> None:
        with self._store.transaction() as transaction:
            uploads.remove(transaction.connection, fetch.id)
            fetches.close(transaction.connection, fetch.id, DONE, transaction.now)
            run.finish(transaction.connection)
        self._incoming.remove(fetch.id)

    def _reserve(self, upload: Upload, size_bytes: int, received_bytes: int) -> None:
        """Raise an error if a file of this size is over a limit of the server, the team or the disk."""
        self._uploads.set_length(upload, size_bytes, received_bytes=received_bytes)

    def _complete(
        self, fetch: Fetch, upload: Upload, offer: Offer, size_bytes: int, run: Run, facts: Facts | None
    ) -> None:
        """Compare the hash, and hand the file to verification."""
        sha256 = self._incoming.sha256(fetch.id, size_bytes)
        expected = upload.announced_sha256 or offer.sha256
        for announced in (expected, offer.sha256):
            if sha256 is not None and not sha256.startswith(announced):
                raise errors.HashMismatch(announced, sha256)
        # Another machine may verify the file, when this one does not run any more.
        self._blobs.share_uploaded(fetch.id, self._incoming.path(fetch.id))
        with self._store.transaction() as transaction:
            connection = transaction.connection
            if not fetches.update(connection, fetch.id, received_bytes=size_bytes, size_bytes=size_bytes, problem=""):
                raise errors.Conflict("the fetch was cancelled")
            if facts is not None:
                give_upstream_facts(transaction, fetch.model_id, facts)
            done = replace(upload, length_bytes=size_bytes, received_at=transaction.now, sha256=sha256)
            uploads.put(connection, replace(done, announced_sha256=expected or None))
            jobs.add(connection, jobs.CHECK, fetch.id, transaction.now, team=fetch.team)
            run.finish(connection)

    def _wait(self, fetch: Fetch, upload: Upload, run: Run, problem: TemporaryFailure) -> float | None:
        """Note a failure that may pass, and return the seconds until the next attempt; give up after many in a row."""
        with self._store.reading() as connection:
            current = fetches.find(connection, fetch.id)
        if current is None:
            return None
        failures = 1 if current.received_bytes > fetch.received_bytes else current.failures + 1
        if failures >= self._policy.attempts_max:
            self._fail(fetch, upload, run, f"given up after {failures} attempts: {problem.message}")
            return None
        seconds = self._policy.wait_seconds(failures, problem.after_seconds)
        text = f"{problem.message}; the next attempt is in {seconds:.0f} s"
        with self._store.transaction() as transaction:
            fetches.update(transaction.connection, fetch.id, failures=failures, problem=text)
        return seconds

    def _fail(self, fetch: Fetch, upload: Upload, run: Run, reason: str) -> None:
        """End a fetch that cannot succeed: its bytes are removed, and its model says why."""
        with self._store.transaction() as transaction:
            if fetches.close(transaction.connection, fetch.id, FAILED, transaction.now, problem=reason):
                if fetch.model_id >= OWN_ID_MIN:
                    inspections.apply_inspection(transaction, fetch.model_id, Facts(evidence=(f"refused: {reason}",)))
                uploads.remove(transaction.connection, upload.id)
            run.finish(transaction.connection)
        self._incoming.remove(fetch.id)


@dataclass(slots=True)
class _Transfer:
    """One request for the bytes of a fetch."""

    fetcher: Fetcher
    fetch: Fetch
    upload: Upload
    offer: Offer
    partial: PartialFile
    run: Run

    def receive(self) -> None:
        """Receive what is missing of the file."""
        fetch, partial = self.fetch, self.partial
        if fetch.size_bytes is not None and fetch.size_bytes == partial.size_bytes and fetch.validator:
            return
        if partial.size_bytes and not self._may_continue():
            partial.restart()
        headers = {"Range": f"bytes={partial.size_bytes}-"} if partial.size_bytes else {}
        if partial.size_bytes and fetch.validator:
            headers["If-Range"] = fetch.validator
        outbound, hosts = self.fetcher._outbound, self.fetcher._hosts
        with outbound.open(self.offer.url, headers=headers, limits=self.fetcher._limits) as answer:
            refuse_answer(answer, self.offer, hosts, outbound)
            self._place(answer)
            size_bytes = None if answer.length_bytes is None else partial.size_bytes + answer.length_bytes
            self._note_start(answer, size_bytes)
            self._read(answer, size_bytes)

    def _may_continue(self) -> bool:
        """Whether the bytes so far and further ones can be told to be of one file."""
        return bool(self.fetch.validator) or len(self.offer.sha256) == 64

    def _place(self, answer: Answer) -> None:
        """Cut the file where the bytes of the answer begin. Raises TemporaryFailure if they begin elsewhere."""
        if answer.status == 200:
            self.partial.restart()
            return
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        if answer.status == 206 and match is not None and int(match[1]) == self.partial.size_bytes:
            return
        self.partial.restart()
        self._update(received_bytes=0, validator="", size_bytes=None)
        raise TemporaryFailure(f"{answer.host} has another file now, or sends other bytes than the ones asked for")

    def _note_start(self, answer: Answer, size_bytes: int | None) -> None:
        self.fetcher._reserve(self.upload, size_bytes or self.partial.size_bytes + 1, self.partial.size_bytes)
        validator = _validator_of(answer)
        received_bytes = min(self.partial.size_bytes, self.fetch.received_bytes)
        self._update(validator=validator, size_bytes=size_bytes, received_bytes=received_bytes)

    def _update(self, **values: object) -> None:
        with self.fetcher._store.transaction() as transaction:
            if not fetches.update(transaction.connection, self.fetch.id, **values):
                raise _StoppedError

    def _read(self, answer: Answer, size_bytes: int | None) -> None:
        partial = self.partial
        reserved_bytes = size_bytes if size_bytes is not None else partial.size_bytes
        slow_at, slow_bytes = time.monotonic() + _RATE_SECONDS, partial.size_bytes
        # With a rate limit, the pauses are our own.
        idle_seconds = self.fetcher._limits.idle_seconds if self.fetcher._pace is None else math.inf
        recording = Recorder(self.fetcher._store, self.fetch.id, partial, answer, idle_seconds)
        with recording as recorder, HashThread(partial) as hashing:
            while block := answer.read():
                if partial.size_bytes == 0 and block.lstrip()[:15].lower().startswith((b"<!doctype", b"<html")):
                    raise page_error(answer)
                if partial.size_bytes + len(block) > reserved_bytes:
                    reserved_bytes = partial.size_bytes + _STEP_BYTES
                    self.fetcher._reserve(self.upload, reserved_bytes, partial.size_bytes)
                hashing.append(block)
                if self.fetcher._pace is not None:
                    self.fetcher._pace(len(block))
                if self.run.is_stopping() or recorder.is_ended:
                    raise _StoppedError
                if time.monotonic() >= slow_at:
                    if partial.size_bytes - slow_bytes < _RATE_BYTES_MIN and self.fetcher._pace is None:
                        raise TemporaryFailure(f"{answer.host} sends less than {_RATE_BYTES_MIN:,} bytes in a minute")
                    slow_at, slow_bytes = time.monotonic() + _RATE_SECONDS, partial.size_bytes
                if recorder.is_sign_due():
                    self.run.allow_bytes(0)
        if partial.size_bytes == 0:
            raise errors.DownloadFailed(f"{answer.host} answers with an empty file")


def _validator_of(answer: Answer) -> str:
    """Return what tells the file from a later one: a strong ETag, else the date of its last change."""
    etag = answer.headers.get("ETag", "").strip()
    if etag.startswith('"') and len(etag) <= 500:
        return etag
    return answer.headers.get("Last-Modified", "").strip()[:100]
