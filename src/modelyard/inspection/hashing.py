"""Six hashes of one file in one pass: SHA-256, AutoV1, AutoV2, AutoV3, BLAKE3, CRC32.

    SHA-256   the whole file
    AutoV2    the first 10 digits of SHA-256 (A1111's "shorthash")
    AutoV1    the first 8 digits of the SHA-256 of 64 KiB at offset 1 MiB; undefined below 2 MiB, and ambiguous
    AutoV3    the SHA-256 of what follows the safetensors header; only for safetensors
    BLAKE3    the whole file
    CRC32     the whole file

Each long hash has its own thread, because hashlib, blake3 and isal release the GIL. The reader fills blocks of a small
ring, every thread walks the same blocks, and a block is reused when the last thread has left it: memory stays at
``RING_BLOCKS * BLOCK_BYTES`` whatever the file's size.

Measured by benchmarks/inspect.py; the numbers stand there. AutoV3 is a second, differently aligned SHA-256 over nearly
the same bytes, so six hashes cost at least two SHA-256 in processor time: two processors do them about as fast as one
does SHA-256 alone, and CRC32 must cost next to nothing (isal's takes a tenth of zlib's).
"""

import hashlib
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO, Protocol, Self

from blake3 import blake3
from isal import isal_zlib

from modelyard.errors import ModelyardError
from modelyard.fingerprint import Fingerprint

# The whole ring stays in a processor's second-level cache while the threads walk it. Processor time for 600 MB, four
# threads on 2 busy cores, November 2026: 6 blocks of 512 KiB 0.86 s, 12 of 1 MiB 1.01 to 1.16 s, and blocks of 2 MiB
# more still; SHA-256 alone 0.39 s.
BLOCK_BYTES = 1 << 19
RING_BLOCKS = 6
AUTOV1_OFFSET = 1 << 20
AUTOV1_BYTES = 1 << 16
AUTOV1_SIZE_MIN = 2 << 20
# The reference parser's own limit; a longer "header" is no safetensors header, so there is no AutoV3.
AUTOV3_HEADER_BYTES_MAX = 100_000_000


class FileChanged(ModelyardError):
    """The file was written, replaced or removed while it was read: what was read describes no file. Try again later."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the file changed while it was read: {what}", changed=what)


@dataclass(frozen=True, slots=True)
class FileHashes:
    """Upper-case hexadecimal, as Civitai writes them; ``None`` where the hash is not defined for this file."""

    sha256: str
    autov1: str | None
    autov2: str
    autov3: str | None
    blake3: str
    crc32: str

    def to_json(self) -> dict[str, str | None]:
        """Return the hashes by name."""
        return {
            "sha256": self.sha256,
            "autov1": self.autov1,
            "autov2": self.autov2,
            "autov3": self.autov3,
            "blake3": self.blake3,
            "crc32": self.crc32,
        }


class _Digest(Protocol):
    def update(self, data: memoryview, /) -> object: ...


class _Crc32:
    """A running CRC-32 in hashlib's form."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def update(self, data: memoryview, /) -> None:
        self.value = isal_zlib.crc32(data, self.value)


@dataclass(slots=True)
class _Block:
    """A block of the ring; ``readers`` counts the threads that still walk it."""

    memory: bytearray
    used: int = 0
    readers: int = 0


class _Ring:
    """Blocks that wander between the one writer and the hashing threads."""

    def __init__(self, blocks: int) -> None:
        self._free: queue.SimpleQueue[_Block] = queue.SimpleQueue()
        self._lock = threading.Lock()
        for _ in range(blocks):
            self._free.put(_Block(bytearray(BLOCK_BYTES)))

    def take(self) -> _Block:
        return self._free.get()

    def leave(self, block: _Block) -> None:
        with self._lock:
            block.readers -= 1
            last = block.readers == 0
        if last:
            self._free.put(block)


class _Lane(threading.Thread):
    """One hash in its own thread; ``skip`` bytes at the start are not hashed."""

    def __init__(self, digest: _Digest, skip: int, ring: _Ring) -> None:
        super().__init__(name="modelyard-hash", daemon=True)
        self.blocks: queue.SimpleQueue[_Block | None] = queue.SimpleQueue()
        self.failure: BaseException | None = None
        self._digest = digest
        self._skip = skip
        self._ring = ring

    def run(self) -> None:
        while (block := self.blocks.get()) is not None:
            try:
                if self.failure is None:
                    self._skip = _feed(self._digest, memoryview(block.memory)[: block.used], self._skip)
            except BaseException as failure:  # kept for finish(), which raises it in the caller's thread
                self.failure = failure
            finally:
                self._ring.leave(block)


def _feed(digest: _Digest, data: memoryview, skip: int) -> int:
    """Hash ``data`` without its first ``skip`` bytes; return how many are still to be skipped."""
    if skip >= len(data):
        return skip - len(data)
    digest.update(data[skip:] if skip else data)
    return 0


