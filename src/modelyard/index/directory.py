"""The segments of one home folder: which are current, how one is added, how several become one.

    HOME/index/
        CURRENT                 a checksum, and JSON: format, whose (the database), how rendered, revision,
                                names oldest first
        00000012-3-0a1b2c3d/    a segment (files.py): revision, after, and something that no other has
        publish.lock            held for the moments in which CURRENT is read and replaced
        build.lock              held while everything is built, so that one process does and the others wait
        merge.lock              held by the one process that merges; a lock dies with its holder
        serving.lock            shared by processes that answer from these segments

Segments stand for consecutive revisions, oldest first; a newer one replaces rows of the older ones. CURRENT is replaced
by renaming, so a reader sees the old list or the new one. Folders that no list names are removed; who has one mapped
keeps it until it closes.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from blake3 import blake3

from modelyard import errors
from modelyard.index.segment_file import (
    FORMAT,
    DamagedSegmentError,
    StoredSegment,
    flush_folder,
    open_segment,
    read_sealed,
    verify,
    write_sealed,
)

ABSENT = "there is none yet"


@dataclass(frozen=True, slots=True)
class Current:
    """The list of segments that together stand for ``revision``."""

    format: int
    identity: str
    rendering: str
    revision: int
    names: tuple[str, ...]


class SegmentDirectory:
    """One home's segments. ``identity`` names the database, ``rendering`` how its records were made: segments of
    another database or rendering are not ours and are built again."""

    def __init__(self, path: Path, identity: str, rendering: str) -> None:
        self.path = path
        self._identity = identity
        self._rendering = rendering
        self._opened: dict[str, StoredSegment] = {}
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / "publish.lock").open("a").close()
        except OSError as problem:
            raise errors.ConfigurationError(f"the index in {path} cannot be kept: {problem.strerror}") from problem

    # --- reading

    def version(self) -> int:
        """Return a number that changes when the list of segments may have; one ``stat``."""
        try:
            found = (self.path / "CURRENT").stat()
        except FileNotFoundError:
            return 0
        return found.st_mtime_ns ^ found.st_ino

    def current(self) -> Current | None:
        """Return the current list; None where there is none that is ours, or it is damaged."""
        found = self._read()
        return found if isinstance(found, Current) else None

    def problem(self) -> str | None:
        """Return why there is no current list of ours, None where there is one."""
        found = self._read()
        return found if isinstance(found, str) else None

    def _read(self) -> Current | str:
        try:
            text = read_sealed(self.path / "CURRENT")
            body = json.loads(text) if text is not None else {}
            current = Current(**{**body, "names": tuple(body["names"])})
        except FileNotFoundError:
            return ABSENT
        except (OSError, ValueError, KeyError, TypeError):
            return "CURRENT is damaged"
        if current.format != FORMAT:
            return f"it is of format {current.format}, not {FORMAT}"
        if current.identity != self._identity:
            return "it is of another database"
        return current if current.rendering == self._rendering else "its records were rendered otherwise"

    def open(self) -> tuple[Current, list[StoredSegment]] | None:
        """Return the current list with its segments opened; those opened before are the same objects.

        Raises DamagedSegmentError. None where there is no list of ours.
        """
        while True:
            current = self.current()
            if current is None:
                return None
            try:
                opened = {name: self._opened.get(name) or open_segment(self.path / name) for name in current.names}
            except DamagedSegmentError:
                # Between reading the list and opening, a merge may have replaced both.
                if self.current() == current:
                    raise
                continue
            self._opened = opened
            return current, list(opened.values())

    def verify(self) -> dict[str, int | DamagedSegmentError]:
        """Check every byte of the current segments; return the size of each in bytes, or how it is damaged."""
        if (problem := self.problem()) not in (None, ABSENT):
            return {"CURRENT": DamagedSegmentError(self.path / "CURRENT", str(problem))}
        checked: dict[str, int | DamagedSegmentError] = {}
        while True:
            current = self.current()
            names = current.names if current else ()
            for name in names:
                if name not in checked:
                    try:
                        checked[name] = verify(self.path / name)
                    except DamagedSegmentError as damage:
                        checked[name] = damage
            # Where a merge replaced some meanwhile, what is missing is no damage.
            if self.current() == current:
                return {name: checked[name] for name in names}

    @property
    def kind(self) -> str:
        """A name, for a path, of what segments have to be to be ours: whose, of which format, rendered how."""
        rendering = blake3(self._rendering.encode()).hexdigest(8)
        return f"{self._identity}/{FORMAT}-{rendering}"

    # --- changing

    def install(self, folders: dict[str, Path], revision: int) -> bool:
        """Make finished folders, by the names they shall have, the list, unless there is one; return whether it was.

        Raises DamagedSegmentError where a byte of them is not what was written.
        """
        for folder in folders.values():
            verify(folder)
        with self.publishing():
            if self.current() is not None:
                return False
            for name, folder in folders.items():
                shutil.rmtree(self.path / name, ignore_errors=True)
                folder.rename(self.path / name)
            flush_folder(self.path)
            self.publish(tuple(folders), revision)
        return True

    def making_path(self, name: str) -> Path:
        """Return where this process may make a folder that nobody sweeps while it lives."""
        return self.path / f"making-{os.getpid()}-{name}"

    def new_path(self, after: int, revision: int) -> Path:
        """Return where a new segment for the revisions after ``after`` up to ``revision`` is to be written."""
        return self.path / f"{revision:010d}-{after}-{secrets.token_hex(4)}"

    def publish(self, names: tuple[str, ...], revision: int) -> None:
        """Make this the current list. The caller holds ``publishing``."""
        text = json.dumps(asdict(Current(FORMAT, self._identity, self._rendering, revision, names)))
        temporary = self.path / "CURRENT.new"
        write_sealed(temporary, text)
        temporary.replace(self.path / "CURRENT")
        flush_folder(self.path)

    def remove_unreferenced(self) -> None:
        """Remove folders that are not current and not being made. The caller holds ``publishing``."""
        current = self.current()
        kept = set(current.names) if current else set()
        for folder in self.path.iterdir():
            if folder.is_dir() and folder.name not in kept and not _is_being_made(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    def invalidate(self, segment: Path) -> None:
        """Withdraw the current list, because this segment of it is damaged: all is built again.

        A list without it is left alone: another process noticed first, and has built anew.
        """
        with self.publishing():
            current = self.current()
            if current is None or segment.name in current.names:
                (self.path / "CURRENT").unlink(missing_ok=True)
        self._opened = {}

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Hold the right to replace the list."""
        with self._locked("publish.lock", fcntl.LOCK_EX):
            yield

    @contextmanager
    def building(self) -> Iterator[None]:
        """Hold the right to build everything; waits for who has it."""
        with self._locked("build.lock", fcntl.LOCK_EX):
            yield

    @contextmanager
    def merging(self) -> Iterator[bool]:
        """Try to become the one who merges; False where another process is."""
        with (self.path / "merge.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Say that this process answers from these segments."""
        with self._locked("serving.lock", fcntl.LOCK_SH):
            yield

    def is_served(self) -> bool:
        """Whether some process answers from these segments now."""
        with (self.path / "serving.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        with (self.path / name).open("a") as file:
            fcntl.flock(file, how)
            yield


def _is_being_made(name: str) -> bool:
    """Whether a folder is another living process's unfinished work."""
    if not name.startswith("making-"):
        return False
    with suppress(ValueError, IndexError, ProcessLookupError, PermissionError):
        os.kill(int(name.split("-")[1]), 0)
        return True
    return False
