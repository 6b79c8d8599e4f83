"""Records of covers: the stored pictures, where the server found each, and which models show it.

The pictures themselves are blobs, one for each width. A cover that a user chooses is a fact in the user layer; this
module holds the covers that the server found.
"""

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from modelyard.domain import COVERS, Verdict
from modelyard.facts import Layer
from modelyard.store import deleted_models, schema
from modelyard.store.files import FileState

_COVER, _PICTURE, _MODEL = schema.covers.c, schema.cover_pictures.c, schema.models.c
_FOUND, _ADDRESS, _LOOKED, _FILE = (
    schema.model_covers.c,
    schema.cover_addresses.c,
    schema.file_covers.c,
    schema.files.c,
)
# SQLite takes some 32,000 parameters a statement.
_AT_ONCE = 10_000
T = TypeVar("T")
# An inspection with this text found a picture in the file's header.
_THUMBNAIL = '%"modelspec.thumbnail"%'


class Origin(enum.IntEnum):
    """Where the server found a model's cover; the greater wins."""

    HEADER = 1
    BESIDE = 2


@dataclass(frozen=True, slots=True)
class UncheckedFile:
    """The record of a file that the server has not searched for a picture."""

    file_id: int
    model_id: int
    path: bytes
    size_bytes: int
    mtime_ns: int
    sidecars: str
    has_thumbnail: bool
    was_looked_at: bool


def with_sha256(connection: sa.Connection, sha256: str) -> str | None:
    """Return the name of the cover made from the picture with this hash."""
    name: str | None = connection.execute(sa.select(_COVER.name).where(_COVER.sha256 == sha256)).scalar_one_or_none()
    return name


def exists(connection: sa.Connection, name: str) -> bool:
    """Whether there is a cover with this name."""
    return connection.execute(sa.select(_COVER.name).where(_COVER.name == name)).first() is not None


def picture(connection: sa.Connection, name: str, width: int) -> str | None:
    """Return the hash of a cover's WebP file of a width."""
    query = sa.select(_PICTURE.sha256).where(_PICTURE.cover == name, _PICTURE.width == width)
    sha256: str | None = connection.execute(query).scalar_one_or_none()
    return sha256


def put(connection: sa.Connection, name: str, sha256: str, by_width: Mapping[int, str], now: int) -> None:
    """Insert a cover with the hash of its original picture, and of the WebP file of each width."""
    connection.execute(sa.insert(schema.covers).values(name=name, sha256=sha256, kept_at=now))
    rows = [{"cover": name, "width": width, "sha256": webp} for width, webp in by_width.items()]
    connection.execute(sa.insert(schema.cover_pictures), rows)


# --- Models


def of_models(connection: sa.Connection, model_ids: Collection[int]) -> dict[int, str]:
    """Return the name of the cover found for each of the models that has one; of several, the strongest."""
    names: dict[int, str] = {}
    for some in _pieces(model_ids):
        query = sa.select(_FOUND.model_id, _FOUND.cover).where(_FOUND.model_id.in_(some)).order_by(_FOUND.origin)
        names |= {row.model_id: row.cover for row in connection.execute(query)}
    return names


def counts_and_covers(connection: sa.Connection, model_ids: Collection[int]) -> tuple[dict[int, int], dict[int, str]]:
    """Return the downloads of the models, and the names of their covers as ``of_models`` does, by one query."""
    counts: dict[int, int] = {}
    names: dict[int, str] = {}
    download = schema.downloads.c
    for some in _pieces(model_ids):
        # Downloads have no origin, and come first.
        downloads = sa.select(
            download.model_id,
            sa.literal(-1).label("origin"),
            download.count.label("number"),
            sa.literal("").label("cover"),
        )
        found = sa.select(_FOUND.model_id, _FOUND.origin, sa.literal(0), _FOUND.cover)
        query = downloads.where(download.model_id.in_(some)).union_all(found.where(_FOUND.model_id.in_(some)))
        for row in connection.execute(query.order_by("origin")):
            if row.origin < 0:
                counts[row.model_id] = row.number
            else:
                names[row.model_id] = row.cover
    return counts, names


def found_for(connection: sa.Connection, model_id: int) -> dict[int, str]:
    """Return the names of all covers found for a model, by origin."""
    query = sa.select(_FOUND.origin, _FOUND.cover).where(_FOUND.model_id == model_id)
    return {row.origin: row.cover for row in connection.execute(query)}


