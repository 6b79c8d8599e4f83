"""Finds covers of scanned files: pictures beside the files, and pictures in their headers."""

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial

from modelyard import errors
from modelyard.covers import BYTES_MAX, Covers, render
from modelyard.inspection import thumbnail_of
from modelyard.library.walk import FoundFile, find_file
from modelyard.paths import display_path
from modelyard.registry import models
from modelyard.store import Store, covers
from modelyard.store.covers import Origin, UncheckedFile

log = logging.getLogger(__name__)

# Files per transaction. Every commit makes every node refresh its index.
_BATCH_FILES = 50
_NO_PICTURES = (b".mp4", b".webm", b".jxl")


def cover_files(
    store: Store, cover_store: Covers, is_ended: Callable[[], bool], *, on_file: Callable[[int], object] = int
) -> int:
    """Search the unchecked files for covers, until ``is_ended`` returns true; return the number of checked files.

    ``on_file`` is called before each file, with the largest size of a picture. The next scan handles files that are not
    on this machine, or that have changed.
    """
    done = after = 0
    while not is_ended():
        with store.reading() as connection:
            waiting = covers.unlooked(connection, _BATCH_FILES, after)
        if not waiting:
            break
        results: list[tuple[UncheckedFile, dict[Origin, str | None]]] = []
        for file in waiting:
            if is_ended():
                break
            after = file.file_id
            on_file(BYTES_MAX)
            found_file = find_file(file.path)
            if found_file is not None and found_file.fingerprint.has_version(file.size_bytes, file.mtime_ns):
                results.append((file, _pictures(file, found_file, cover_store)))
        with store.transaction() as transaction:
            for origin in Origin:
                # If a second file of a model has no picture, the model keeps the picture of the first.
                models.give_covers(
                    transaction,
                    origin,
                    {
                        file.model_id: pictures[origin]
                        for file, pictures in results
                        if pictures[origin] is not None or file.was_looked_at
                    },
                )
            for file, _ in results:
                covers.note_look(transaction.connection, file)
        done += len(results)
    return done


def _pictures(file: UncheckedFile, found_file: FoundFile, cover_store: Covers) -> dict[Origin, str | None]:
    """Store the pictures of a file, and return the names of the covers; None for none."""
    beside = _first_cover([(path, partial(_read, path)) for path in found_file.previews], cover_store)
    header = None
    if file.has_thumbnail:
        header = _first_cover([(file.path, lambda: thumbnail_of(os.fsdecode(file.path)))], cover_store)
    return {Origin.BESIDE: beside, Origin.HEADER: header}


def _first_cover(pictures: Sequence[tuple[bytes, Callable[[], bytes | None]]], cover_store: Covers) -> str | None:
    """Store the first usable picture and return its name. If there is none, log why each cannot be used."""
    problems = []
    for path, read_picture in pictures:
        try:
            if picture := read_picture():
                return cover_store.keep(render(picture))
        except (OSError, errors.UnsupportedFile, errors.TooLarge) as problem:
            problems.append((path, getattr(problem, "message", problem)))
    for path, reason in problems:
        log.warning("no cover from %s: %s", display_path(path), reason)
    return None


def _read(path: bytes) -> bytes | None:
    if path.lower().endswith(_NO_PICTURES):
        raise errors.UnsupportedFile("covers are made of pictures, not of films or JPEG XL")
    # A named pipe would block, a link could lead anywhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(BYTES_MAX + 1)
