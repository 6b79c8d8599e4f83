"""The verbs: search, count, get, register, remove. The only writer: first the store, then the index.

Who may see what is decided here, from the viewer that every question carries. Spelling is ``wire``'s, keys are
``access``'s, and what a file is, others find out.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

from modelyard import errors, wire
from modelyard.blobs import SharedFiles
from modelyard.domain import (
    MODEL_TYPES,
    BaseModel,
    Entry,
    Model,
    ModelQuery,
    Record,
    Viewer,
    Visibility,
    fold_base,
)
from modelyard.index import DamagedSegmentError, Facets, Index, Page, SegmentDirectory
from modelyard.indexer import Indexer
from modelyard.registry.writer import ModelWriter, Outcome
from modelyard.replication import SegmentReplicator
from modelyard.store import Store

# One transaction's worth of an import: large enough that the disk's flush is not felt, small enough that little is done
# again after an interruption, and that readers see it grow.
BATCH_RECORDS = 2_000

# From so many changed models on, one process writes a segment for all instead of each building its own in memory.
BULK_MODELS = 256
# How soon a merge that changed no revision is taken over.
_RECHECK_SECONDS = 0.25

T = TypeVar("T")
log = logging.getLogger(__name__)


# Entered with the number of models to index; what it gives is told of every few thousand done.
ProgressFactory = Callable[[int], AbstractContextManager[Callable[[int], object]]]


def _unseen(_: int) -> AbstractContextManager[Callable[[int], object]]:
    return nullcontext(int)


class Catalog:
    """The store and the index as one. Threads may share it. The index is opened by the first question, or ``load``.

    With a home folder the index lies there in segments that all processes share; without, in this process's memory.
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
        render = partial(wire.render_record, ttl_seconds=ttl_seconds)
        self._index = Index(render)
        self._directory: SegmentDirectory | None = None
        self._indexer: Indexer | None = None
        self._replicator: SegmentReplicator | None = None
        if home is not None:
            rendering = f"{wire.RENDERING} {ttl_seconds}"
            self._directory = SegmentDirectory(home / "index", store.identity, rendering)
            self._indexer = Indexer(store, self._directory, render)
            if shared is not None:
                self._replicator = SegmentReplicator(shared, store, self._directory)
        self._is_loaded = False
        self._turn = threading.RLock()
        self._stamp = 0
        self._look_at = 0.0
        self._base_models: list[BaseModel] = []
        # Where the database is far, no question waits for it.
        self._is_told = store.subscribe(self._catch_up)

    @property
    def store(self) -> Store:
        """The record, for what lies beside the models in it."""
        return self._store

    # --- questions

    @property
    def revision(self) -> int:
        """The store's revision that answers stand for."""
        return self._index.revision

    def unreachable_seconds(self) -> float | None:
        """Return for how long nothing has been heard from the database; None while it answers."""
        return self._store.unreachable_seconds()

    def refresh(self) -> int:
        """Bring answers to the store's revision, and return it: two answers of one revision are the same."""
        self._refresh()
        return self._index.revision

    def search(self, viewer: Viewer, query: ModelQuery) -> Page:
        """Return the page of rendered records that the query asks for, as the viewer may see it."""
        return self._ask(lambda index: index.search(viewer, query))

    def count(self, viewer: Viewer, query: ModelQuery) -> int:
        """Return how many models match, whatever the query's limit and start."""
        return self._ask(lambda index: index.count_of(viewer, query))

    def facets(self, viewer: Viewer, query: ModelQuery, tags_max: int = 20) -> Facets:
        """Return how many matches each type, source and base model has, and the most frequent tags."""
        return self._ask(lambda index: index.facets(viewer, query, tags_max))

    def suggestion(self, viewer: Viewer, query: ModelQuery) -> str | None:
        """Return the nearest spelling of the query's terms that matches something, for a query that matches nothing."""
        return self._ask(lambda index: index.suggestion(viewer, query)) if query.terms else None

    def ranks_of(self, ids: Sequence[int]) -> dict[int, int]:
        """Return the ranks, by id, of models that ``search`` answered this viewer just now."""
        return self._index.ranks_of(ids)

    def segments(self) -> list[tuple[int, bool]]:
        """Return how many rows each segment has, oldest first, and whether it lies on disk."""
        return [(part.segment.count, part.is_stored) for part in self._index.segments]

    def known_types(self, viewer: Viewer) -> set[str]:
        """Return the types that a filter may ask for: those of models the viewer may see, and those we name."""
        return self._ask(lambda index: index.type_names(viewer)) | MODEL_TYPES.keys()

    def base_models(self, viewer: Viewer) -> list[str]:
        """Return the names of base models: those we know of old, and those that models the viewer may see brought."""
        with suppress(errors.Unavailable):
            self._base_models = self._store.base_models()
        return [
            base.name
            for base in self._base_models
            if base.architecture or self.count(viewer, ModelQuery(base_model=fold_base(base.name)))
        ]

    def get(self, viewer: Viewer, model_id: int) -> Entry:
        """Return a model with its layers, from the store.

        Raises ModelNotFound, also for what the viewer may not see.
        """
        entry = self._store.entry(model_id)
        if entry is None or not may_see(viewer, entry.model):
            raise errors.ModelNotFound(str(model_id))
        return entry

    # --- the index

    def load(self, building: ProgressFactory = _unseen) -> None:
        """Make the index ready to answer: from its segments in some 20 ms a million models, or by building them.

        ``building`` is entered if they have to be built.
        """
        with self._turn:
            if self._is_loaded:
                return
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

    def _open_segments(self, upkeep: Indexer, building: ProgressFactory) -> None:
        while not self._adopt():
            # One process builds, the others wait for it and find what it made.
            with upkeep.directory.building():
                reason = upkeep.directory.problem()
                if reason and not (self._replicator and self._replicator.fetch()):
                    log.info("building the index in %s: %s", upkeep.directory.path, reason)
                    with building(self._count()) as on_rows:
                        upkeep.rebuild(on_rows=on_rows)
        with _without_fail():
            if self._store.changed_count(self._index.revision) > BULK_MODELS:
                upkeep.append()
                self._adopt()

    def _count(self) -> int:
        with self._store.snapshot() as snapshot:
            return snapshot.count

    def _adopt(self) -> bool:
        """Take over the current list of segments; return whether there is one."""
        assert self._directory is not None, "only a catalogue with a home has segments"
        self._stamp = self._directory.version()
        try:
            opened = self._directory.open()
        except DamagedSegmentError as damage:
            self._invalidate(damage)
            return False
        if opened is None:
            return False
        current, stored = opened
        self._index.open_segments(stored, current.revision)
        return True

    def _invalidate(self, damage: DamagedSegmentError) -> None:
        log.error("segment damaged, building the index anew: %s", damage)
        assert self._directory is not None, "only segments on disk are checked"
        self._directory.invalidate(damage.folder)
        self._index = Index(self._index.render)
        self._is_loaded = False

    def _refresh(self) -> None:
        """Bring the index to the store's revision. Costs the reading of one shared number when nothing has changed."""
        if not self._is_loaded:
            self.load()
        now = time.monotonic()
        hint = self._store.revision_hint()
        if (hint <= self._index.revision or self._is_told) and now < self._look_at:
            return
        with self._turn:
            self._look_at = now + _RECHECK_SECONDS
            if self._directory is not None and self._directory.version() != self._stamp:
                self._adopt()
                if not self._is_loaded:
                    self.load()
            if not self._is_told:
                # What cannot be read now is read by a later question; until then answers are as they were.
                with suppress(errors.Unavailable):
                    self._catch_up()

    def _catch_up(self) -> bool:
        """Apply what is newer in the store; return whether nothing is left. No question waits for what is read."""
        while self._is_loaded and self._store.revision_hint() > self._index.revision:
            index = self._index
            before = index.revision
            changes = self._store.changes_since(before)
            if changes.revision <= before:
                return False
            with self._turn:
                # Segments may have brought the index further meanwhile, or another one may be in its place.
                if self._index is index and index.revision == before:
                    index.apply(changes.models, changes.removed, changes.revision)
        return self._is_loaded

    def _ask(self, question: Callable[[Index], T]) -> T:
        """Put a question to an index that is up to date; once more if a damaged segment came to light."""
        self._refresh()
        try:
            return question(self._index)
        except DamagedSegmentError as damage:
            with self._turn:
                self._invalidate(damage)
        self._refresh()
        return question(self._index)

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
        """Say, while entered, that this process answers: who writes much then prepares it for all."""
        return self._directory.serving() if self._directory else nullcontext()

    def flush(self, building: ProgressFactory = _unseen) -> None:
        """Bring the segments on disk up to date, so that the next start is instant. For commands that changed much."""
        if self._indexer is not None:
            with building(self._count()) as on_rows, _without_fail():
                self._indexer.compact_now(on_rows)

    def rebuild(self, building: ProgressFactory = _unseen, pool: Executor | None = None) -> None:
        """Build the segments on disk anew, whatever they are; servers go over to them by themselves."""
        assert self._indexer is not None, "only a catalogue with a home has segments"
        with self._indexer.directory.building(), building(self._count()) as on_rows:
            self._indexer.rebuild(pool=pool, on_rows=on_rows)

    def verify(self) -> dict[str, int | DamagedSegmentError]:
        """Check every byte of the segments on disk; return each one's size, or its damage.

        What is damaged is withdrawn: the next start, or the server that runs, builds it anew.
        """
        assert self._directory is not None, "only a catalogue with a home has segments"
        checked = self._directory.verify()
        for found in checked.values():
            if isinstance(found, DamagedSegmentError):
                self._directory.invalidate(found.folder)
        return checked

    # --- changes

    def register_many(self, records: Iterable[Record], *, dry_run: bool = False) -> Iterator[Outcome]:
        """Take records in, and yield what became of each model, in order, once its transaction is committed.

        Records of the same id that follow each other are about one model and make one outcome. A record says what its
        layer knows; it never takes away what the layer knew before, unless it is the user's own word.
        """
        runs = groupby(records, key=lambda record: object() if record.id is None else record.id)
        together = ([*run] for _, run in runs)
        while batch := list(islice(together, BATCH_RECORDS)):
            yield from self._register(batch, dry_run=dry_run)

    def _register(self, batch: list[list[Record]], *, dry_run: bool) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with (
            suppress(_UndoneError),
            self._store.transaction(self._publish if len(batch) >= BULK_MODELS else None) as writing,
        ):
            registration = ModelWriter(writing, self._store.base_models())
            outcomes = registration.take(batch)
            if dry_run:
                raise _UndoneError
            registration.put()
        return outcomes

    def _publish(self) -> None:
        """Write a bulk change as a segment before others are told of it: they open it, instead of each building it."""
        if self._indexer is not None and self._indexer.directory.is_served():
            with _without_fail():
                self._indexer.append()

    def remove(self, viewer: Viewer, model_id: int) -> None:
        """Remove a model of the viewer's own team. Raises ModelNotFound for any other."""
        with self._store.transaction() as writing:
            entry = writing.entries([model_id]).get(model_id)
            if entry is None or viewer.team is None or entry.model.team != viewer.team:
                raise errors.ModelNotFound(str(model_id))
            writing.remove([model_id])

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
    """Return the catalogue of a store, with its index in segments under ``home`` or, without one, in memory.

    Where machines have ``shared`` files, the one that begins fetches the segments that another has made.
    """
    return Catalog(store, home, ttl_seconds=ttl_seconds, shared=shared)


class _UndoneError(Exception):
    """Leaves a transaction without keeping what it did."""


@contextmanager
def _without_fail() -> Iterator[None]:
    """Go on if segments cannot be written: what was taken in is on record, and is answered from memory."""
    try:
        yield
    except errors.Unavailable as problem:
        log.error("%s", problem.message)


def may_see(viewer: Viewer, model: Model) -> bool:
    """Whether the viewer may know that this model exists."""
    return model.visibility is Visibility.PUBLIC or (viewer.team is not None and model.team == viewer.team)
