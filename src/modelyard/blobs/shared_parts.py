"""The bytes of unfinished uploads in an S3-compatible store, so that an upload survives the node that received them.

    <prefix>/incoming/<id>.parts/000000000000000-000000067108864    the bytes from offset 0 on
    <prefix>/incoming/<id>.parts/000000067108864-000000070000000    the bytes from the end of the first object on

Each request of an upload adds an object. Two nodes that both believe to have the upload may write objects that overlap;
their bytes are those of one client, and the hash of the whole file is verified at the end. A name has both ends, so
that no node replaces an object by a shorter one: a client was told of the bytes of both.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import obstore
from obstore.store import S3Store

from modelyard import errors
from modelyard.blobs.s3_errors import call_store, iterate_store

_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 4
_NAME = re.compile(r"(\d{15})-(\d{15})")


class SharedParts:
    """The unfinished uploads of a bucket. Processes, machines and threads may share it. All raise Unavailable."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def size(self, upload_id: str) -> int:
        """Return how many bytes of an upload are here, from its first one on."""
        end = 0
        for first, last in self._list(upload_id):
            if first > end:
                break
            end = max(end, last)
        return end

    def save(self, upload_id: str, path: Path, size_bytes: int) -> None:
        """Put those of the first ``size_bytes`` bytes of a file that are not here yet.

        Raises UploadNotFound if the file is gone: somebody has cancelled the upload.
        """
        start = self.size(upload_id)
        if start >= size_bytes:
            return
        try:
            call_store(
                lambda: obstore.put(
                    self._store,
                    _key(upload_id, start, size_bytes),
                    _read_file(path, start, size_bytes),
                    use_multipart=size_bytes - start > _PART_BYTES,
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            )
        except FileNotFoundError:
            raise errors.UploadNotFound(upload_id) from None

    def read(self, upload_id: str, start: int) -> Iterator[bytes]:
        """Yield the bytes of an upload from an offset on, some MiB at a time."""
        for first, end in self._list(upload_id):
            if first > start:
                return
            while start < end:
                block = self._read_range(_key(upload_id, first, end), start - first, min(_PART_BYTES, end - start))
                yield block
                start += len(block)

    def remove(self, upload_id: str) -> None:
        """Remove all bytes of an upload."""
        keys = [_key(upload_id, start, end) for start, end in self._list(upload_id)]
        for key in keys:
            try:
                call_store(lambda key=key: obstore.delete(self._store, key))  # type: ignore[misc] # a default binds it
            except FileNotFoundError:
                continue

    def _read_range(self, key: str, start: int, size_bytes: int) -> bytes:
        try:
            return bytes(call_store(lambda: obstore.get_range(self._store, key, start=start, length=size_bytes)))
        except FileNotFoundError:
            raise errors.Unavailable("this upload ends just now; ask again for its state") from None

    def _list(self, upload_id: str) -> list[tuple[int, int]]:
        """Return where the objects of an upload begin and end, in order."""
        batches = iterate_store(obstore.list(self._store, prefix=_folder(upload_id)))
        names = [_NAME.fullmatch(entry["path"].rpartition("/")[2]) for entries in batches for entry in entries]
        return sorted((int(name[1]), int(name[2])) for name in names if name)


def _read_file(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (block := file.read(min(_PART_BYTES, end - start))):
            start += len(block)
            yield block


def _key(upload_id: str, start: int, end: int) -> str:
    return f"{_folder(upload_id)}/{start:015}-{end:015}"


def _folder(upload_id: str) -> str:
    return f"incoming/{upload_id}.parts"
