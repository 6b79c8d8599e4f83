"""The segments of one home folder: the list of current ones, and how processes replace it.

    HOME/index/
        CURRENT                 a checksum, and JSON: format, identity of the database, rendering, revision,
                                names oldest first
        00000012-3-0a1b2c3d/    a segment (segment_file.py), named by revision, after, and random digits
        publish.lock            a process holds it while it reads and replaces CURRENT
        build.lock              a process holds it while it builds everything; the others wait
        merge.lock              the one process that merges holds it; the lock ends with the process
        serving.lock            processes that answer from these segments share it

Segments stand for consecutive revisions, oldest first; a newer one replaces rows of the older ones. A process replaces
CURRENT by renaming, so a reader sees the old list or the new one. The indexer removes folders that are not in the list;
a process that has one mapped keeps its content until it closes the map.
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

ABSENT, DAMAGED = "there is none yet", "CURRENT is damaged"


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
        """Return a number that changes whenever the list of segments changes; costs one ``stat``."""
        try:
            status = (self.path / "CURRENT").stat()
        except FileNotFoundError:
            return 0
        return status.st_mtime_ns ^ status.st_ino

    def current(self) -> Current | None:
        """Return the current list; None if there is none, it belongs to another database, or it is damaged."""
        current = self._read()
        return current if isinstance(current, Current) else None

    def unused(self) -> str | None:
        """Return why the list on disk is not used although it is whole; None if it is used, absent or damaged."""
        problem = self.problem()
        return None if problem in (ABSENT, DAMAGED) else problem

    def problem(self) -> str | None:
        """Return why ``current`` returns None; None if there is a current list."""
        problem = self._read()
        return problem if isinstance(problem, str) else None

    def _read(self) -> Current | str:
        try:
            text = read_sealed(self.path / "CURRENT")
            body = json.loads(text) if text is not None else {}
            current = Current(**{**body, "names": tuple(body["names"])})
        except FileNotFoundError:
            return ABSENT
        except (OSError, ValueError, KeyError, TypeError):
            return DAMAGED
        if current.format != FORMAT:
            return f"it is of format {current.format}, not {FORMAT}"
        if current.identity != self._identity:
            return "it is of another database"
        return current if current.rendering == self._rendering else "its records were rendered otherwise"

    def open(self) -> tuple[Current, list[StoredSegment]] | None:
        """Open the segments of the current list; segments that were open before are the same objects.

        Return None if there is no current list. Raises DamagedSegmentError.
        """
        while True:
            current = self.current()
            if current is None:
                return None
            try:
                segments = {name: self._opened.get(name) or open_segment(self.path / name) for name in current.names}
            except DamagedSegmentError:
                # Between reading the list and opening, a merge may have replaced both.
                if self.current() == current:
                    raise
                continue
            self._opened = segments
            return current, list(segments.values())

    def verify(self) -> dict[str, int | DamagedSegmentError]:
        """Check every byte of the current segments; return the size of each in bytes, or its damage.

        A list that cannot be used for another reason, such as an older format, has no segments to check.
        """
        if self.problem() == DAMAGED:
            return {"CURRENT": DamagedSegmentError(self.path / "CURRENT", DAMAGED)}
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
            # If a merge replaced segments meanwhile, a missing one is not damaged.
            if self.current() == current:
                return {name: checked[name] for name in names}

    @property
    def kind(self) -> str:
        """A path that names the database, the format and the rendering that segments must have to be used here."""
        rendering = blake3(self._rendering.encode()).hexdigest(8)
        return f"{self._identity}/{FORMAT}-{rendering}"

    # --- changing

    def install(self, folders: dict[str, Path], revision: int) -> bool:
        """Move finished folders to their names and make them the current list, unless there is a current list.

        Return whether they became the list. Raises DamagedSegmentError if a checksum does not match.
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
        """Return the path of a temporary folder that no other process removes while this process runs."""
        return self.path / f"making-{os.getpid()}-{name}"

    def new_path(self, after: int, revision: int) -> Path:
        """Return the path for a new segment of the revisions after ``after`` up to ``revision``."""
        return self.path / f"{revision:010d}-{after}-{secrets.token_hex(4)}"

    def publish(self, names: tuple[str, ...], revision: int) -> None:
        """Replace the current list. The caller holds ``publishing``."""
        text = json.dumps(asdict(Current(FORMAT, self._identity, self._rendering, revision, names)))
        temporary = self.path / "CURRENT.new"
        write_sealed(temporary, text)
        temporary.replace(self.path / "CURRENT")
        flush_folder(self.path)

    def remove_unreferenced(self) -> None:
        """Remove folders that are not current and not being made. The caller holds ``publishing``."""
        current = self.current()
        names = set(current.names) if current else set()
        for folder in self.path.iterdir():
            if folder.name not in names and not _is_being_made(folder.name):
                shutil.rmtree(folder, ignore_errors=True)

    def invalidate(self, segment: Path) -> None:
        """Remove the current list because this segment of it is damaged; the indexer then rebuilds everything.

        A list without the segment stays: another process noticed the damage first and has rebuilt.
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
        """Hold the right to build everything; wait until no other process holds it."""
        with self._locked("build.lock", fcntl.LOCK_EX):
            yield

    @contextmanager
    def merging(self) -> Iterator[bool]:
        """Try to get the right to merge; yield False if another process has it."""
        with (self.path / "merge.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Mark this process as one that answers from these segments."""
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