def give(connection: sa.Connection, model_id: int, origin: Origin, name: str | None) -> None:
    """Set the cover found for a model; None removes it."""
    is_it = (_FOUND.model_id == model_id) & (_FOUND.origin == int(origin))
    connection.execute(sa.delete(schema.model_covers).where(is_it))
    if name is not None:
        connection.execute(sa.insert(schema.model_covers).values(model_id=model_id, origin=int(origin), cover=name))


def give_existing(connection: sa.Connection, model_id: int, name_by_origin: Mapping[int, str]) -> None:
    """Set the covers found for a model, by origin, except those that are not stored any more."""
    stored = sa.select(_COVER.name).where(_COVER.name.in_([*name_by_origin.values()]))
    names = set(connection.execute(stored).scalars())
    for origin, name in name_by_origin.items():
        if name in names:
            give(connection, model_id, Origin(origin), name)


# --- Outside addresses


def at_addresses(connection: sa.Connection, addresses: Iterable[str]) -> dict[str, str]:
    """Return the names of the covers fetched from these addresses, by address."""
    names: dict[str, str] = {}
    for some in _pieces(addresses):
        query = sa.select(_ADDRESS.address, _ADDRESS.cover)
        query = query.where(_ADDRESS.address.in_(some), _ADDRESS.cover.is_not(None))
        names |= {row.address: row.cover for row in connection.execute(query)}
    return names


def note_address(connection: sa.Connection, address: str, name: str | None, problem: str, now: int) -> None:
    """Store the result of fetching an address: a cover, or a lasting problem."""
    connection.execute(sa.delete(schema.cover_addresses).where(_ADDRESS.address == address))
    values = {"address": address, "cover": name, "problem": problem, "tried_at": now}
    connection.execute(sa.insert(schema.cover_addresses).values(values))


def missing_covers(connection: sa.Connection, model_ids: Collection[int], tried_before: int) -> dict[str, list[int]]:
    """Return the outside addresses that these models show, the most popular first, with the models of each.

    Addresses that failed since ``tried_before`` are not in it.
    """
    matches: list[tuple[int, int, str]] = []
    failed = sa.exists().where(_ADDRESS.address == _MODEL.cover_url, _ADDRESS.tried_at >= tried_before)
    for some in _pieces(model_ids):
        is_outside = _MODEL.cover_url.like("http%")
        query = sa.select(_MODEL.rank, _MODEL.id, _MODEL.cover_url).where(_MODEL.id.in_(some), is_outside, ~failed)
        matches += [(row.rank, row.id, row.cover_url) for row in connection.execute(query)]
    by_address: dict[str, list[int]] = {}
    for _, model_id, address in sorted(matches, reverse=True):
        by_address.setdefault(address, []).append(model_id)
    return by_address


def missing_after(
    connection: sa.Connection, after: tuple[int, int] | None, limit: int, tried_before: int
) -> list[tuple[int, int, str]]:
    """Return rank, id and outside address of models that show one, best first, from the one after a position."""
    query = sa.select(_MODEL.rank, _MODEL.id, _MODEL.cover_url).where(*_is_missing(tried_before))
    if after is not None:
        rank, model_id = after
        query = query.where((_MODEL.rank < rank) | ((_MODEL.rank == rank) & (_MODEL.id < model_id)))
    rows = connection.execute(query.order_by(_MODEL.rank.desc(), _MODEL.id.desc()).limit(limit))
    return [(row.rank, row.id, row.cover_url) for row in rows]


def count_missing(connection: sa.Connection, tried_before: int) -> int:
    """Return how many outside addresses models show that did not fail since ``tried_before``."""
    query = sa.select(sa.func.count(_MODEL.cover_url.distinct())).where(*_is_missing(tried_before))
    return int(connection.execute(query).scalar_one())


def _is_missing(tried_before: int) -> tuple[sa.ColumnElement[bool], ...]:
    failed = sa.exists().where(_ADDRESS.address == _MODEL.cover_url, _ADDRESS.tried_at >= tried_before)
    return _MODEL.cover_url.like("http%"), ~failed


# --- Files


