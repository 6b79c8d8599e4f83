"""A disk that forgets: what a power cut would leave of a folder, as far as this process has had it flushed.

A killed process loses nothing that it wrote, because the page cache outlives it. So ``os.fsync`` is watched here: the
bytes of a file are on disk as they were when the file was last flushed, and a name is on disk once its folder was
flushed with it. SQLite flushes by itself, out of sight of Python; test_sqlite.py has its settings.
"""

import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Remains:
    """What is there after a power cut: names by folder, bytes by file, both by inode."""

    root: Path
    inode: int
    names: Mapping[int, Mapping[str, int]]
    contents: Mapping[int, bytes]

    def read(self, path: Path) -> bytes | None:
        """Return the bytes of a file; None where the power cut took the file, or a folder on the way to it."""
        inode = self.inode
        for name in path.relative_to(self.root).parts:
            if name not in self.names.get(inode, {}):
                return None
            inode = self.names[inode][name]
        return self.contents.get(inode, b"")


@dataclass
class Disk:
    """The disk below a folder. ``early_names`` are those that were given to a file before its bytes were flushed."""

    root: Path
    early_names: list[str] = field(default_factory=list)
    # What a power cut would have left at the moment when a file was renamed to this name.
    remains_by_name: "dict[str, Remains]" = field(default_factory=dict)
    _names: dict[int, dict[str, int]] = field(default_factory=dict)
    _contents: dict[int, bytes] = field(default_factory=dict)
    _pins: list[int] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def remains(self) -> Remains:
        """Return what a power cut at this moment would leave."""
        with self._turn:
            return Remains(self.root, self.root.stat().st_ino, dict(self._names), dict(self._contents))

    def flush(self, path: str) -> None:
        """Note that a file's bytes, or a folder's names, are on disk as they are now."""
        # Open from here on, so that no later file gets the same inode.
        pin = os.open(path, os.O_PATH)
        status = os.fstat(pin)
        with self._turn:
            self._pins.append(pin)
            if stat.S_ISDIR(status.st_mode):
                with os.scandir(path) as entries:
                    self._names[status.st_ino] = {entry.name: entry.inode() for entry in entries}
            elif stat.S_ISREG(status.st_mode):
                self._contents[status.st_ino] = Path(path).read_bytes()

    def is_flushed(self, path: Path) -> bool:
        """Return whether all of a file, or of all that is in a folder, is on disk."""
        inode = path.stat().st_ino
        if path.is_dir():
            entries = list(path.iterdir())
            return {entry.name for entry in entries} == set(self._names.get(inode, {})) and all(
                map(self.is_flushed, entries)
            )
        return self._contents.get(inode) == path.read_bytes()

    def end(self) -> None:
        """Let go of the files."""
        for pin in self._pins:
            os.close(pin)


@contextmanager
def watched(root: Path) -> Iterator[Disk]:
    """Watch what this process has flushed below a folder; what is there already counts as on disk."""
    disk = Disk(root)
    fsync, replace, rename = os.fsync, os.replace, os.rename
    disk.flush(str(root))
    for path in root.rglob("*"):
        disk.flush(str(path))

    def noting_fsync(descriptor: int) -> None:
        fsync(descriptor)
        disk.flush(f"/proc/self/fd/{descriptor}")

    def noting(name: Any) -> Any:
        def named(source: Any, target: Any, **folders: Any) -> None:
            if not disk.is_flushed(Path(os.fsdecode(source))):
                disk.early_names.append(os.fsdecode(target))
            disk.remains_by_name[os.fsdecode(target)] = disk.remains()
            name(source, target, **folders)

        return named

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", noting_fsync)
        patch.setattr(os, "replace", noting(replace))
        patch.setattr(os, "rename", noting(rename))
        try:
            yield disk
        finally:
            disk.end()


class Witness:
    """An application that notes, whenever it begins to answer, what a power cut at that moment would leave."""

    def __init__(self, app: Any, disk: Disk) -> None:
        self._app, self._disk = app, disk
        self.remains = disk.remains()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.remains = self._disk.remains()
            await send(message)

        await self._app(scope, receive, noting)
