"""Checking what came in, in a process beside the server: hash, inspect, keep, and say what became of it.

    job leased → bytes hashed and inspected → compared with what was announced → kept by their hash
      → in one transaction: the model has its file, its facts and its status; the job is done

Every step can be done again: a process that dies leaves a lease that runs out, and the next one finds either the
arrived bytes or, where they were moved already, the kept ones under the hash that was written down before the move.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.covers import Covers, render
from modelyard.domain import Entry, Facts, Layer, Status
from modelyard.inspection import THUMBNAIL, Inspection, inspect_file, thumbnail_of
from modelyard.registry.facts import facts_from_inspection
from modelyard.registry.names import extension_of_format, sd_name_of
from modelyard.registry.writer import ModelWriter, state_of
from modelyard.store import Store, WriteTransaction, blobs, covers, jobs, uploads
from modelyard.store.blobs import SOUND, Blob
from modelyard.store.covers import Origin
from modelyard.store.jobs import CHECK, Job
from modelyard.store.uploads import Upload

LOOK_SECONDS = 0.2
HOUSEKEEPING_SECONDS = 60.0
LEASE_SECONDS = 60
_ATTEMPTS_MAX = 10
# How often bytes that arrived are looked for before they count as lost: a store that wakes up may not know them yet.
_LOOKS_MAX = 5
_AWAY_SECONDS = 5
# What arrives without a row beside it is a begin that died in between, or one that is just being made.
_STRAY_SECONDS = 3600

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemovedBlob:
    """What was, or would be, removed."""

    sha256: str
    size_bytes: int


class UploadVerifier:
    """Does the jobs of one store, one after the other."""

    def __init__(
        self,
        store: Store,
        kept: Blobs,
        incoming: IncomingFiles,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._blobs = kept
        self._incoming = incoming
        self._clock = clock
        self._covers = Covers(store, kept, incoming)
        self._owner = f"{socket.gethostname()}:{os.getpid()}"

    def run(self, ended: threading.Event) -> None:
        """Do jobs as they come, and tidy up every minute, until ``ended`` is set."""
        tidy_at = 0.0
        while not ended.is_set():
            try:
                is_done = self.verify_next()
                if time.monotonic() >= tidy_at:
                    self.purge_expired()
                    tidy_at = time.monotonic() + HOUSEKEEPING_SECONDS
            except errors.Unavailable as problem:
                log.warning("checking waits: %s", problem.message)
                ended.wait(1.0)
                continue
            if not is_done:
                ended.wait(LOOK_SECONDS)

    def verify_next(self) -> bool:
        """Do one job, if there is one; return whether there was."""
        # Without the lock of writers: an idle server asks five times a second.
        with self._store.reading() as connection:
            if not jobs.is_due(connection, CHECK, int(self._clock())):
                return False
        with self._store.transaction() as writing:
            job = jobs.take(writing.connection, CHECK, self._owner, writing.now, LEASE_SECONDS)
        if job is None:
            return False
        if job.attempts > _ATTEMPTS_MAX:
            # No failure was written down: whoever tried it did not live to do so.
            self._fail(job, "its check never came to an end")
            return True
        try:
            with self._lease_kept(job):
                self._verify(job)
        except errors.Unavailable as problem:
            self._postpone(job, problem.message)
        except Exception as problem:
            # A mistake of ours in one file is not to end the checks of all others.
            log.warning("checking %s failed (attempt %d)", job.subject, job.attempts, exc_info=problem)
            self._fail(job, f"{type(problem).__name__}: {problem}")
        return True

    def purge_expired(self) -> None:
        """Clear uploads whose time is over, and note which blobs nothing points at."""
        with self._store.transaction() as writing:
            over = uploads.expired(writing.connection, writing.now)
            for upload in over:
                uploads.remove(writing.connection, upload.id)
            blobs.mark_unused(writing.connection, writing.now)
        for upload in over:
            self._incoming.remove(upload.id)
            self._blobs.forget_uploaded(upload.id)
        with self._store.reading() as connection:
            known = uploads.ids(connection)
        for upload_id, changed_at in self._incoming.all():
            if upload_id not in known and changed_at < self._clock() - _STRAY_SECONDS:
                self._incoming.remove(upload_id)

    def collect_garbage(self, grace_seconds: int, *, dry_run: bool) -> list[RemovedBlob]:
        """Remove the blobs that nothing has pointed at for ``grace_seconds``; only say which for a dry run.

        The bytes go within the transaction that found them unused: nobody can come to need them in between.
        """
        collected = []
        with self._store.transaction() as writing:
            since = writing.now - grace_seconds
            covers.collect(writing.connection, writing.now, since, dry_run=dry_run)
            if not dry_run or grace_seconds == 0:
                blobs.mark_unused(writing.connection, writing.now)
            for blob in blobs.unused(writing.connection, since):
                collected.append(RemovedBlob(blob.sha256, blob.size_bytes))
                if not dry_run:
                    blobs.remove(writing.connection, blob.sha256)
                    self._blobs.remove(blob.sha256)
        return collected

    def _verify(self, job: Job) -> None:
        with self._store.reading() as connection:
            upload = uploads.find(connection, job.subject)
        if upload is None or upload.model_id is None:
            self._done(job)
            return
        path = self._bytes_of(upload)
        if path is None:
            if upload.received_at is None and upload.expires_at > self._clock():
                self._wait(job)  # announced and registered, and not put into the file store yet
            elif upload.received_at is not None and job.attempts < _LOOKS_MAX:
                raise FileNotFoundError("the bytes are not where they were put")
            else:
                self._refuse(job, upload, upload.model_id, "error: the bytes never came")
            return
        inspection = inspect_file(path)
        assert inspection.hashes is not None, "it was inspected with its hashes"
        sha256 = inspection.hashes.sha256.lower()
        for announced in (upload.announced_sha256, upload.sha256):
            if announced is not None and announced != sha256:
                reason = f"mismatch: announced SHA-256 {announced}, received {sha256}"
                self._refuse(job, upload, upload.model_id, reason)
                return
        cover = self._cover_of(path, inspection)
        with self._store.transaction() as writing:
            # Written down before the bytes move: whoever goes on after us finds them by it.
            uploads.put(writing.connection, replace(upload, sha256=sha256))
        if path == self._incoming.path(upload.id):
            self._blobs.keep(path, sha256)
        self._accept(job, upload, upload.model_id, inspection, sha256, cover)

    def _cover_of(self, path: Path, inspection: Inspection) -> str | None:
        """Keep the picture in a file's header; None where there is none that can be used."""
        if THUMBNAIL not in inspection.metadata or inspection.verdict.value not in SOUND:
            return None
        try:
            picture = thumbnail_of(path)
            return self._covers.keep(render(picture)) if picture else None
        except (errors.UnsupportedFile, errors.TooLarge) as problem:
            log.info("no cover from an upload: %s", problem.message)
            return None

    def _bytes_of(self, upload: Upload) -> Path | None:
        """Return a local file with the upload's bytes; None where they are nowhere."""
        arrived = self._incoming.path(upload.id)
        if upload.sha256 is not None and self._blobs.has(upload.sha256):
            here = self._blobs.path(upload.sha256) or (arrived if arrived.is_file() else None)
            if here is not None:
                return here
        is_complete = upload.received_at is not None and arrived.is_file()
        if is_complete:
            return arrived
        if self._blobs.uploaded_size(upload.id) is not None:
            self._blobs.fetch_uploaded(upload.id, arrived)
            return arrived
        return None

    def _accept(
        self, job: Job, upload: Upload, model_id: int, inspection: Inspection, sha256: str, cover: str | None
    ) -> None:
        with self._store.transaction() as writing:
            if not self._blobs.has(sha256):
                raise errors.Unavailable("what was kept is not there")
            blobs.put(
                writing.connection,
                Blob(sha256, inspection.size_bytes, writing.now, inspection.verdict.value, inspection.reason),
            )
            is_sound = inspection.verdict.value in SOUND
            extension = extension_of_format(inspection.format)
            if cover is not None and writing.entries([model_id]):
                covers.give(writing.connection, model_id, Origin.HEADER, cover)
            self._apply_result(writing, model_id, facts_from_inspection(inspection), sha256, is_sound, extension)
            uploads.put(
                writing.connection, replace(upload, sha256=sha256, received_at=upload.received_at or writing.now)
            )
            jobs.finish(writing.connection, job)
        self._incoming.remove(upload.id)
        self._blobs.forget_uploaded(upload.id)

    def _refuse(self, job: Job, upload: Upload, model_id: int, reason: str) -> None:
        with self._store.transaction() as writing:
            self._apply_result(writing, model_id, Facts(evidence=(reason,)), None, False, "")
            uploads.remove(writing.connection, upload.id)
            jobs.finish(writing.connection, job)
        self._incoming.remove(upload.id)
        self._blobs.forget_uploaded(upload.id)

    def _apply_result(
        self, writing: WriteTransaction, model_id: int, facts: Facts, sha256: str | None, is_sound: bool, extension: str
    ) -> None:
        """Give a model what was found; its owner's words stay, and win."""
        entry = writing.entries([model_id]).get(model_id)
        if entry is None:
            return  # removed meanwhile: what was kept is collected some day
        layers = dict(entry.layers)
        layers[Layer.HEADER] = facts
        layers[Layer.GUESS] = _named(entry, layers[Layer.GUESS], extension)
        state = replace(state_of(entry.model), blob=sha256, status=Status.AVAILABLE if is_sound else Status.UNAVAILABLE)
        registration = ModelWriter(writing, self._store.base_models())
        registration.load([model_id])
        registration.set(model_id, layers, state)
        registration.put()

    def _done(self, job: Job) -> None:
        with self._store.transaction() as writing:
            jobs.finish(writing.connection, job)

    def _wait(self, job: Job) -> None:
        with self._store.transaction() as writing:
            jobs.postpone(writing.connection, job, "", writing.now + 2, counts=False)

    def _postpone(self, job: Job, problem: str) -> None:
        """Try again when what is away may be there; that is no failed attempt, however long it lasts."""
        log.warning("checking %s waits: %s", job.subject, problem)
        with self._store.transaction() as writing:
            jobs.postpone(writing.connection, job, problem, writing.now + _AWAY_SECONDS, counts=False)

    def _fail(self, job: Job, problem: str) -> None:
        """Try again later, and less often the longer it fails; in the end give it up, for a person to look at."""
        with self._store.transaction() as writing:
            if job.attempts >= _ATTEMPTS_MAX:
                jobs.bury(writing.connection, job, problem)
            else:
                jobs.postpone(writing.connection, job, problem, writing.now + min(2**job.attempts, 600))

    @contextmanager
    def _lease_kept(self, job: Job) -> Iterator[None]:
        """Lengthen the lease as long as the work goes on: a file of 50 GB takes minutes to hash."""
        ended = threading.Event()

        def lengthen() -> None:
            while not ended.wait(LEASE_SECONDS / 3):
                with suppress(errors.Unavailable), self._store.transaction() as writing:
                    jobs.extend(writing.connection, job, self._owner, writing.now + LEASE_SECONDS)

        thread = threading.Thread(target=lengthen, name="modelyard-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _named(entry: Entry, guess: Facts, extension: str) -> Facts:
    """Give a file that came without an extension the one of its format."""
    if not extension or "." in (guess.sd_name or ""):
        return guess
    return replace(guess, sd_name=sd_name_of(entry.model.name, entry.model.id, extension))
