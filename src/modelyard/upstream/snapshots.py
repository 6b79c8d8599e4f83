"""Repositories of the hub at a commit: their description and the list of their files.

A snapshot is parsed from a stranger's JSON: names, hashes and sizes are checked here, and what does not fit is left
out.
"""

import logging
import re
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from modelyard import errors
from modelyard.store import Store, upstream

log = logging.getLogger(__name__)

# How long the commit of a branch is taken for the newest.
FRESH_SECONDS = 60.0
_MISSING_SECONDS = 30.0
_NAMES_MAX = 10_000
_MEMORY_BYTES_MAX = 8 * 2**20
_FILES_MAX = 100_000
_PATH_CHARS_MAX = 500
_SIZE_BYTES_MAX = 10**13
_COMMIT = re.compile("[0-9a-f]{40}")
_SHA256 = re.compile("[0-9a-f]{64}")
_REVISION = re.compile(r"(?:refs/(?:pr|convert)/)?(?![-.])[A-Za-z0-9_.+@=-]{1,96}")
_NOT_IN_PATHS = re.compile(r"[\x00-\x1f\x7f\\]")
# What callers get of the description; the list of files is made here.
_FIELDS = (
    "_id",
    "id",
    "modelId",
    "author",
    "lastModified",
    "createdAt",
    "private",
    "gated",
    "disabled",
    "downloads",
    "likes",
    "tags",
    "pipeline_tag",
    "library_name",
    "cardData",
    "config",
    "safetensors",
    "usedStorage",
)
PUBLIC, GATED, PRIVATE = "public", "gated", "private"


class SnapshotFile(msgspec.Struct, frozen=True, array_like=True):
    """A file. Large ones have their SHA-256; ``oid`` is git's hash. Hashes are lower case."""

    path: str
    size_bytes: int
    oid: str
    sha256: str | None = None

    @property
    def etag(self) -> str:
        """The hash by which clients know the file."""
        return self.sha256 or self.oid


class Snapshot(msgspec.Struct, frozen=True):
    """A repository at a commit. ``access`` is who may read it on the hub: ``PUBLIC``, ``GATED`` or ``PRIVATE``."""

    repository: str
    commit: str
    access: str
    fields: dict[str, Any]
    files: tuple[SnapshotFile, ...]

    def find(self, path: str) -> SnapshotFile:
        """Return the file at a path. Raises EntryNotFound."""
        for file in self.files:
            if file.path == path:
                return file
        raise errors.EntryNotFound(path, self.commit)


class Describe(Protocol):
    """Asks the hub for a repository at a revision."""

    def __call__(self, repository: str, revision: str) -> Snapshot:
        """Return the repository at the revision."""


class _Lfs(msgspec.Struct):
    sha256: str
    size: int


class _Sibling(msgspec.Struct, rename="camel"):
    rfilename: str
    size: int | None = None
    blob_id: str | None = None
    lfs: _Lfs | None = None


class _Description(msgspec.Struct):
    sha: str
    siblings: list[_Sibling] = []
    # A hub that does not say that everybody may read a repository is not taken to say it.
    private: bool = True
    gated: bool | str = True


_decode = msgspec.json.Decoder(Snapshot).decode


def parse_snapshot(description: object, repository: str) -> Snapshot:
    """Return the snapshot that the hub's description is of. Raises UpstreamFailed if it is none."""
    try:
        parsed = msgspec.convert(description, _Description)
    except msgspec.ValidationError as problem:
        raise errors.UpstreamFailed(f"the hub's description of {repository} cannot be used: {problem}") from None
    if not _COMMIT.fullmatch(parsed.sha):
        raise errors.UpstreamFailed(f"the hub's description of {repository} has no commit of 40 hexadecimal digits")
    if len(parsed.siblings) > _FILES_MAX:
        raise errors.UpstreamFailed(f"{repository} has {len(parsed.siblings):,} files; accepted: up to {_FILES_MAX:,}")
    assert isinstance(description, Mapping), "it was converted"
    files = {file.path: file for sibling in parsed.siblings if (file := _parse_file(sibling))}
    if len(files) < len(parsed.siblings):
        log.warning(
            "%s: %d files left out: no usable name, size or hash", repository, len(parsed.siblings) - len(files)
        )
    access = PRIVATE if parsed.private else GATED if parsed.gated else PUBLIC
    fields = {name: description[name] for name in _FIELDS if name in description}
    return Snapshot(repository, parsed.sha, access, fields, tuple(files[path] for path in sorted(files)))


def _parse_file(sibling: _Sibling) -> SnapshotFile | None:
    lfs, oid = sibling.lfs, sibling.blob_id or ""
    size_bytes = lfs.size if lfs else sibling.size
    is_usable = (
        _is_path(sibling.rfilename)
        and size_bytes is not None
        and 0 <= size_bytes <= _SIZE_BYTES_MAX
        and _COMMIT.fullmatch(oid)
        and (lfs is None or _SHA256.fullmatch(lfs.sha256))
    )
    return SnapshotFile(sibling.rfilename, size_bytes or 0, oid, lfs.sha256 if lfs else None) if is_usable else None


def _is_path(path: str) -> bool:
    is_text = 0 < len(path) <= _PATH_CHARS_MAX and not _NOT_IN_PATHS.search(path) and path.isprintable()
    return is_text and not any(part in ("", ".", "..") for part in path.split("/"))


