"""Files that stay where they are: how each looked when it was last seen, and which model it is.

A path is bytes, as the operating system has it. Nothing here touches a file but ``paths_of``, which looks whether one
is still what it was.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from modelyard.domain import Source, Visibility
from modelyard.store import schema

# PostgreSQL refuses an index entry of more than 2,704 bytes.
PATH_BYTES_MAX = 2_500
# SQLite takes some 32,000 parameters a statement; a plan is made for each length, so it is always the same.
_AT_ONCE = 500
_FILE, _MODEL = schema.files.c, schema.models.c


class FileState(StrEnum):
    """How a file was found. ``CHANGED``: while it was read, so that it is to be looked at again."""

    PRESENT = "present"
    MISSING = "missing"
    BROKEN = "broken"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as it was when it was last looked at. ``id`` is None before it is put; ``sha256`` is lower case."""

    path: bytes
    size_bytes: int
    mtime_ns: int
    inode: int
    device: int
    state: FileState
    source: Source
    visibility: Visibility
    team: str | None = None
    sidecars: str = ""
    verdict: str = ""
    reason: str = ""
    sha256: str | None = None
    autov3: str | None = None
    hashes_pending: bool = False
    model_id: int | None = None
    id: int | None = None

    @property
    def is_there(self) -> bool:
        """Whether it was there when it was last looked for, of use or not."""
        return self.state is not FileState.MISSING


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Files that are the same: in every byte, or in their tensors under another header (``is_same_bytes`` false)."""

    hash: str
    is_same_bytes: bool
    files: tuple[FileRecord, ...]


_NAMES = (
    "path", "size_bytes", "mtime_ns", "inode", "device", "state", "source", "visibility", "team", "sidecars",
    "verdict", "reason", "sha256", "autov3", "hashes_pending", "model_id", "id",
)  # fmt: skip # the fields of FileRecord in their order
_SELECT = sa.select(*(schema.files.columns[name] for name in _NAMES))


def below(connection: sa.Connection, roots: Iterable[bytes]) -> dict[bytes, FileRecord]:
    """Return what is known of the roots themselves and of everything below them, by path."""
    found: dict[bytes, FileRecord] = {}
    for root in roots:
        found |= {known.path: known for known in _known(connection, _SELECT.where(_is_at(root)))}
    return found


def _is_at(root: bytes) -> sa.ColumnElement[bool]:
    # "0" follows "/": between the two lies every path that begins with the root and a slash.
    inside = root.rstrip(b"/")
    return ((_FILE.path >= inside + b"/") & (_FILE.path < inside + b"0")) | (_FILE.path == root)


def at_paths(connection: sa.Connection, paths: Collection[bytes]) -> dict[bytes, FileRecord]:
    """Return what is known of the files at these paths, by path."""
    return {known.path: known for known in _where_in(connection, _FILE.path, paths)}


def of_models(connection: sa.Connection, model_ids: Collection[int]) -> dict[int, list[FileRecord]]:
    """Return the files of each of the models that has any."""
    found: dict[int, list[FileRecord]] = {}
    for known in _where_in(connection, _FILE.model_id, model_ids):
        assert known.model_id is not None, "it was found by its model"
        found.setdefault(known.model_id, []).append(known)
    return found


def with_sha256(connection: sa.Connection, sha256s: Collection[str]) -> list[FileRecord]:
    """Return the files that have, or had, one of these hashes."""
    return list(_where_in(connection, _FILE.sha256, sha256s))


def pending(connection: sa.Connection, limit: int, after: int = 0) -> list[FileRecord]:
    """Return files that are there and were not hashed yet, by id, behind the one with the id ``after``."""
    waits = _FILE.hashes_pending & (_FILE.state == FileState.PRESENT.value) & (_FILE.id > after)
    return list(_known(connection, _SELECT.where(waits).order_by(_FILE.id).limit(limit)))


def pending_count(connection: sa.Connection, roots: Iterable[bytes]) -> int:
    """Return how many files in these places are there and were not hashed yet."""
    waits = _FILE.hashes_pending & (_FILE.state == FileState.PRESENT.value)
    return sum(
        int(connection.execute(sa.select(sa.func.count()).where(waits, _is_at(root))).scalar_one()) for root in roots
    )


def paths_of(connection: sa.Connection, sha256: str) -> list[Path]:
    """Return the paths of sound files with these bytes that still look as when they were hashed."""
    # One that waits for its hashes has none to be found by.
    is_sound = _FILE.state == FileState.PRESENT.value
    known = _known(connection, _SELECT.where(_FILE.sha256 == sha256, is_sound).order_by(_FILE.id))
    return [Path(os.fsdecode(file.path)) for file in known if is_as_recorded(file)]


def is_as_recorded(file: FileRecord) -> bool:
    """Whether the file at the path is, by its looks, the one that was recorded."""
    try:
        status = os.stat(file.path)
    except OSError:
        return False
    looks = (status.st_size, status.st_mtime_ns, status.st_ino)
    return looks == (file.size_bytes, file.mtime_ns, file.inode)


def put(connection: sa.Connection, files: Sequence[tuple[FileRecord, str | None]]) -> None:
    """Insert files, or replace those with an id; the JSON of their inspection stays what it was where None is given."""
    rows = [(file.id, _row(file, inspection)) for file, inspection in files]
    added = [row | {"inspection": row.get("inspection", "")} for id_, row in rows if id_ is None]
    if added:
        connection.execute(sa.insert(schema.files), added)
    for with_inspection in (False, True):
        changed = [
            row | {"of_id": id_} for id_, row in rows if id_ is not None and ("inspection" in row) is with_inspection
        ]
        if changed:
            names = [name for name in changed[0] if name != "of_id"]
            update = sa.update(schema.files).where(_FILE.id == sa.bindparam("of_id"))
            connection.execute(update.values({name: sa.bindparam(name) for name in names}), changed)


def forget(connection: sa.Connection, file_ids: Collection[int]) -> None:
    """Forget files."""
    for some in _pieces(file_ids):
        connection.execute(sa.delete(schema.files).where(_FILE.id.in_(some)))


def move_to_model(connection: sa.Connection, from_id: int, to_id: int) -> None:
    """Make all files of one model another one's."""
    connection.execute(sa.update(schema.files).where(_FILE.model_id == from_id).values(model_id=to_id))