def unlooked(connection: sa.Connection, limit: int, after: int = 0) -> list[UncheckedFile]:
    """Return files with a model that changed, or whose side-cars changed, since the last search for a picture.

    Files come by id, from the one after the id ``after``.
    """
    is_looked_at = sa.and_(
        _LOOKED.file_id == _FILE.id,
        _LOOKED.model_id == _FILE.model_id,
        _LOOKED.size_bytes == _FILE.size_bytes,
        _LOOKED.mtime_ns == _FILE.mtime_ns,
        _LOOKED.sidecars == _FILE.sidecars,
    )
    names = ("id", "model_id", "path", "size_bytes", "mtime_ns", "sidecars")
    query: sa.Select[Any] = (
        sa.select(
            *(schema.files.columns[name] for name in names),
            # Nothing is made of a file whose safety is not proven.
            _FILE.inspection.like(_THUMBNAIL) & (_FILE.verdict == Verdict.CLEAN.value),
            sa.exists().where(_LOOKED.file_id == _FILE.id),
        )
        .where(
            _FILE.id > after,
            _FILE.state == FileState.PRESENT.value,
            _FILE.model_id.is_not(None),
            ~sa.exists().where(is_looked_at),
        )
        .order_by(_FILE.id)
        .limit(limit)
    )
    return [
        # psycopg returns bytes, other drivers may return a memoryview.
        UncheckedFile(
            id_, model_id, bytes(path), size_bytes, mtime_ns, sidecars, bool(has_thumbnail), bool(was_looked_at)
        )
        for id_, model_id, path, size_bytes, mtime_ns, sidecars, has_thumbnail, was_looked_at in connection.execute(
            query
        )
    ]


def note_look(connection: sa.Connection, file: UncheckedFile) -> None:
    """Record that the server searched a file for a picture."""
    connection.execute(sa.delete(schema.file_covers).where(_LOOKED.file_id == file.file_id))
    # If the file's record was deleted meanwhile, this inserts nothing.
    values = sa.select(
        _FILE.id,
        *(sa.literal(value) for value in (file.model_id, file.size_bytes, file.mtime_ns, file.sidecars)),
    ).where(_FILE.id == file.file_id)
    columns = ["file_id", "model_id", "size_bytes", "mtime_ns", "sidecars"]
    connection.execute(sa.insert(schema.file_covers).from_select(columns, values))


# --- Unused covers


def collect(connection: sa.Connection, now: int, since: int, *, dry_run: bool) -> int:
    """Delete covers that no model has shown since ``since``, and return their number; a dry run only counts."""
    used = _names_in_use(connection)
    since_by_name = {
        row.name: row.unused_since for row in connection.execute(sa.select(_COVER.name, _COVER.unused_since))
    }
    unused = {name: now if noted is None else noted for name, noted in since_by_name.items() if name not in used}
    over = [name for name, unused_since in unused.items() if unused_since <= since]
    if not dry_run:
        _mark(connection, used & since_by_name.keys(), None)
        _mark(connection, {name for name in unused if since_by_name[name] is None}, now)
        for some in _pieces(over):
            connection.execute(sa.delete(schema.covers).where(_COVER.name.in_(some)))
    return len(over)


def _mark(connection: sa.Connection, names: Iterable[str], unused_since: int | None) -> None:
    for some in _pieces(names):
        connection.execute(sa.update(schema.covers).where(_COVER.name.in_(some)).values(unused_since=unused_since))


def _names_in_use(connection: sa.Connection) -> set[str]:
    addresses = connection.execute(sa.select(_MODEL.cover_url).where(_MODEL.cover_url.like(f"{COVERS}%"))).scalars()
    names = {address.removeprefix(COVERS).partition("/")[0] for address in addresses}
    names |= set(connection.execute(sa.select(_FOUND.cover)).scalars())
    # A user's cover may hide a found one, and the user may remove it later.
    layer = schema.layers.c
    user_facts = sa.select(layer.facts).where(layer.layer == int(Layer.USER), layer.facts.like(f'%"{COVERS}%'))
    for facts in connection.execute(user_facts).scalars():
        names.add(str(facts).partition(f'"{COVERS}')[2].partition("/")[0])
    return names | deleted_models.cover_names(connection)


def _pieces(values: Iterable[T]) -> Iterator[list[T]]:
    items = list(values)
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
