"""The covers of all models as background work, in slices: what is downloaded stays, whatever ends the work.

    request → job, and the note "waiting" → slices, most popular first, a note after each → "done"
                                          └ cancel: the job goes, and a slice that runs ends at its next cover

The note holds how far the work is, so that another process continues it, and every page can show it.
"""

import time
from collections.abc import Callable
from contextlib import closing

import msgspec
from msgspec.structs import replace

from modelyard.covers.covers import Covers
from modelyard.covers.importer import FAILED_SECONDS, import_covers
from modelyard.outbound import Outbound
from modelyard.store import Store, covers, jobs

KIND = "cover-import"
_NOTE = "cover import"
_CHUNK = 50
_SLICE_SECONDS = 30.0
# How often the note is written within a chunk, and how soon a cancelled work ends.
_SAVE_SECONDS = 1.0


class CoverImport(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """How far the work is. ``state`` is waiting, running, done or cancelled; ``after`` is the last rank and id."""

    state: str
    total: int
    done: int = 0
    failed: int = 0
    after: tuple[int, int] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the work goes on."""
        return self.state in ("waiting", "running")


_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(CoverImport).decode


def read(store: Store) -> CoverImport | None:
    """Return how far the last work is; None if there was none."""
    text = store.get_property(_NOTE)
    try:
        return None if text is None else _decode(text)
    except msgspec.DecodeError:
        return None


def count_missing(store: Store) -> int:
    """Return how many addresses of covers were neither downloaded nor failed lately. Reads all models."""
    with store.reading() as connection:
        return covers.count_missing(connection, _tried_before(store))


def request(store: Store) -> None:
    """Begin the work, unless it goes on already."""
    total = count_missing(store)
    with store.transaction() as transaction:
        if not jobs.exists(transaction.connection, KIND, ""):
            jobs.add(transaction.connection, KIND, "", transaction.now)
            transaction.remember(_NOTE, _encode(CoverImport("waiting", total)).decode())


def cancel(store: Store) -> None:
    """End the work. What is downloaded stays."""
    progress = read(store)
    with store.transaction() as transaction:
        jobs.drop(transaction.connection, KIND, "")
        if progress is not None and progress.is_open:
            transaction.remember(_NOTE, _encode(replace(progress, state="cancelled")).decode())


def run_slice(
    store: Store,
    pictures: Covers,
    outbound: Outbound,
    is_stopping: Callable[[], bool],
    on_cover: Callable[[], object] = lambda: None,
) -> bool:
    """Download covers for half a minute; return whether there are more."""
    began = saved_at = time.monotonic()
    while not is_stopping() and time.monotonic() - began < _SLICE_SECONDS:
        progress = read(store)
        if progress is None or not progress.is_open:
            return False
        with store.reading() as connection:
            chunk = covers.missing_after(connection, progress.after, _CHUNK, _tried_before(store))
        if not chunk:
            _save(store, replace(progress, state="done"))
            return False
        ids_by_address: dict[str, list[int]] = {}
        for _, model_id, address in chunk:
            ids_by_address.setdefault(address, []).append(model_id)
        with closing(import_covers(store, pictures, outbound, ids_by_address)) as results:
            for result in results:
                progress = replace(
                    progress,
                    state="running",
                    done=progress.done + (not result.problem),
                    failed=progress.failed + bool(result.problem),
                )
                on_cover()
                is_end = is_stopping()
                if (is_end or time.monotonic() - saved_at >= _SAVE_SECONDS) and not _save(store, progress):
                    return False
                if is_end:
                    return True
                saved_at = time.monotonic() if time.monotonic() - saved_at >= _SAVE_SECONDS else saved_at
        rank, model_id, _ = chunk[-1]
        if not _save(store, replace(progress, after=(rank, model_id))):
            return False
    return True


def _save(store: Store, progress: CoverImport) -> bool:
    """Store how far the work is; return False if it was cancelled meanwhile."""
    with store.transaction() as transaction:
        if not jobs.exists(transaction.connection, KIND, ""):
            return False
        transaction.remember(_NOTE, _encode(progress).decode())
    return True


def _tried_before(store: Store) -> int:
    return int(store.now()) - FAILED_SECONDS