def models_by_hash(
    connection: sa.Connection, sha256s: Collection[str], autov3s: Collection[str] = ()
) -> dict[str, list[int]]:
    """Return the ids of models by what they share with files: SHA-256, its first ten digits alone, or AutoV3.

    The keys are upper case: SHA-256 whole where the model's is known, its first ten digits where only they are, and the
    first twelve digits of AutoV3.
    """
    found: dict[str, list[int]] = {}
    wanted = {sha256.upper() for sha256 in sha256s}
    for some in _pieces(wanted):
        for id_, sha256 in connection.execute(sa.select(_MODEL.id, _MODEL.sha256).where(_MODEL.sha256.in_(some))):
            found.setdefault(sha256, []).append(id_)
    for some in _pieces({sha256[:10] for sha256 in wanted}):
        only_short = _MODEL.autov2.in_(some) & _MODEL.sha256.is_(None)
        for id_, autov2 in connection.execute(sa.select(_MODEL.id, _MODEL.autov2).where(only_short)):
            found.setdefault(autov2, []).append(id_)
    spelled = {form for autov3 in autov3s for form in (autov3.upper(), autov3.upper()[:12])}
    for some in _pieces(spelled):
        for id_, autov3 in connection.execute(sa.select(_MODEL.id, _MODEL.autov3).where(_MODEL.autov3.in_(some))):
            found.setdefault(autov3[:12], []).append(id_)
    return found


def matched_later(connection: sa.Connection, own_id_min: int) -> dict[int, int]:
    """Return, for our public models made of files, the public model of an outside catalogue with the same bytes."""
    outside, own = schema.models.alias("outside"), schema.models.alias("own")
    sha256 = sa.func.upper(_FILE.sha256)
    # Two questions, and not one with "or": each is answered by an index.
    ways = (
        outside.c.sha256 == sha256,
        (outside.c.autov2 == sa.func.substr(sha256, 1, 10)) & outside.c.sha256.is_(None),
    )
    found: dict[int, int] = {}
    for is_same in ways:
        query = (
            sa.select(own.c.id, sa.func.min(outside.c.id))
            .select_from(schema.files.join(own, own.c.id == _FILE.model_id).join(outside, is_same))
            .where(
                own.c.id >= own_id_min,
                own.c.visibility == Visibility.PUBLIC.value,
                outside.c.id < own_id_min,
                outside.c.visibility == Visibility.PUBLIC.value,
                _FILE.state == FileState.PRESENT.value,
            )
            .group_by(own.c.id)
        )
        found = {row[0]: row[1] for row in connection.execute(query)} | found
    return found


def duplicates(connection: sa.Connection, team: str | None) -> list[Duplicates]:
    """Return the groups of same files among those that everyone or the team may see, the largest first."""
    visible = (_FILE.visibility == Visibility.PUBLIC.value) | (_FILE.team == team)
    # What is no model, such as a trainer's arguments, lies about in many copies.
    is_there = (_FILE.state != FileState.MISSING.value) & _FILE.model_id.is_not(None) & visible
    found = []
    for column, counted, is_same_bytes in (
        (_FILE.sha256, sa.func.count(), True),
        (_FILE.autov3, sa.func.count(_FILE.sha256.distinct()), False),
    ):
        repeated = sa.select(column).where(is_there, column.is_not(None)).group_by(column).having(counted > 1)
        by_hash: dict[str, list[FileRecord]] = {}
        for known in _known(connection, _SELECT.where(column.in_(repeated), is_there).order_by(_FILE.path)):
            by_hash.setdefault(getattr(known, column.name), []).append(known)
        found += [Duplicates(hash_, is_same_bytes, tuple(group)) for hash_, group in by_hash.items()]
    return sorted(found, key=lambda group: (-group.files[0].size_bytes, group.hash, group.is_same_bytes))


def _where_in(
    connection: sa.Connection, column: sa.ColumnElement[Any], values: Collection[Any]
) -> Iterator[FileRecord]:
    for some in _pieces(values):
        yield from _known(connection, _SELECT.where(column.in_(some)))


def _pieces(values: Collection[Any]) -> Iterator[list[Any]]:
    listed = list(values)
    for start in range(0, len(listed), _AT_ONCE):
        yield listed[start : start + _AT_ONCE]


_STATES = {state.value: state for state in FileState}
_SOURCES = {source.value: source for source in Source}
_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}


def _known(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[FileRecord]:
    for path, size, mtime_ns, inode, device, state, source, visibility, *rest in connection.execute(query):
        yield FileRecord(
            # psycopg gives bytes, other drivers may give a view of them.
            bytes(path), size, mtime_ns, int(inode), int(device),
            _STATES[state], _SOURCES[source], _VISIBILITIES[visibility], *rest,
        )  # fmt: skip # in the order of _NAMES


def _row(file: FileRecord, inspection: str | None) -> dict[str, Any]:
    row = {name: getattr(file, name) for name in _NAMES if name != "id"}
    row |= {"inode": str(file.inode), "device": str(file.device), "state": file.state.value}
    row |= {"source": file.source.value, "visibility": file.visibility.value}
    return row if inspection is None else row | {"inspection": inspection}
