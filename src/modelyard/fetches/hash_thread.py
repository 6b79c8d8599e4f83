"""Hashes what a fetch receives in a thread of its own: reading, writing and hashing take place at the same time."""

import queue
import threading
from typing import Self

from modelyard.blobs.partial import PartialFile

# Blocks are given over in batches of this size, because each change of threads costs time; so many batches may wait.
_BATCH_BYTES = 1 << 20
_BATCHES_MAX = 8


class HashThread:
    """Appends blocks to a file, and hashes them meanwhile. The hash is whole when the block ``with`` has ended."""

    def __init__(self, partial: PartialFile) -> None:
        self._partial = partial
        self._batches: queue.Queue[list[bytes]] = queue.Queue(_BATCHES_MAX)
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._thread = threading.Thread(target=self._run, name="modelyard-fetch-hash", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._hand_over()
        self._batches.put([])
        self._thread.join()

    def append(self, block: bytes) -> None:
        """Append a block to the file. Raises StorageFull."""
        self._partial.append((block,))
        self._batch.append(block)
        self._batch_bytes += len(block)
        if self._batch_bytes >= _BATCH_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._batch:
            self._batches.put(self._batch)
            self._batch, self._batch_bytes = [], 0

    def _run(self) -> None:
        while batch := self._batches.get():
            self._partial.hash(batch)
