"""Compares the rows of stored files with what the file store has, both ways, by names and sizes.

After the restore of an older backup, the store may have objects that no row knows, and rows may name objects that were
removed meanwhile.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from modelyard.blobs import Blobs
from modelyard.registry import stored_files
from modelyard.store import Store, blob_claims, blobs, schema
from modelyard.store.queries import batches
from modelyard.uploads.cleanup import RemovedBlob

_REMOVED_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs: files whose bytes are lost, files that no row knows, and the models that changed for it."""

    lost: Sequence[RemovedBlob]
    unknown: Sequence[RemovedBlob]
    unavailable_models: int
    available_models: int


class StoreComparer:
    """Compares the database with one file store."""

    def __init__(self, store: Store, storage: Blobs) -> None:
        self._store = store
        self._blobs = storage

    def compare(self) -> Comparison:
        """Compare all files. Models whose bytes are lost become unavailable; those whose bytes are back, available.

        It reads all names and sizes from the store, and no bytes.
        """
        with self._store.reading() as connection:
            rows = _sizes(connection)
        objects = dict(self._blobs.all())
        # A row that is newer than the listing is not lost, so the first rows count; what they lack is asked for again.
        lost = {sha256: size for sha256, size in rows.items() if objects.get(sha256) != size}
        lost = {sha256: size for sha256, size in lost.items() if not self._is_there(sha256, size)}
        with self._store.reading() as connection:
            unknown = objects.keys() - _sizes(connection).keys()
        became_unavailable, became_available = self._update_models(lost)
        return Comparison(
            [RemovedBlob(sha256, size) for sha256, size in sorted(lost.items())],
            [RemovedBlob(sha256, objects[sha256]) for sha256 in sorted(unknown)],
            became_unavailable,
            became_available,
        )

    def remove_unknown(self, grace_seconds: int, *, dry_run: bool) -> list[RemovedBlob]:
        """Remove the objects that no row knows and that are older than ``grace_seconds``; return them.

        An object is stored before its row, so a young one may belong to an upload that is under way.
        """
        with self._store.reading() as connection:
            row_hashes = _sizes(connection).keys()
        # By the database's clock: that of this machine may be days ahead.
        latest = self._store.now() - grace_seconds
        unknown = [RemovedBlob(sha256, size) for sha256, size in self._blobs.all() if sha256 not in row_hashes]
        old = [file for file in unknown if (self._blobs.stored_at(file.sha256) or latest + 1) <= latest]
        if not dry_run:
            for start in range(0, len(old), _REMOVED_AT_ONCE):
                self._remove([file.sha256 for file in old[start : start + _REMOVED_AT_ONCE]])
        return old

    def _remove(self, sha256s: list[str]) -> None:
        """Remove bytes that have no row; whoever stores the same bytes meanwhile waits for the claim."""
        with self._store.transaction() as transaction:
            blob_claims.claim_removals(transaction.connection, sha256s, transaction.now)
        with self._store.reading() as connection:
            rows = blobs.find_many(connection, sha256s)
        try:
            for sha256 in sha256s:
                if sha256 not in rows:
                    self._blobs.remove(sha256)
        finally:
            with self._store.transaction() as transaction:
                blob_claims.release_removals(transaction.connection, sha256s)

    def _is_there(self, sha256: str, size_bytes: int) -> bool:
        """Whether the store has the file after all, or nobody needs it any more."""
        with self._store.reading() as connection:
            if blobs.find(connection, sha256) is None:
                return True
        return self._blobs.size(sha256) == size_bytes

    def _update_models(self, lost: Collection[str]) -> tuple[int, int]:
        """Give models the status that their bytes allow; return how many became unavailable and available."""
        with self._store.transaction() as transaction:
            marked = stored_files.find_lost(transaction)
        became_unavailable = became_available = 0
        for batch in batches(sorted(set(lost) - marked)):
            with self._store.transaction() as transaction:
                became_unavailable += stored_files.mark_lost(transaction, batch)
        for batch in batches(sorted(marked - set(lost))):
            with self._store.transaction() as transaction:
                became_available += stored_files.mark_found(transaction, batch)
        return became_unavailable, became_available


def _sizes(connection: sa.Connection) -> dict[str, int]:
    query = sa.select(schema.blobs.c.sha256, schema.blobs.c.size_bytes)
    return {row.sha256: row.size_bytes for row in connection.execute(query)}
