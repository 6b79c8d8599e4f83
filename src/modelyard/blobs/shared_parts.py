"""The bytes of unfinished uploads in an S3-compatible store, so that an upload survives the node that received them.

    <prefix>/incoming/<id>.parts/000000000000000    the bytes from offset 0 on
    <prefix>/incoming/<id>.parts/000000067108864    the bytes from the end of the first object on

Each request of an upload adds an object. Two nodes that both believe to have the upload may write objects that overlap;
their bytes are those of one client, and the hash of the whole file is verified at the end.
"""

from collections.abc import Iterator
from pathlib import Path

import obstore
from obstore.store import S3Store

from modelyard.blobs.s3_errors import call_store, iterate_store

_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 4
_DIGITS = 15


class SharedParts:
    """The unfinished uploads of a bucket. Processes, machines and threads may share it. All raise Unavailable."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def size(self, upload_id: str) -> int:
        """Return how many bytes of an upload are here, from its first one on."""
        end = 0
        for start, size_bytes in self._list(upload_id):
            if start > end:
                break
            end = max(end, start + size_bytes)
        return end

    def save(self, upload_id: str, path: Path, size_bytes: int) -> None:
        """Put those of the first ``size_bytes`` bytes of a file that are not here yet."""
        start = self.size(upload_id)
        if start < size_bytes:
            call_store(
                lambda: obstore.put(
                    self._store,
                    f"{_folder(upload_id)}/{start:0{_DIGITS}}",
                    _read_file(path, start, size_bytes),
                    use_multipart=size_bytes - start > _PART_BYTES,
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            )

    def read(self, upload_id: str, start: int) -> Iterator[bytes]:
        """Yield the bytes of an upload from an offset on, some MiB at a time."""
        for first, size_bytes in self._list(upload_id):
            if first > start:
                return
            while start < first + size_bytes:
                yield self._read_range(upload_id, first, start - first, min(start - first + _PART_BYTES, size_bytes))
                start = min(start + _PART_BYTES, first + size_bytes)

    def remove(self, upload_id: str) -> None:
        """Remove all bytes of an upload."""
        keys = [f"{_folder(upload_id)}/{start:0{_DIGITS}}" for start, _ in self._list(upload_id)]
        for key in keys:
            try:
                call_store(lambda key=key: obstore.delete(self._store, key))  # type: ignore[misc] # a default binds it
            except FileNotFoundError:
                continue

    def _read_range(self, upload_id: str, first: int, start: int, end: int) -> bytes:
        key = f"{_folder(upload_id)}/{first:0{_DIGITS}}"
        return bytes(call_store(lambda: obstore.get_range(self._store, key, start=start, end=end)))

    def _list(self, upload_id: str) -> list[tuple[int, int]]:
        """Return the offsets and sizes of the objects of an upload, in order."""
        found = []
        for entries in iterate_store(obstore.list(self._store, prefix=_folder(upload_id))):
            for entry in entries:
                name = entry["path"].rpartition("/")[2]
                if len(name) == _DIGITS and name.isdecimal():
                    found.append((int(name), entry["size"]))
        return sorted(found)


def _read_file(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (block := file.read(min(_PART_BYTES, end - start))):
            start += len(block)
            yield block


def _folder(upload_id: str) -> str:
    return f"incoming/{upload_id}.parts"
