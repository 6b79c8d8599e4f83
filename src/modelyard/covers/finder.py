"""Pictures found with files: those that lie beside them, and those in their headers."""

import logging
import os
from collections.abc import Callable
from functools import partial

from modelyard import errors
from modelyard.covers import BYTES_MAX, Covers, render
from modelyard.inspection import thumbnail_of
from modelyard.library.walk import FoundFile, find_file
from modelyard.registry import models
from modelyard.store import Store, covers
from modelyard.store.covers import Origin, UncheckedFile

log = logging.getLogger(__name__)

# One transaction's worth: each makes every index follow.
_BATCH_FILES = 50
_NO_PICTURES = (b".mp4", b".webm", b".jxl")


def cover_files(
    store: Store, kept: Covers, is_ended: Callable[[], bool], *, on_file: Callable[[int], object] = int
) -> int:
    """Look for covers of the files that nobody looked at, until ``is_ended`` says so; return how many were looked at.

    ``on_file`` is told how many bytes each picture may have. A file that is not on this machine, or not what it was, is
    left to the next scan.
    """
    done = after = 0
    while not is_ended():
        with store.reading() as connection:
            waiting = covers.unlooked(connection, _BATCH_FILES, after)
        if not waiting:
            break
        looked: list[tuple[UncheckedFile, dict[Origin, str | None]]] = []
        for file in waiting:
            if is_ended():
                break
            after = file.file_id
            on_file(BYTES_MAX)
            found = find_file(file.path)
            if found is not None and found.fingerprint.has_version(file.size_bytes, file.mtime_ns):
                looked.append((file, _pictures(file, found, kept)))
        with store.transaction() as writing:
            for origin in Origin:
                # A second file of a model that has no picture does not take the first one's away.
                models.give_covers(
                    writing,
                    origin,
                    {
                        file.model_id: pictures[origin]
                        for file, pictures in looked
                        if pictures[origin] is not None or file.was_looked_at
                    },
                )
            for file, _ in looked:
                covers.note_look(writing.connection, file)
        done += len(looked)
    return done


def _pictures(file: UncheckedFile, found: FoundFile, kept: Covers) -> dict[Origin, str | None]:
    """Return the names of the covers that are kept of what was found, None for none."""
    beside = next((name for path in found.previews if (name := _kept(partial(_read, path), kept, path))), None)
    header = None
    if file.has_thumbnail:
        header = _kept(lambda: thumbnail_of(os.fsdecode(file.path)), kept, file.path)
    return {Origin.BESIDE: beside, Origin.HEADER: header}


def _kept(read: Callable[[], bytes | None], kept: Covers, path: bytes) -> str | None:
    """Keep a picture; None where there is none, or it cannot be used, which spoils nothing but the picture."""
    try:
        picture = read()
        return kept.keep(render(picture)) if picture else None
    except (OSError, errors.UnsupportedFile, errors.TooLarge) as problem:
        log.info("no cover from %s: %s", os.fsdecode(path), getattr(problem, "message", problem))
        return None


def _read(path: bytes) -> bytes | None:
    if path.lower().endswith(_NO_PICTURES):
        return None
    # A named pipe would block, a link could lead anywhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(BYTES_MAX + 1)