class Hasher:
    """The six hashes of bytes that arrive piece by piece; for a file on disk use :func:`hash_file`.

    Threads are started with the second block only, so a small file costs none. A hasher that is given up must be closed
    (it is a context manager); :meth:`finish` closes it too.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._blake3 = blake3()
        self._crc32 = _Crc32()
        self._autov3: hashlib._Hash | None = None
        self._autov3_skip = 0
        self._autov1 = hashlib.sha256()
        self._size = 0
        self._ring: _Ring | None = None
        self._lanes: list[_Lane] = []
        self._block = _Block(bytearray(BLOCK_BYTES))
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        """How many bytes were given so far."""
        return self._size + self._block.used

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. They are copied: the caller may reuse its buffer."""
        rest = memoryview(data).cast("B")
        while rest:
            space = self.space()
            count = min(len(space), len(rest))
            space[:count] = rest[:count]
            self.filled(count)
            rest = rest[count:]

    def space(self) -> memoryview:
        """Return the memory that the next bytes may be read into; :meth:`filled` says how many were."""
        return memoryview(self._block.memory)[self._block.used :]

    def filled(self, count: int) -> None:
        """Take ``count`` bytes that were read into :meth:`space`."""
        if self._closed:
            raise ValueError("a hasher takes no bytes after it was finished or closed")
        self._block.used += count
        if self._block.used == BLOCK_BYTES:
            self._pass_on()

    def finish(self) -> FileHashes:
        """Return the hashes of everything given."""
        if self._lanes:
            if self._block.used:
                self._pass_on()
            self.close()
            for lane in self._lanes:
                if lane.failure is not None:
                    raise lane.failure
        else:
            self._begin()
            self._walk_here()
            self._closed = True
        sha256 = self._sha256.hexdigest().upper()
        autov3 = self._autov3 if self._autov3_skip <= self._size else None
        return FileHashes(
            sha256=sha256,
            autov1=self._autov1.hexdigest()[:8].upper() if self._size >= AUTOV1_SIZE_MIN else None,
            autov2=sha256[:10],
            autov3=autov3.hexdigest().upper() if autov3 else None,
            blake3=self._blake3.hexdigest().upper(),
            crc32=f"{self._crc32.value:08X}",
        )

    def close(self) -> None:
        """End the threads; without effect when they have ended."""
        self._closed = True
        for lane in self._lanes:
            lane.blocks.put(None)
        for lane in self._lanes:
            lane.join()

    def _begin(self) -> None:
        """Look at the first bytes: is there a safetensors header, and where does it end?"""
        head = bytes(self._block.memory[: min(self._block.used, 9)])
        length = int.from_bytes(head[:8], "little")
        if len(head) == 9 and head[8:] == b"{" and length <= AUTOV3_HEADER_BYTES_MAX:
            self._autov3 = hashlib.sha256()
            self._autov3_skip = 8 + length

    def _digests(self) -> list[tuple[_Digest, int]]:
        digests: list[tuple[_Digest, int]] = [(self._sha256, 0), (self._blake3, 0), (self._crc32, 0)]
        if self._autov3 is not None:
            digests.insert(1, (self._autov3, self._autov3_skip))
        return digests

    def _walk_here(self) -> None:
        """Hash the only block in this thread."""
        data = memoryview(self._block.memory)[: self._block.used]
        self._take_autov1(data)
        for digest, skip in self._digests():
            _feed(digest, data, skip)
        self._size += self._block.used

    def _pass_on(self) -> None:
        """Give the filled block to every thread, and take a free one."""
        if self._ring is None:
            self._begin()
            self._ring = _Ring(RING_BLOCKS)
            self._lanes = [_Lane(digest, skip, self._ring) for digest, skip in self._digests()]
            for lane in self._lanes:
                lane.start()
        block = self._block
        self._take_autov1(memoryview(block.memory)[: block.used])
        self._size += block.used
        block.readers = len(self._lanes)
        for lane in self._lanes:
            lane.blocks.put(block)
        self._block = self._ring.take()
        self._block.used = 0

    def _take_autov1(self, data: memoryview) -> None:
        begin = max(AUTOV1_OFFSET - self._size, 0)
        end = AUTOV1_OFFSET + AUTOV1_BYTES - self._size
        if begin < len(data) and end > begin:
            self._autov1.update(data[begin : min(end, len(data))])


def hash_reader(reader: BinaryIO, size_bytes: int, on_bytes: Callable[[int], None] | None = None) -> FileHashes:
    """Return the hashes of an unbuffered reader's next ``size_bytes`` bytes, or of fewer if it ends before.

    Not of all that come: a file may grow as fast as it is read. ``on_bytes`` is called with the number of bytes that
    each step added.
    """
    readinto = reader.readinto  # type: ignore[attr-defined]  # every raw and buffered binary reader has it; typeshed's BinaryIO lacks it
    with Hasher() as hasher:
        while count := readinto(hasher.space()[: size_bytes - hasher.size_bytes]):
            hasher.filled(count)
            if on_bytes is not None:
                on_bytes(count)
        return hasher.finish()


def without_autov3(hashes: FileHashes) -> FileHashes:
    """The hashes of bytes that only began as safetensors do: AutoV3 is not defined for them."""
    return replace(hashes, autov3=None)


def check_unchanged(path: str | os.PathLike[str], before: os.stat_result) -> None:
    """Raise :class:`FileChanged` unless ``path`` still names the file that ``before`` saw."""
    try:
        after = os.stat(path)  # noqa: PTH116  # a path of bytes or a surrogate-escaped name must work as given
    except FileNotFoundError:
        raise FileChanged("it is gone") from None
    if (before.st_dev, before.st_ino) != (after.st_dev, after.st_ino):
        raise FileChanged("another file has its name now")
    if Fingerprint.of(before) != Fingerprint.of(after):
        raise FileChanged(
            f"{before.st_size} bytes before, {after.st_size} after, modification time differs"
            if before.st_size == after.st_size
            else f"{before.st_size} bytes before, {after.st_size} after"
        )


def hash_file(path: str | os.PathLike[str], on_bytes: Callable[[int], None] | None = None) -> FileHashes:
    """Return the hashes of a file. Raises :class:`FileChanged` if it did not hold still, ``OSError`` if unreadable."""
    with open(path, "rb", buffering=0) as reader:  # noqa: PTH123  # see check_unchanged
        before = os.fstat(reader.fileno())
        hashes = hash_reader(reader, before.st_size, on_bytes)
    check_unchanged(path, before)
    return hashes
