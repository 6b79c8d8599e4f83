"""Segments between machines: one node puts its newest into the file store, and one that begins fetches them.

    <prefix>/index/<database>/<format>-<rendering>/
        segments/<name>/<array>.npy …      a segment as it lies in a home (index/files.py)
        segments/<name>/manifest.json      the last of its files to be put
        CURRENT.json                       put when all that it names are there: revision, and each segment's files with
                                           their sizes, and the checksum of its manifest; a checksum of all in front

What is fetched is checked byte by byte before it is used: anything that is not what was written, or is of another
database, format or rendering, is left where it is, and the index is built from the database instead. Nothing depends on
any of this but how long a new node takes to start.
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

# How long a node is the one that publishes.
LEASE_SECONDS = 300
# What no list names is removed after this: whoever is fetching by an older list is done by then.
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
    """What one node publishes of its segments, or fetches of another's."""

    def __init__(self, shared: SharedFiles, store: Store, folder: SegmentDirectory) -> None:
        self._shared = shared
        self._store = store
        self._folder = folder
        self._prefix = f"index/{folder.kind}"
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._offered = -1

    # --- fetching

    def fetch(self) -> bool:
        """Take over what another node published; return whether there was anything good."""
        folders: dict[str, Path] = {}
        try:
            found = self._read()
            if found is None:
                return False
            revision, listed = found
            if revision > self._store.revision():
                log.warning("published segments are of revision %d, which the database does not have", revision)
                return False
            for name, segment in listed.items():
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
        """Return the list that is published; None where there is none, or it is not as it was written."""
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
        """Whether this node has segments that are newer than what it published last."""
        current = self._folder.current()
        return current is not None and current.revision > self._offered

    def publish_when_due(self) -> None:
        """Publish this node's segments if they are newer than what is there, and no other node is the one that does.

        Raises Unavailable where the file store is away.
        """
        try:
            if self.is_due() and self._has_lease():
                self.publish()
        except OSError as problem:
            raise errors.Unavailable(f"could not upload segments: {problem}") from problem

    def publish(self) -> bool:
        """Publish this node's segments if they are newer than what is there; return whether they were."""
        opened = self._folder.open()
        if opened is None:
            return False
        current, stored = opened
        before = self._read()
        if before is not None and before[0] >= current.revision:
            self._offered = current.revision
            return False
        listed: dict[str, _Listed] = {}
        with _kept_open([segment.folder for segment in stored]) as folders:
            for folder in folders:
                known = before[1].get(folder.name) if before else None
                listed[folder.name] = known or self._sent(folder)
        body = {
            "kind": self._folder.kind,
            "revision": current.revision,
            "segments": {
                name: {"files": segment.files, "manifest": segment.manifest} for name, segment in listed.items()
            },
        }
        text = json.dumps(body).encode()
        self._shared.write(self._current, blake3(text).hexdigest().encode() + b"\n" + text)
        self._offered = current.revision
        self._remove_unreferenced(set(listed))
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
        """Remove what no list names any more, and has not for an hour."""
        ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=KEPT_SECONDS)
        prefix = f"{self._prefix}/segments/"
        files = [*self._shared.all(prefix)]
        youngest: dict[str, datetime.datetime] = {}
        for file in files:
            name = file.name.removeprefix(prefix).partition("/")[0]
            youngest[name] = max(file.changed_at, youngest.get(name, file.changed_at))
        gone = {name for name, changed_at in youngest.items() if name not in names and changed_at < ended}
        self._shared.remove([f.name for f in files if f.name.removeprefix(prefix).partition("/")[0] in gone])

    def _has_lease(self) -> bool:
        """Whether this node is the one that publishes; it is for some minutes if none other is."""
        with self._store.transaction() as writing:
            owner, _, until = (self._store.get_property(_LEASE) or "").rpartition(" ")
            if owner not in ("", self._owner) and until.isdigit() and int(until) > writing.now:
                return False
            writing.remember(_LEASE, f"{self._owner} {writing.now + LEASE_SECONDS}")
        return True

    @property
    def _current(self) -> str:
        return f"{self._prefix}/CURRENT.json"


def _parsed(body: Mapping[str, Any], kind: str) -> tuple[int, dict[str, _Listed]]:
    """Return the list that a body holds. Raises ValueError, KeyError, TypeError or AttributeError for what is none."""
    if body["kind"] != kind:
        raise ValueError("it is of another database, format or rendering")
    listed = {
        name: _Listed({file: int(size) for file, size in segment["files"].items()}, str(segment["manifest"]))
        for name, segment in body["segments"].items()
    }
    for name, segment in listed.items():
        # Names become paths.
        if not _NAME.fullmatch(name) or not all(map(_FILE.fullmatch, segment.files)) or _MANIFEST not in segment.files:
            raise ValueError(f"{name!r} is no segment")
    return int(body["revision"]), listed


@contextmanager
def _kept_open(folders: list[Path]) -> Iterator[list[Path]]:
    """Give copies of folders, by hard links, that stay while a merge removes the folders."""
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
