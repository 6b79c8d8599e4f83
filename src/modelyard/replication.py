"""Shares segments between machines: one node publishes its newest ones in the file store, and a new node fetches them.

    <prefix>/index/<database>/<format>-<rendering>/
        segments/<name>/<array>.npy …      the files of a segment (index/segment_file.py)
        segments/<name>/manifest.json      the node puts this file of a segment last
        CURRENT.json                       the node puts this after all segments: revision, and each segment's files
                                           with their sizes, and the checksum of its manifest; its checksum in front

A node checks every byte of the fetched segments before it uses them. If a checksum differs, or the segments are of
another database, format or rendering, it builds the index from the database instead. Published segments only shorten
the start of a new node.
"""

import datetime
import json
import logging
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from modelyard import errors
from modelyard.blobs import SharedFiles
from modelyard.index import DamagedSegmentError, SegmentDirectory
from modelyard.store import Store

# How long a lease to publish lasts.
LEASE_SECONDS = 300
# The publisher removes segments that are not in the list after this time: nodes that fetch an older list are done.
KEPT_SECONDS = 3600
_NAME = re.compile(r"\d{10,19}-\d{1,19}-[0-9a-f]{8}")
_FILE = re.compile(r"[a-z0-9_]{1,40}\.npy|manifest\.json")
_MANIFEST = "manifest.json"
_LEASE = "publisher"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A published segment: its files with their sizes, and the checksum of its manifest."""

    files: dict[str, int]
    manifest: str


class SegmentReplicator:
    """Publishes the segments of this node, or fetches those of another."""

    def __init__(self, shared: SharedFiles, store: Store, folder: SegmentDirectory) -> None:
        self._shared = shared
        self._store = store
        self._folder = folder
        self._prefix = f"index/{folder.kind}"
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._offered = -1

    # --- fetching

    def fetch(self) -> bool:
        """Fetch and install the published segments; return whether there were usable ones."""
        folders: dict[str, Path] = {}
        try:
            publication = self._read()
            if publication is None:
                return False
            revision, segments = publication
            if revision > self._store.revision():
                log.warning("published segments are of revision %d, which the database does not have", revision)
                return False
            for name, segment in segments.items():
                folders[name] = self._fetched(name, segment)
            self._folder.install(folders, revision)
            log.info("fetched the index as it was at revision %d", revision)
        except (errors.Unavailable, DamagedSegmentError, FileNotFoundError, OSError) as problem:
            log.warning("published segments cannot be used: %s", problem)
            return False
        finally:
            for folder in folders.values():
                shutil.rmtree(folder, ignore_errors=True)
        return True

    def _fetched(self, name: str, segment: _Listed) -> Path:
        folder = self._folder.making_path(name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            self._shared.fetch({f"{self._prefix}/segments/{name}/{file}": folder / file for file in segment.files})
            if blake3((folder / _MANIFEST).read_bytes()).hexdigest() != segment.manifest:
                raise DamagedSegmentError(folder, "the manifest is not the one that was published")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def _read(self) -> tuple[int, dict[str, _Listed]] | None:
        """Return the published list; None if there is none, or it is damaged."""
        content = self._shared.read(self._current)
        if content is None:
            return None
        seal, _, text = content.partition(b"\n")
        try:
            if seal != blake3(text).hexdigest().encode():
                raise ValueError("it does not agree with its checksum")
            return _parsed(json.loads(text), self._folder.kind)
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            log.warning("the list of published segments is damaged: %s", problem)
            return None

    # --- publishing

    def is_due(self) -> bool:
        """Whether this node has segments newer than those that it published last."""
        current = self._folder.current()
        return current is not None and current.revision > self._offered

    def publish_when_due(self) -> None:
        """Publish this node's segments if they are newer than the published ones and no other node has the lease.

        Raises Unavailable if the file store is away.
        """
        try:
            if self.is_due() and self._has_lease():
                self.publish()
        except OSError as problem:
            raise errors.Unavailable(f"could not upload segments: {problem}") from problem

    def publish(self) -> bool:
        """Publish this node's segments if they are newer than the published ones; return whether they were."""
        local = self._folder.open()
        if local is None:
            return False
        current, stored = local
        before = self._read()
        if before is not None and before[0] >= current.revision:
            self._offered = current.revision
            return False
        segments: dict[str, _Listed] = {}
        with _kept_open([segment.folder for segment in stored]) as folders:
            for folder in folders:
                published = before[1].get(folder.name) if before else None
                segments[folder.name] = published or self._sent(folder)
        body = {
            "kind": self._folder.kind,
            "revision": current.revision,
            "segments": {
                name: {"files": segment.files, "manifest": segment.manifest} for name, segment in segments.items()
            },
        }
        text = json.dumps(body).encode()
        self._shared.write(self._current, blake3(text).hexdigest().encode() + b"\n" + text)
        self._offered = current.revision
        self._remove_unreferenced(set(segments))
        log.info("published the index as it is at revision %d", current.revision)
        return True

    def _sent(self, folder: Path) -> _Listed:
        files = {path.name: path for path in folder.iterdir() if _FILE.fullmatch(path.name)}
        manifest = files.pop(_MANIFEST)
        target = f"{self._prefix}/segments/{folder.name}"
        self._shared.send({f"{target}/{name}": path for name, path in files.items()})
        self._shared.send({f"{target}/{_MANIFEST}": manifest})
        sizes = {path.name: path.stat().st_size for path in (*files.values(), manifest)}
        return _Listed(sizes, blake3(manifest.read_bytes()).hexdigest())

    def _remove_unreferenced(self, names: set[str]) -> None:
        """Remove segments that are not in the list and have not changed for an hour."""
        # By the database's clock: that of this machine may be an hour ahead.
        ended = datetime.datetime.fromtimestamp(self._store.now() - KEPT_SECONDS, datetime.UTC)
        prefix = f"{self._prefix}/segments/"
        files = [*self._shared.all(prefix)]
        youngest: dict[str, datetime.datetime] = {}
        for file in files:
            name = file.name.removeprefix(prefix).partition("/")[0]
            youngest[name] = max(file.changed_at, youngest.get(name, file.changed_at))
        gone = {name for name, changed_at in youngest.items() if name not in names and changed_at < ended}
        self._shared.remove([f.name for f in files if f.name.removeprefix(prefix).partition("/")[0] in gone])

    def _has_lease(self) -> bool:
        """Take or extend the lease to publish; return whether this node has it."""
        with self._store.transaction() as transaction:
            owner, _, until = (self._store.get_property(_LEASE) or "").rpartition(" ")
            if owner not in ("", self._owner) and until.isdigit() and int(until) > transaction.now:
                return False
            transaction.remember(_LEASE, f"{self._owner} {transaction.now + LEASE_SECONDS}")
        return True

    @property
    def _current(self) -> str:
        return f"{self._prefix}/CURRENT.json"


