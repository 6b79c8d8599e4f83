"""The JSON of a model in a list: what clients read without ``full``. It is rendered once, and cached.

The index holds each model as ``GET /v3/model`` answers it. The database has the licence, the dates and the count of
downloads. A summary is valid until its model changes, and for ``COUNTS_SECONDS``, because downloads change no model.
"""

import threading
import time
from collections.abc import Sequence

import msgspec

from modelyard import wire
from modelyard.store import Store, repository_names
from modelyard.web.cache import LRUCache
from modelyard.web.hub.tags import PIPELINE_TAG, join_tags, library_of
from modelyard.wire import hub

# Some 40,000 models.
CACHE_BYTES_MAX = 32 * 1024 * 1024
COUNTS_SECONDS = 300
# What an entry of the cache takes besides the JSON.
_ENTRY_BYTES = 256
# With more changes than this, all summaries are made again.
_CHANGES_MAX = 10_000
_ID_AT = len(b'{"id":')
_encode = msgspec.json.Encoder().encode


class _Type(msgspec.Struct, frozen=True, gc=False):
    name: str


class Record(msgspec.Struct, frozen=True, gc=False):
    """What a page needs of the record of a model in the index."""

    id: int
    type: _Type
    tags: list[str]
    base_model: str
    is_nsfw: bool
    visibility: str


_decode = msgspec.json.Decoder(list[Record]).decode


class _Summary(msgspec.Struct, frozen=True, gc=False):
    """A model of a page, without its files."""

    id: str
    author: str
    private: bool
    downloads: int
    tags: list[str]
    library_name: str | None
    mongo_id: str = msgspec.field(name="_id")
    model_id: str = msgspec.field(name="modelId")
    created_at: str = msgspec.field(name="createdAt")
    last_modified: str = msgspec.field(name="lastModified")
    gated: bool = False
    disabled: bool = False
    likes: int = 0
    pipeline_tag: str = PIPELINE_TAG


class Summaries:
    """The summaries of a store's models. Threads may share it. Call it in a thread, because it asks the database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: LRUCache[bytes, bytes] = LRUCache(CACHE_BYTES_MAX)
        self._lock = threading.Lock()
        self._revision = -1
        self._period = -1

    def render(self, records: Sequence[bytes], team: str | None, revision: int) -> list[bytes]:
        """Return the summaries of records that the index had at ``revision`` or later, for a viewer of ``team``."""
        self._forget_changed(revision)
        by_key = {record[_ID_AT : record.index(b",", _ID_AT)]: record for record in records}
        summaries = {key: summary for key in by_key if (summary := self._cache.get(key))}
        if len(summaries) < len(by_key):
            made = self._make([record for key, record in by_key.items() if key not in summaries], team)
            with self._lock:
                # A model that changed meanwhile is not forgotten again.
                if self._revision == revision:
                    for key, summary in made.items():
                        self._cache.put(key, summary, len(summary) + _ENTRY_BYTES)
            summaries |= made
        return [summaries[key] for key in by_key if key in summaries]

    def _forget_changed(self, revision: int) -> None:
        before, period = self._revision, int(time.time()) // COUNTS_SECONDS
        if revision == before and period == self._period:
            return
        changed: Sequence[int] | None = None
        if before <= revision and period == self._period:
            with self._store.reading() as connection:
                changed = repository_names.changed_ids(connection, before, _CHANGES_MAX)
        with self._lock:
            if changed is None or len(changed) == _CHANGES_MAX:
                self._cache = LRUCache(CACHE_BYTES_MAX)
            else:
                for model_id in changed:
                    self._cache.put(b"%d" % model_id, b"", _ENTRY_BYTES)
            if self._revision == before:
                self._revision, self._period = revision, period

    def _make(self, records: Sequence[bytes], team: str | None) -> dict[bytes, bytes]:
        """Return the summaries by the digits of the id. A model that was removed meanwhile has none."""
        decoded = decode_records(records)
        with self._store.reading() as connection:
            rows = repository_names.list_rows(connection, [record.id for record in decoded])
        return {
            b"%d" % record.id: _encode(_summarize(record, rows[record.id], team))
            for record in decoded
            if record.id in rows
        }


def decode_records(records: Sequence[bytes]) -> list[Record]:
    """Return the fields of rendered records."""
    return _decode(wire.fill_holes(b"[%b]" % b",".join(records), _no_link))


def _no_link(_sha256: str, _label: str) -> str:
    return ""


def _summarize(record: Record, row: repository_names.ListedRow, team: str | None) -> _Summary:
    is_public = record.visibility == "public"
    author = repository_names.PUBLIC if is_public else str(team)
    repository, type_name = f"{author}/{record.id}", record.type.name
    created_at = hub.format_time(row.added_at)
    # By position: keywords take a third longer.
    return _Summary(
        repository,
        author,
        not is_public,
        row.downloads,
        join_tags(
            record.tags,
            type_name,
            record.base_model,
            is_nsfw=record.is_nsfw,
            licence=row.licence,
            civitai=f"{row.upstream_model_id}@{record.id}" if row.upstream_model_id else None,
        ),
        library_of(type_name),
        f"{record.id:024x}",
        repository,
        created_at,
        created_at if row.updated_at <= row.added_at else hub.format_time(row.updated_at),
    )