def is_revision(revision: str) -> bool:
    """Whether the hub can be asked for a branch, tag or commit of this name."""
    return _REVISION.fullmatch(revision) is not None and ".." not in revision


class Snapshots:
    """The snapshots of one hub, by repository and revision. Threads may share it."""

    def __init__(
        self,
        store: Store,
        address: str,
        describe: Describe,
        bytes_max: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._address = address
        self._describe = describe
        self._bytes_max = bytes_max
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()
        self._missing: OrderedDict[tuple[str, str], tuple[float, errors.ModelyardError]] = OrderedDict()
        self._memory: OrderedDict[tuple[str, str], tuple[Snapshot, int]] = OrderedDict()
        self._memory_bytes = 0

    def find_stored(self, repository: str, revision: str) -> tuple[Snapshot | None, bool]:
        """Return the snapshot that is here, None if there is none, and whether it may be answered without asking.

        Raises the error that the hub answered with a moment ago.
        """
        key, now = (repository, revision), self._clock()
        with self._lock:
            at, commit = self._asked_at.get(key, (float("-inf"), None))
            missing_at, problem = self._missing.get(key, (float("-inf"), None))
        if problem is not None and now < missing_at + _MISSING_SECONDS:
            raise problem
        if _COMMIT.fullmatch(revision):
            snapshot = self._load(repository, revision)
            return snapshot, snapshot is not None
        if commit is None:
            with self._store.reading() as connection:
                commit = upstream.find_commit(connection, self._address, repository, revision)
        return self._load(repository, commit) if commit else None, now < at + FRESH_SECONDS

    def ask(self, repository: str, revision: str) -> Snapshot:
        """Ask the hub, keep its answer, and return it. Raises what ``UpstreamClient.describe`` raises."""
        key = repository, revision
        try:
            snapshot = self._describe(repository, revision)
            if _COMMIT.fullmatch(revision) and snapshot.commit != revision:
                raise errors.UpstreamFailed(f"the hub answers {revision} of {repository} with another commit")
        except (errors.NotFound, errors.RepositoryGated) as problem:
            with self._lock:
                _remember(self._missing, key, (self._clock(), problem))
                self._asked_at.pop(key, None)
            raise
        self._keep(snapshot, revision)
        with self._lock:
            _remember(self._asked_at, key, (self._clock(), snapshot.commit))
        return snapshot

    def expire(self, repository: str, revision: str) -> None:
        """Ask the hub again for the commit of a branch before a minute is over."""
        with self._lock:
            self._asked_at.pop((repository, revision), None)

    def _load(self, repository: str, commit: str) -> Snapshot | None:
        with self._lock:
            if entry := self._memory.get((repository, commit)):
                self._memory.move_to_end((repository, commit))
                return entry[0]
        with self._store.reading() as connection:
            content = upstream.find_snapshot(connection, self._address, repository, commit)
        if content is None:
            return None
        text = zlib.decompress(content)
        snapshot = _decode(text)
        self._put_in_memory(snapshot, len(text))
        return snapshot

    def _keep(self, snapshot: Snapshot, revision: str) -> None:
        text = msgspec.json.encode(snapshot)
        repository, commit = snapshot.repository, snapshot.commit
        previous = self._load(repository, commit)
        # A repository may be closed, or opened, without a new commit.
        has_other_access = previous is not None and previous.access != snapshot.access
        self._put_in_memory(snapshot, len(text))
        with self._store.reading() as connection:
            has_snapshot = upstream.find_snapshot(connection, self._address, repository, commit) is not None
            is_same = upstream.find_commit(connection, self._address, repository, revision) == commit
        if has_snapshot and not has_other_access and (is_same or revision == commit):
            return
        content = zlib.compress(text)
        with self._store.transaction() as transaction:
            connection = transaction.connection
            used_bytes = upstream.usage(connection).size_bytes
            if not has_snapshot and not has_room(used_bytes, len(content), self._bytes_max):
                return
            if not has_snapshot or has_other_access:
                upstream.put_snapshot(connection, self._address, repository, commit, content, transaction.now)
            if revision != commit:
                upstream.put_commit(connection, self._address, repository, revision, commit)

    def _put_in_memory(self, snapshot: Snapshot, size_bytes: int) -> None:
        # Decoded, it takes several times the bytes of its text.
        size_bytes *= 4
        key = snapshot.repository, snapshot.commit
        with self._lock:
            if previous := self._memory.pop(key, None):
                self._memory_bytes -= previous[1]
            self._memory[key] = snapshot, size_bytes
            self._memory_bytes += size_bytes
            while self._memory_bytes > _MEMORY_BYTES_MAX and len(self._memory) > 1:
                self._memory_bytes -= self._memory.popitem(last=False)[1][1]


def has_room(used_bytes: int, size_bytes: int, bytes_max: int) -> bool:
    """Whether so many more bytes may be kept. A full store is logged: nothing that is kept is removed for them."""
    if not bytes_max or used_bytes + size_bytes <= bytes_max:
        return True
    log.warning(
        "hub_upstream_bytes_max: %d bytes of the hub are kept, %d more do not fit into %d: passed on, not kept",
        used_bytes,
        size_bytes,
        bytes_max,
    )
    return False


def _remember(values: "OrderedDict[tuple[str, str], Any]", key: tuple[str, str], value: object) -> None:
    values[key] = value
    values.move_to_end(key)
    while len(values) > _NAMES_MAX:
        values.popitem(last=False)