def _parsed(body: Mapping[str, Any], kind: str) -> tuple[int, dict[str, _Listed]]:
    """Return the list of a body. Raises ValueError, KeyError, TypeError or AttributeError if it is invalid."""
    if body["kind"] != kind:
        raise ValueError("it is of another database, format or rendering")
    segments = {
        name: _Listed({file: int(size) for file, size in segment["files"].items()}, str(segment["manifest"]))
        for name, segment in body["segments"].items()
    }
    for name, segment in segments.items():
        # Names become paths, so check them.
        if not _NAME.fullmatch(name) or not all(map(_FILE.fullmatch, segment.files)) or _MANIFEST not in segment.files:
            raise ValueError(f"{name!r} is no segment")
    return int(body["revision"]), segments


@contextmanager
def _kept_open(folders: list[Path]) -> Iterator[list[Path]]:
    """Yield hard-linked copies of folders, which stay while a merge removes the folders."""
    copies: list[Path] = []
    try:
        for folder in folders:
            copy = folder.with_name(f"making-{os.getpid()}-published") / folder.name
            shutil.rmtree(copy, ignore_errors=True)
            copy.mkdir(parents=True)
            copies.append(copy)
            for path in folder.iterdir():
                (copy / path.name).hardlink_to(path)
        yield copies
    finally:
        for copy in copies:
            shutil.rmtree(copy.parent, ignore_errors=True)
