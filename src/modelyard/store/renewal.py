"""Brings the models that an older version stored to this version's form, when the database is opened.

    migration 0011 ──notes──> "renewal": -1, if there are models
    batch of models in the order of ids: layers in the new form, models resolved from them, note: the last id
    no model is left: the note is deleted

Each batch is one transaction, so that a process that is killed loses none, and the next one continues. Processes that
open the database at the same time take turns. A model that cannot be renewed stays as it is.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace

import sqlalchemy as sa

from modelyard import errors
from modelyard.facts import Entry, resolve, resolve_details
from modelyard.store import rows, schema
from modelyard.store.store import Store
from modelyard.store.transaction import WriteTransaction

log = logging.getLogger(__name__)

NOTE = "renewal"
SHOWN_AFTER_SECONDS = 2.0
_BATCH_MODELS = 500

# Called with the number of models in all; the result is called with the number of further ones.
ProgressFactory = Callable[[int], AbstractContextManager[Callable[[int], object]]]


def no_progress(_: int) -> AbstractContextManager[Callable[[int], object]]:
    """Show no progress."""
    return nullcontext(int)


def renew(
    store: Store, progress: ProgressFactory = no_progress, shown_after_seconds: float = SHOWN_AFTER_SECONDS
) -> None:
    """Renew all models that are left. ``progress`` is entered only if it takes longer than a moment."""
    if store.get_property(NOTE) is None:
        return
    start, shown_count, count = time.monotonic(), 0, 0
    with ExitStack() as stack:
        advance = None
        for batch_count in _renew_batches(store):
            count += batch_count
            if advance is None and time.monotonic() - start >= shown_after_seconds:
                log.info("renewing the models that an older version stored; this happens once")
                advance = stack.enter_context(progress(_count_models(store)))
            if advance is not None:
                advance(count - shown_count)
                shown_count = count
    log.info("renewed %d models that an older version stored", count)


def _renew_batches(store: Store) -> Iterator[int]:
    """Renew batch after batch, and yield the number of models of each, also of those that other processes renew."""
    while (note := store.get_property(NOTE)) is not None:
        try:
            with store.transaction() as transaction:
                count = _renew_batch(transaction)
        except errors.Unavailable:
            # Another process did not let this one write for long. It may be renewing models too.
            if store.get_property(NOTE) == note:
                raise
            count = 0
        yield count


def _renew_batch(transaction: WriteTransaction) -> int:
    note = schema.notes.c
    last = transaction.connection.execute(sa.select(note.value).where(note.key == NOTE)).scalar()
    if last is None:
        return 0
    id_ = schema.models.c.id
    query = sa.select(id_).where(id_ > int(last)).order_by(id_).limit(_BATCH_MODELS)
    ids = list(transaction.connection.execute(query).scalars())
    entries = [_renewed(entry) for entry in _read_entries(transaction, ids) if entry.layers]
    transaction.put(entries, rewrite=True)
    transaction.remember(NOTE, str(ids[-1]) if ids else None)
    return len(ids)


def _read_entries(transaction: WriteTransaction, ids: list[int]) -> Iterator[Entry]:
    try:
        yield from transaction.entries(ids).values()
    except errors.DatabaseDamaged as problem:
        if len(ids) == 1:
            log.error("model %d cannot be renewed: %s", ids[0], problem.message)
            return
        for id_ in ids:
            yield from _read_entries(transaction, [id_])


def _renewed(entry: Entry) -> Entry:
    model = entry.model
    details = resolve_details(resolve(entry.layers), entry.layers, model.team)
    renewed = Entry(replace(model, **details), entry.layers)
    try:
        rows.refuse_unstorable(renewed)
    except errors.InvalidValue as problem:
        log.error("model %d cannot be renewed: %s", model.id, problem.message)
        return entry
    return renewed


def _count_models(store: Store) -> int:
    with store.snapshot() as snapshot:
        return snapshot.count
