"""Records of the files in the user's folders: the state of each at the last scan, and the model that it is.

A path is bytes, as in the operating system. Only ``paths_of`` and ``is_as_recorded`` touch files: they compare
fingerprints.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from modelyard.domain import Source, Visibility
from modelyard.fingerprint import Fingerprint
from modelyard.store import schema
from modelyard.store.queries import batches, visible_to

# PostgreSQL refuses an index entry of more than 2,704 bytes.
PATH_BYTES_MAX = 2_500
_FILE, _MODEL, _HASH = schema.files.c, schema.models.c, schema.model_hashes.c


# The ``linked_id`` of a file that a person took away from its version.
UNLINKED = 0


class FileState(StrEnum):
    """The state of a file at the last scan. ``CHANGED``: it changed while it was read; the next scan reads it again."""

    PRESENT = "present"
    MISSING = "missing"
    BROKEN = "broken"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as the last scan read it. ``id`` is None before it is stored; ``sha256`` is lower case.

    ``folder`` and ``part`` say which model the file is a part of, and its name in there. ``linked_id`` is the version
    that a person linked the file to; 0: a person unlinked it. ``node`` found it last; "" for a file of all nodes.
    """

    path: bytes
    fingerprint: Fingerprint
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
    folder: bytes | None = None
    part: str | None = None
    linked_id: int | None = None
    node: str = ""
    id: int | None = None

    @property
    def size_bytes(self) -> int:
        """How large the file was."""
        return self.fingerprint.size_bytes

    @property
    def is_servable(self) -> bool:
        """Whether the file was there, sound and hashed when it was last read."""
        return self.state is FileState.PRESENT and not self.hashes_pending

    def is_of(self, node: str) -> bool:
        """Whether this node can find that the file is gone; it can for all files if it has no name."""
        return not node or self.node in ("", node)

    @property
    def is_there(self) -> bool:
        """Whether the last scan found it, sound or not."""
        return self.state is not FileState.MISSING


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Files with the same bytes, or with the same tensors under another header (``is_same_bytes`` false)."""

    hash: str
    is_same_bytes: bool
    files: tuple[FileRecord, ...]


# The fields of FileRecord in their order; each but the fingerprint is a column.
_NAMES = tuple(field.name for field in fields(FileRecord) if field.name != "fingerprint")
_SELECT = sa.select(*(schema.files.columns[name] for name in (*Fingerprint._fields, *_NAMES)))


def below(connection: sa.Connection, roots: Iterable[bytes]) -> dict[bytes, FileRecord]:
    """Return the records of the roots themselves and of all files below them, by path."""
    records: dict[bytes, FileRecord] = {}
    for root in roots:
        records |= {record.path: record for record in _select(connection, _SELECT.where(_is_below(root)))}
    return records


def _is_below(root: bytes) -> sa.ColumnElement[bool]:
    # "0" follows "/": every path that begins with the root and a slash lies between the two.
    inside = root.rstrip(b"/")
    return ((_FILE.path >= inside + b"/") & (_FILE.path < inside + b"0")) | (_FILE.path == root)


def at_paths(connection: sa.Connection, paths: Collection[bytes]) -> dict[bytes, FileRecord]:
    """Return the records of the files at these paths, by path."""
    return {record.path: record for record in _select_in(connection, _FILE.path, paths)}


def of_models(connection: sa.Connection, model_ids: Collection[int]) -> dict[int, list[FileRecord]]:
    """Return the files of each of these models that has files."""
    by_model: dict[int, list[FileRecord]] = {}
    for record in _select_in(connection, _FILE.model_id, model_ids):
        assert record.model_id is not None, "the query selects by it"
        by_model.setdefault(record.model_id, []).append(record)
    return by_model


def in_folders(connection: sa.Connection, folders: Collection[bytes]) -> Iterator[FileRecord]:
    """Yield the parts of the models with these folders."""
    return _select_in(connection, _FILE.folder, folders)


def with_sha256(connection: sa.Connection, sha256s: Collection[str]) -> list[FileRecord]:
    """Return the files that have one of these hashes, or had it at the last scan."""
    return list(_select_in(connection, _FILE.sha256, sha256s))


def pending(connection: sa.Connection, limit: int, after: int = 0) -> list[FileRecord]:
    """Return present files without hashes, by id, from the one behind the id ``after``."""
    is_pending = _FILE.hashes_pending & (_FILE.state == FileState.PRESENT.value) & (_FILE.id > after)
    return list(_select(connection, _SELECT.where(is_pending).order_by(_FILE.id).limit(limit)))


def pending_count(connection: sa.Connection, roots: Iterable[bytes]) -> int:
    """Return the number of present files without hashes below the roots."""
    is_pending = _FILE.hashes_pending & (_FILE.state == FileState.PRESENT.value)
    return sum(
        int(connection.execute(sa.select(sa.func.count()).where(is_pending, _is_below(root))).scalar_one())
        for root in roots
    )


def paths_of(connection: sa.Connection, sha256: str) -> list[Path]:
    """Return the paths of sound files with these bytes that are unchanged since they were hashed."""
    records = _select(connection, _SELECT.where(_FILE.sha256 == sha256).order_by(_FILE.id))
    return [Path(os.fsdecode(file.path)) for file in records if file.is_servable and is_as_recorded(file)]


def is_as_recorded(file: FileRecord) -> bool:
    """Whether the file at the path has the recorded fingerprint."""
    now = Fingerprint.find(file.path)
    return now is not None and now.is_as_recorded(file.fingerprint)


def put(connection: sa.Connection, files: Sequence[tuple[FileRecord, str | None]]) -> None:
    """Insert files, or replace those with an id. An inspection of None leaves the stored one."""
    rows = [(file.id, _row_of(file, inspection)) for file, inspection in files]
    inserts = [row | {"inspection": row.get("inspection", "")} for id_, row in rows if id_ is None]
    if inserts:
        connection.execute(sa.insert(schema.files), inserts)
    for with_inspection in (False, True):
        updates = [
            row | {"of_id": id_} for id_, row in rows if id_ is not None and ("inspection" in row) is with_inspection
        ]
        if updates:
            names = [name for name in updates[0] if name != "of_id"]
            update = sa.update(schema.files).where(_FILE.id == sa.bindparam("of_id"))
            connection.execute(update.values({name: sa.bindparam(name) for name in names}), updates)


def forget(connection: sa.Connection, file_ids: Collection[int]) -> None:
    """Delete records of files."""
    for batch in batches(file_ids):
        connection.execute(sa.delete(schema.files).where(_FILE.id.in_(batch)))


def move_to_model(connection: sa.Connection, from_id: int, to_id: int) -> None:
    """Move all files of one model to another."""
    connection.execute(sa.update(schema.files).where(_FILE.model_id == from_id).values(model_id=to_id))


def set_link(connection: sa.Connection, file_id: int, linked_id: int) -> None:
    """Note which version a person linked a file to, or ``UNLINKED``."""
    connection.execute(sa.update(schema.files).where(_FILE.id == file_id).values(linked_id=linked_id))


def set_node(connection: sa.Connection, file_ids: Collection[int], node: str) -> None:
    """Note which node found files."""
    for batch in batches(file_ids):
        connection.execute(sa.update(schema.files).where(_FILE.id.in_(batch)).values(node=node))


def link_again(connection: sa.Connection, file_ids: Collection[int], model_id: int) -> None:
    """Link files to their restored model, except files that have another model by now."""
    change = sa.update(schema.files).where(_FILE.id.in_(file_ids), _FILE.model_id.is_(None))
    connection.execute(change.values(model_id=model_id))


def set_visibility(connection: sa.Connection, model_id: int, visibility: Visibility) -> None:
    """Give the files of a model the visibility that the model has now."""
    connection.execute(sa.update(schema.files).where(_FILE.model_id == model_id).values(visibility=visibility.value))


def models_by_hash(
    connection: sa.Connection, sha256s: Collection[str], autov3s: Collection[str] = ()
) -> dict[str, list[int]]:
    """Return the ids of models by the hashes that they share with files.

    The keys are upper case: the SHA-256 of a model, its first ten digits if the model has only them, and the first
    twelve digits of AutoV3.
    """
    ids: dict[str, list[int]] = {}
    full = {sha256.upper() for sha256 in sha256s}
    for batch in batches(full):
        for id_, sha256 in connection.execute(sa.select(_MODEL.id, _MODEL.sha256).where(_MODEL.sha256.in_(batch))):
            ids.setdefault(sha256, []).append(id_)
        for id_, sha256 in connection.execute(sa.select(_HASH.model_id, _HASH.digits).where(_HASH.digits.in_(batch))):
            ids.setdefault(sha256, []).append(id_)
    for batch in batches({sha256[:10] for sha256 in full}):
        only_short = _MODEL.autov2.in_(batch) & _MODEL.sha256.is_(None)
        for id_, autov2 in connection.execute(sa.select(_MODEL.id, _MODEL.autov2).where(only_short)):
            ids.setdefault(autov2, []).append(id_)
    forms = {form for autov3 in autov3s for form in (autov3.upper(), autov3.upper()[:12])}
    for batch in batches(forms):
        for id_, autov3 in connection.execute(sa.select(_MODEL.id, _MODEL.autov3).where(_MODEL.autov3.in_(batch))):
            ids.setdefault(autov3[:12], []).append(id_)
    return ids


# A part is never a model of its own, and a person's word is stronger than a hash.
_MAY_MATCH = _FILE.folder.is_(None) & _FILE.linked_id.is_(None)


def unmatched_sha256s(connection: sa.Connection, own_id_min: int) -> set[str]:
    """Return the hashes, in upper case, of the files that belong to models of ours."""
    is_hashed = (_FILE.model_id >= own_id_min) & _FILE.sha256.is_not(None) & _MAY_MATCH
    return {sha256.upper() for sha256 in connection.execute(sa.select(_FILE.sha256).where(is_hashed)).scalars()}


def matched_later(connection: sa.Connection, own_id_min: int) -> dict[int, int]:
    """Return, by the id of each public model of ours that has files, the public outside model with the same bytes."""
    outside, own = schema.models.alias("outside"), schema.models.alias("own")
    sha256 = sa.func.upper(_FILE.sha256)
    further = schema.files.join(schema.model_hashes, _HASH.digits == sha256)
    # Several queries instead of one with "or": each can use an index. The last that knows a model wins.
    conditions = (
        (further, outside.c.id == _HASH.model_id),
        (schema.files, (outside.c.autov2 == sa.func.substr(sha256, 1, 10)) & outside.c.sha256.is_(None)),
        (schema.files, outside.c.sha256 == sha256),
    )
    pairs: dict[int, int] = {}
    for table, is_same in conditions:
        query = (
            sa.select(own.c.id, sa.func.min(outside.c.id))
            .select_from(table.join(own, own.c.id == _FILE.model_id).join(outside, is_same))
            .where(
                own.c.id >= own_id_min,
                own.c.visibility == Visibility.PUBLIC.value,
                outside.c.id < own_id_min,
                outside.c.visibility == Visibility.PUBLIC.value,
                _FILE.state == FileState.PRESENT.value,
                _MAY_MATCH,
            )
            .group_by(own.c.id)
        )
        pairs |= {row[0]: row[1] for row in connection.execute(query)}
    return pairs


def duplicates(connection: sa.Connection, team: str | None) -> list[Duplicates]:
    """Return groups of duplicates among the files that everyone or the team may see, the largest first."""
    # Files that are no models, such as a trainer's arguments, have many copies.
    is_there = (_FILE.state != FileState.MISSING.value) & _FILE.model_id.is_not(None) & visible_to(_FILE, team)
    groups = []
    for column, count, is_same_bytes in (
        (_FILE.sha256, sa.func.count(), True),
        (_FILE.autov3, sa.func.count(_FILE.sha256.distinct()), False),
    ):
        hashes = sa.select(column).where(is_there, column.is_not(None)).group_by(column).having(count > 1)
        by_hash: dict[str, list[FileRecord]] = {}
        for record in _select(connection, _SELECT.where(column.in_(hashes), is_there).order_by(_FILE.path)):
            by_hash.setdefault(getattr(record, column.name), []).append(record)
        groups += [Duplicates(hash_, is_same_bytes, tuple(group)) for hash_, group in by_hash.items()]
    return sorted(groups, key=lambda group: (-group.files[0].size_bytes, group.hash, group.is_same_bytes))


def _select_in(
    connection: sa.Connection, column: sa.ColumnElement[Any], values: Collection[Any]
) -> Iterator[FileRecord]:
    for batch in batches(values):
        yield from _select(connection, _SELECT.where(column.in_(batch)))


_STATES = {state.value: state for state in FileState}
_SOURCES = {source.value: source for source in Source}
_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}


def _select(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[FileRecord]:
    for size, mtime_ns, inode, ctime_ns, path, device, state, source, visibility, *rest in connection.execute(query):
        yield FileRecord(
            # psycopg returns bytes, other drivers may return a memoryview.
            bytes(path), Fingerprint(size, mtime_ns, int(inode), ctime_ns), int(device),
            _STATES[state], _SOURCES[source], _VISIBILITIES[visibility], *rest,
        )  # fmt: skip # in the order of _NAMES


def _row_of(file: FileRecord, inspection: str | None) -> dict[str, Any]:
    row = {name: getattr(file, name) for name in _NAMES if name != "id"}
    row |= file.fingerprint._asdict()
    row |= {"inode": str(file.fingerprint.inode), "device": str(file.device), "state": file.state.value}
    row |= {"source": file.source.value, "visibility": file.visibility.value}
    return row if inspection is None else row | {"inspection": inspection}
