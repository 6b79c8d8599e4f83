"""Records the progress of a fetch beside the thread that receives it, which a disk or a database would slow down."""

import threading
import time
from typing import Self

from modelyard import errors
from modelyard.blobs.partial import PartialFile
from modelyard.outbound import Answer
from modelyard.store import Store, fetches

RECORD_SECONDS = 2.0


class Recorder:
    """Flushes the file and writes its size into the row, again and again. ``is_ended``: the fetch was cancelled.

    Aborts an answer of which nothing came for ``idle_seconds``.
    """

    def __init__(self, store: Store, fetch_id: str, partial: PartialFile, answer: Answer, idle_seconds: float) -> None:
        self._store = store
        self._id = fetch_id
        self._partial = partial
        self._answer = answer
        self._idle_seconds = idle_seconds
        self._seconds = min(RECORD_SECONDS, idle_seconds)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="modelyard-fetch-progress", daemon=True)
        self._sign_at = 0.0
        self.is_ended = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        # What came last counts too, whatever ended the transfer.
        self._record()

    def is_sign_due(self) -> bool:
        """Whether it is time for a sign of life."""
        now = time.monotonic()
        if now < self._sign_at:
            return False
        self._sign_at = now + self._seconds
        return True

    def _run(self) -> None:
        size_bytes, grown_at = self._partial.size_bytes, time.monotonic()
        while not self._stopping.wait(self._seconds):
            if self._partial.size_bytes != size_bytes:
                size_bytes, grown_at = self._partial.size_bytes, time.monotonic()
            elif time.monotonic() - grown_at > self._idle_seconds:
                self._answer.abort(self._idle_seconds)
            self._record()

    def _record(self) -> None:
        size_bytes = self._partial.size_bytes
        try:
            self._partial.sync()
            with self._store.transaction() as transaction:
                self.is_ended = not fetches.update(transaction.connection, self._id, received_bytes=size_bytes)
        except (errors.Unavailable, errors.DatabaseUnavailable):
            return  # the next record, or the end of the transfer, says what is away
