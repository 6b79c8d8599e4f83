"""The store and the index as one: search, count, get, and the import of records.

This module decides what a viewer may see. ``registry.models`` changes models, ``wire`` spells answers and ``auth``
finds the viewer of an API key.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TypeVar

from modelyard import errors, wire
from modelyard.base_models import KNOWN
from modelyard.blobs import SharedFiles
from modelyard.domain import MODEL_TYPES, BaseModel, Model, ModelQuery, Viewer, Visibility, fold, fold_base
from modelyard.facts import Entry, Record
from modelyard.feed import ChangePage, read_changes
from modelyard.index import (
    Budget,
    Count,
    DamagedSegmentError,
    Facets,
    Index,
    KeyLookup,
    Leads,
    Listing,
    Page,
    Segment,
    SegmentDirectory,
    prepare,
)
from modelyard.indexer import Indexer
from modelyard.registry import models
from modelyard.registry.writer import Outcome, Rehearsal
from modelyard.replication import SegmentReplicator
from modelyard.store import ProgressFactory, Store, no_progress, version_groups
from modelyard.store.files import FileRecord
from modelyard.wire.feed import FeedPosition
from modelyard.wire.hub_summaries import render_summary

# Records per transaction of an import: many enough that flushing the disk costs little, few enough that an interrupted
# import repeats little and that readers see it grow.
BATCH_RECORDS = 2_000

# From this many changed models on, one process writes a segment for all, instead of each building its own in memory.
BULK_MODELS = 256
# How often to look for merged segments, which change no revision.
_RECHECK_SECONDS = 0.25

_EVERYTHING = ModelQuery()
# Blocks of 64 KiB of the index that a worker checks when it starts: 2 GiB, so that a larger index does not keep the
# disk busy. A step takes a few milliseconds.
_CHECKED_BLOCKS_MAX, _STEP_BLOCKS = 1 << 15, 64

_BASE_NAMES = {fold_base(base.name): base.name for base in KNOWN}
T = TypeVar("T")
log = logging.getLogger(__name__)


class Catalog:
    """The store and the index as one. Threads may share it. The first query opens the index, or ``load`` does.

    With a home folder the index is in segments that all processes share, else in the memory of this process.
    """

    def __init__(
        self,
        store: Store,
        home: Path | None = None,
        *,
        ttl_seconds: int = wire.TTL_DEFAULT_SECONDS,
        shared: SharedFiles | None = None,
    ) -> None:
        self._store = store
        self._render = partial(wire.render_record, ttl_seconds=ttl_seconds)
        render = partial(wire.pack_record, ttl_seconds=ttl_seconds)
        self._index = Index(render, render_summary)
        self._directory: SegmentDirectory | None = None
        self._indexer: Indexer | None = None
        self._replicator: SegmentReplicator | None = None
        if home is not None:
            rendering = f"{wire.RENDERING} {ttl_seconds}"
            self._directory = SegmentDirectory(home / "index", store.identity, rendering)
            self._indexer = Indexer(store, self._directory, render, render_summary)
            if shared is not None:
                self._replicator = SegmentReplicator(shared, store, self._directory)
        self._is_loaded = self._is_used = False  # a process that only writes segments never uses the index
        self._lock = threading.RLock()
        self._version = 0
        self._next_look_at = 0.0
        self._base_models: list[BaseModel] = []
        # With PostgreSQL the store calls when models change, so that no query waits for the database.
        self._is_notified = store.subscribe(self._catch_up)

    @property
    def store(self) -> Store:
        """The store, for the rows beside the models."""
        return self._store

    # --- queries

    @property
    def revision(self) -> int:
        """The store's revision that answers have."""
        return self._index.revision

    def unreachable_seconds(self) -> float | None:
        """Return for how long the database has not answered; None while it answers."""
        return self._store.unreachable_seconds()

    def refresh(self) -> int:
        """Update the index to the store's revision, and return it. Two answers of one revision are the same."""
        self._refresh()
        return self._index.revision

    # A question with a quick ``budget`` raises OverBudgetError if it is dear; one without a budget takes what it needs.

    def search(self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None) -> Page:
        """Return the query's page of rendered records that the viewer may see."""
        return self._ask(lambda index: index.search(viewer, query, budget))

    def list_summaries(self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None) -> Page:
        """Return the same page with the summaries of ``wire.hub_summaries``."""
        return self._ask(lambda index: index.search(viewer, query, budget, has_summaries=True))

    def count(self, viewer: Viewer, query: ModelQuery) -> int:
        """Return how many models match, without the query's limit and start."""
        return self._ask(lambda index: index.count_of(viewer, query))

    def estimate(self, viewer: Viewer, query: ModelQuery, budget: Budget) -> Count:
        """Return how many models match, or at least how many if the budget does not reach."""
        return self._ask(lambda index: index.estimate(viewer, query, budget))

    def list_models(
        self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None, *, is_grouped: bool
    ) -> Listing:
        """Return the query's page for people; ``is_grouped``: one entry for the versions of a model."""
        return self._ask(lambda index: index.list_models(viewer, query, budget, is_grouped=is_grouped))

    def list_leads(self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None) -> Leads:
        """Return the ids of the same page's entries, one for the versions of a model."""
        return self._ask(lambda index: index.list_leads(viewer, query, budget))

    def count_groups(self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None) -> Count:
        """Return how many entries ``list_models`` has in groups, without the query's limit and start."""
        return self._ask(lambda index: index.count_groups(viewer, query, budget))

    def facets(
        self,
        viewer: Viewer,
        query: ModelQuery,
        tags_max: int = 20,
        *,
        budget: Budget | None = None,
        others: Sequence[str] = (),
        fields: Sequence[str] | None = None,
    ) -> Facets:
        """Return the number of matches of each type, source and base model, the most frequent tags, and other fields
        of the index (``size``, ``year``, ``profile``). With ``fields``, return the counts of these fields only."""
        return self._ask(lambda index: index.facets(viewer, query, tags_max, budget, others, fields))

    def suggestion(self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None) -> str | None:
        """Return the nearest spelling of the terms that has matches, for a query without matches."""
        return self._ask(lambda index: index.suggestion(viewer, query, budget)) if query.terms or query.words else None

    def filter_suggestions(self, viewer: Viewer, query: ModelQuery) -> list[tuple[str, str, int]]:
        """Return the filters that words of ``filter.search`` name: the query's field, the value, and how many models
        the viewer sees with the filter instead of the words."""
        named = self._ask(lambda index: index.named_filters(viewer, query)) if query.words else []
        return [
            ("types", value, count) if field == "type" else ("base_models", _BASE_NAMES.get(value, value), count)
            for field, value, count in named
        ]

    def offer_filters(self, viewer: Viewer, query: ModelQuery, limit: int) -> list[tuple[str, str, int]]:
        """Return up to ``limit`` filters that words of ``filter.search`` name or begin to name: the query's field, the
        value, and how many models the viewer sees with the filter instead of the words."""
        offers = self._ask(lambda index: index.offer_filters(viewer, query, limit)) if query.words else []
        fields = {"type": "types", "tag": "tags", "base": "base_models"}
        return [
            (fields[field], _BASE_NAMES.get(value, value) if field == "base" else value, count)
            for field, value, count in offers
        ]

    def find_tags(self, viewer: Viewer, query: ModelQuery, text: str, limit: int) -> list[tuple[str, int]]:
        """Return frequent tags that have a text, with the number of matches that have each, the most first."""
        return self._ask(lambda index: index.find_tags(viewer, query, fold(text), limit))

    def find_by_hash(self, viewer: Viewer, hashes: Iterable[str]) -> tuple[dict[str, list[int]], dict[int, bytes]]:
        """Return the ids of the models that have each hash, best first, and the record of each model by id."""
        return self._ask(lambda index: index.find_by_hash(viewer, hashes))

    def look_up(self, viewer: Viewer, hashes: Iterable[str], file_names: Iterable[str]) -> KeyLookup:
        """Return the models of hashes and of names of files that the viewer may see."""
        return self._ask(lambda index: index.look_up(viewer, hashes, file_names))

    def ranks_of(self, ids: Sequence[int]) -> dict[int, int]:
        """Return the ranks, by id, of models that ``search`` has just answered."""
        return self._index.ranks_of(ids)

    def segments(self) -> list[tuple[int, bool]]:
        """Return the number of rows of each segment, oldest first, and whether it is on disk."""
        return [(part.segment.count, part.is_stored) for part in self._index.segments]

    def has_unprepared_segments(self) -> bool:
        """Whether segments are open that ``check_segments`` has not prepared: after a start, and after merges."""
        return bool(self._unprepared())

    def _unprepared(self) -> list[Segment]:
        # A small segment in memory is replaced by the next change, and a question of it computes little.
        return [
            part.segment
            for part in self._index.segments
            if not part.segment.is_prepared and (part.is_stored or part.segment.count >= BULK_MODELS)
        ]

    def check_segments(self) -> Iterator[bool]:
        """Check new segments against their checksums, some megabytes a step, up to a limit, and prepare them.

        Questions need not do it then. A damaged segment is built again by the next question.
        """
        segments = self._unprepared()
        blocks = chain.from_iterable(segment.check_blocks() for segment in segments)
        try:
            for number, _ in enumerate(islice(blocks, _CHECKED_BLOCKS_MAX)):
                if number % _STEP_BLOCKS == 0:
                    yield True
            for segment in segments:
                for _ in prepare(segment):
                    yield True
        except DamagedSegmentError as damage:
            with self._lock:
                self._invalidate(damage)

    def known_types(self, viewer: Viewer) -> set[str]:
        """Return the types that filters accept: those in our table, and those of models that the viewer may see."""
        return self._ask(lambda index: index.type_names(viewer)) | MODEL_TYPES.keys()

    def base_models(self, viewer: Viewer) -> list[str]:
        """Return the names of base models: those in our table, and those of models that the viewer may see."""
        with suppress(errors.Unavailable):
            self._base_models = self._store.base_models()
        return [
            base.name
            for base in self._base_models
            if base.architecture or self.count(viewer, ModelQuery(base_models=frozenset({fold_base(base.name)})))
        ]

    def get(self, viewer: Viewer, model_id: int) -> Entry:
        """Return a model with its layers, from the store.

        Raises ModelNotFound, also for what the viewer may not see.
        """
        entry = self._store.entry(model_id)
        if entry is None or not may_see(viewer, entry.model):
            raise errors.ModelNotFound(str(model_id))
        return entry

    def versions(self, viewer: Viewer, model: Model) -> list[Model]:
        """Return the versions of the model's group that the viewer may see, the newest first, from the store."""
        if not model.version_group:
            return []
        with self._store.reading() as connection:
            return version_groups.versions(connection, model.version_group, viewer.team)

    def changes(self, viewer: Viewer, since: FeedPosition, limit: int, query: ModelQuery = _EVERYTHING) -> ChangePage:
        """Return up to ``limit`` changes after a position of the feed, as the viewer may see them, from the store.

        Raises FeedPruned if what was removed since then is not recorded any more.
        """
        return read_changes(self._store, self._render, viewer, since, limit, query)

    # --- the index

    def load(self, building: ProgressFactory = no_progress) -> None:
        """Open the segments of the index, in about 20 ms per million models, or build them.

        ``building`` is entered only if segments have to be built.
        """
        with self._lock:
            if self._is_loaded:
                return
            self._is_used = True
            if self._indexer is None:
                self._load_in_memory()
            else:
                try:
                    self._open_segments(self._indexer, building)
                except errors.Unavailable as problem:
                    log.error("%s; answering from memory", problem.message)
                    self._load_in_memory()
            self._is_loaded = True
            with suppress(errors.Unavailable):
                self._catch_up()

    def _load_in_memory(self) -> None:
        with self._store.snapshot() as snapshot:
            self._index.load(snapshot.models(), snapshot.revision)

    def _open_segments(self, indexer: Indexer, building: ProgressFactory) -> None:
        while not self._adopt():
            # One process builds the segments; the others wait, and open them.
            with indexer.directory.building():
                reason = indexer.directory.problem()
                if reason and not (self._replicator and self._replicator.fetch()):
                    log.info("building the index in %s: %s", indexer.directory.path, reason)
                    with building(self._count()) as on_rows:
                        indexer.rebuild(on_rows=on_rows)
        with _log_unavailable():
            if self._store.changed_count(self._index.revision) > BULK_MODELS:
                indexer.append()
                self._adopt()

    def _count(self) -> int:
        with self._store.snapshot() as snapshot:
            return snapshot.count

    def _adopt(self) -> bool:
        """Open the segments of the current list; return whether there is a list."""
        assert self._directory is not None, "only a catalogue with a home has segments"
        self._version = self._directory.version()
        try:
            segments = self._directory.open()
        except DamagedSegmentError as damage:
            self._invalidate(damage)
            return False
        if segments is None:
            return False
        current, stored = segments
        self._index.open_segments(stored, current.revision)
        return True

    def _invalidate(self, damage: DamagedSegmentError) -> None:
        log.error("a segment is damaged, building the index again: %s", damage)
        assert self._directory is not None, "only segments on disk are verified"
        self._directory.invalidate(damage.folder)
        self._index = Index(self._index.render, render_summary)
        self._is_loaded = False

    def _refresh(self) -> None:
        """Update the index to the store's revision. If nothing has changed, that costs reading one shared number."""
        if not self._is_loaded:
            self.load()
        now = time.monotonic()
        hint = self._store.revision_hint()
        if (hint <= self._index.revision or self._is_notified) and now < self._next_look_at:
            return
        with self._lock:
            self._next_look_at = now + _RECHECK_SECONDS
            if self._directory is not None and self._directory.version() != self._version:
                self._adopt()
                if not self._is_loaded:
                    self.load()
            if not self._is_notified:
                # If the database does not answer, a later query tries again. Until then answers stay as they were.
                with suppress(errors.Unavailable):
                    self._catch_up()

    def _catch_up(self) -> bool:
        """Apply the store's changes; return whether the index is complete, or unused. Queries do not wait meanwhile."""
        while self._is_loaded and self._store.revision_hint() > self._index.revision:
            index = self._index
            before = index.revision
            changes = self._store.changes_since(before)
            if changes.revision <= before:
                return False
            with self._lock:
                # Meanwhile segments may have updated the index, or another index may have replaced it.
                if self._index is index and index.revision == before:
                    index.apply(changes.models, changes.removed, changes.revision)
        return self._is_loaded or not self._is_used

    def _ask(self, query: Callable[[Index], T]) -> T:
        """Run a query on the updated index, and once more if it finds a damaged segment."""
        self._refresh()
        try:
            return query(self._index)
        except DamagedSegmentError as damage:
            with self._lock:
                self._invalidate(damage)
        self._refresh()
        return query(self._index)

    def has_old_segments(self) -> bool:
        """Whether the segments on disk are behind the store, or some are to be merged."""
        assert self._indexer is not None, "only a catalogue with a home has segments"
        return self._indexer.is_behind()

    def update_segments(self, on_rows: Callable[[int], object] = int) -> None:
        """Write and merge segments, where there is something to write or merge; ``on_rows`` is told of progress."""
        assert self._indexer is not None, "only a catalogue with a home has segments"
        self._indexer.update(on_rows)

    def has_unpublished_segments(self) -> bool:
        """Whether this node has segments that other nodes could fetch, and have not been offered yet."""
        return self._replicator is not None and self._replicator.is_due()

    def publish_segments(self) -> None:
        """Publish the segments on disk for other nodes, where this node is the one that does."""
        if self._replicator is not None:
            self._replicator.publish_when_due()

    def serving(self) -> AbstractContextManager[None]:
        """Announce that this process answers queries, so that whoever writes many models writes a segment for it."""
        return self._directory.serving() if self._directory else nullcontext()

    def flush(self, building: ProgressFactory = no_progress) -> None:
        """Update the segments on disk, so that the next start is instant. For commands that change many models."""
        if self._indexer is not None:
            with building(self._count()) as on_rows, _log_unavailable():
                self._indexer.compact_now(on_rows)

    def rebuild(self, building: ProgressFactory = no_progress, pool: Executor | None = None) -> None:
        """Build the segments on disk again. Running servers open the new ones by themselves."""
        assert self._indexer is not None, "only a catalogue with a home has segments"
        with self._indexer.directory.building(), building(self._count()) as on_rows:
            self._indexer.rebuild(pool=pool, on_rows=on_rows)

    def verify(self) -> dict[str, int | DamagedSegmentError]:
        """Verify every byte of the segments on disk; return the size or the damage of each.

        A damaged segment is removed from the list. The running server, or the next start, builds it again.
        """
        assert self._directory is not None, "only a catalogue with a home has segments"
        results = self._directory.verify()
        for result in results.values():
            if isinstance(result, DamagedSegmentError):
                self._directory.invalidate(result.folder)
        return results

    def unused_segments(self) -> str | None:
        """Return why the segments on disk are not used although they are not damaged; None if nothing is wrong."""
        assert self._directory is not None, "only a catalogue with a home has segments"
        return self._directory.unused()

    # --- changes

    def register_many(self, records: Iterable[Record], *, rehearsal: Rehearsal | None = None) -> Iterator[Outcome]:
        """Import records, and yield the outcome of each model, in order, after its transaction is committed.

        Neighbouring records with the same id have one outcome. A record adds to its layer: fields that it omits keep
        their values. In the user layer an empty field replaces the value as well. With a ``rehearsal`` nothing is
        written: it receives the entries instead, and they count as stored for the next call with it.
        """
        runs = groupby(records, key=lambda record: object() if record.id is None else record.id)
        groups = ([*run] for _, run in runs)
        while batch := list(islice(groups, BATCH_RECORDS)):
            yield from self._register(batch, rehearsal)

    def _register(self, batch: list[list[Record]], rehearsal: Rehearsal | None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with self._store.transaction(self._publish if len(batch) >= BULK_MODELS else None) as transaction:
            outcomes = models.import_records(transaction, batch, rehearsal)
            if rehearsal is not None:
                raise errors.Rollback
        return outcomes

    def _publish(self) -> None:
        """Write a large change as a segment before other processes are notified, so that none has to build its own."""
        if self._indexer is not None and self._indexer.directory.is_served():
            with _log_unavailable():
                self._indexer.append()

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def open_catalog(
    store: Store,
    home: Path | None = None,
    *,
    ttl_seconds: int = wire.TTL_DEFAULT_SECONDS,
    shared: SharedFiles | None = None,
) -> Catalog:
    """Return the catalogue of a store. Its index is in segments under ``home``, or in memory without a home.

    With ``shared`` files, a new machine downloads the segments that another machine has uploaded.
    """
    return Catalog(store, home, ttl_seconds=ttl_seconds, shared=shared)


@contextmanager
def _log_unavailable() -> Iterator[None]:
    """Continue if segments cannot be written: the models are stored, and this process answers from memory."""
    try:
        yield
    except errors.Unavailable as problem:
        log.error("%s", problem.message)


def may_see(viewer: Viewer, owned: Model | FileRecord) -> bool:
    """Whether the viewer may see a model, or a file of one."""
    return owned.visibility is Visibility.PUBLIC or (viewer.team is not None and owned.team == viewer.team)
