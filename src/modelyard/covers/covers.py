"""Stores covers as blobs. The address of a cover contains a random name.

Everyone with the address may see the cover, as everyone with a link may download a file. Nobody can guess the address,
and it does not tell whether somebody else has the same picture.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from modelyard import errors
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.covers.renderer import Rendered
from modelyard.domain import COVER_WIDTHS, COVERS
from modelyard.store import Store, WriteTransaction, blob_claims, covers
from modelyard.store import blobs as blob_rows
from modelyard.store.blobs import Blob

_TRIES = 3
T = TypeVar("T")
_PATH = re.compile(re.escape(COVERS) + r"([0-9a-f]{32})/([0-9]{1,5})\.webp")


class Covers:
    """The covers of one store. Threads may share it."""

    def __init__(self, store: Store, storage: Blobs, incoming: IncomingFiles) -> None:
        self._store = store
        self._blobs = storage
        self._incoming = incoming

    def keep(self, rendered: Rendered) -> str:
        """Store a picture and return its name. A second call with the same picture stores nothing."""
        with self._store.reading() as connection:
            name = covers.with_sha256(connection, rendered.sha256)
        if name is not None:
            return name
        by_width = {width: hashlib.sha256(webp).hexdigest() for width, webp in rendered.by_width.items()}
        owner = secrets.token_hex(16)
        with self._store.transaction() as transaction:
            blob_claims.claim(transaction.connection, set(by_width.values()), owner, transaction.now)
        for width, sha256 in by_width.items():
            self._keep(rendered.by_width[width], sha256)
        with self._store.transaction() as transaction:
            blob_claims.release(transaction.connection, owner)
            name = covers.with_sha256(transaction.connection, rendered.sha256)
            if name is not None:
                return name
            name = secrets.token_hex(16)
            for width, sha256 in by_width.items():
                self._note_blob(transaction, sha256, len(rendered.by_width[width]))
            covers.put(transaction.connection, name, rendered.sha256, by_width, transaction.now)
        return name

    def keep_and_use(self, rendered: Rendered, use: Callable[[str], T]) -> T:
        """Store a picture, and use its name. Both are done again if the unused picture was removed in between.

        ``use`` raises CoverRemoved if there is no cover with the name any more.
        """
        for _ in range(_TRIES - 1):
            with suppress(errors.CoverRemoved):
                return use(self.keep(rendered))
        return use(self.keep(rendered))

    def _keep(self, webp: bytes, sha256: str) -> None:
        if self._blobs.has(sha256):
            return
        arrival = secrets.token_hex(16)
        self._incoming.create(arrival, len(webp))
        try:
            with self._incoming.open(arrival) as appending:
                appending.write(webp)
            self._blobs.keep(self._incoming.path(arrival), sha256)
        finally:
            self._incoming.remove(arrival)
        if not self._blobs.has(sha256):
            raise errors.Unavailable("what was kept is not there")

    def _note_blob(self, transaction: WriteTransaction, sha256: str, size_bytes: int) -> None:
        if blob_rows.find(transaction.connection, sha256) is None:
            blob_rows.put(transaction.connection, Blob(sha256, size_bytes, transaction.now, "clean", "a cover"))

    def picture(self, path: str) -> tuple[str, bytes] | None:
        """Return the hash and the bytes of the WebP at a path, or None if there is none."""
        match = _PATH.fullmatch(path)
        if match is None or int(match[2]) not in COVER_WIDTHS:
            return None
        with self._store.reading() as connection:
            sha256 = covers.picture(connection, match[1], int(match[2]))
        if sha256 is None:
            return None
        with suppress(FileNotFoundError):
            return sha256, self._blobs.read(sha256)
        raise errors.Unavailable("the cover is not where it was kept")
