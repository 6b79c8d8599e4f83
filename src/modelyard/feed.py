"""The change feed: what changed since a revision, as a viewer may see it.

A reader that replays the feed holds the models that a walk of the list returns. So a model reads as removed for those
who saw it and do not see it any more, and for a query that it does not match. A model that a viewer could see neither
before nor now is not in the viewer's feed, and moves none of its numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from modelyard import errors
from modelyard.domain import POPULAR, Model, ModelQuery, Viewer
from modelyard.index import Index
from modelyard.store import Store, withdrawals
from modelyard.store.withdrawals import Bounds
from modelyard.wire.feed import FeedPosition

# A page with a query reads so many changes to find some to name, and the reader continues after them.
_READ_CHANGES_MIN = 500
_EVERYTHING = ModelQuery()
_ID_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Change:
    """A model that matches since ``revision``, as a rendered record; without a record, one that is removed."""

    revision: int
    model_id: int
    record: bytes | None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Changes in the order of revisions, where the reader continues, and the last revision of the viewer's feed."""

    changes: Sequence[Change]
    following: FeedPosition
    newest: int
    has_more: bool


def newest_revision(store: Store, viewer: Viewer) -> int:
    """Return the last revision that changed what a viewer sees."""
    with store.reading() as connection:
        return withdrawals.bounds(connection, viewer.team).newest


def read_changes(
    store: Store,
    render: Callable[[Model], bytes],
    viewer: Viewer,
    since: FeedPosition,
    limit: int,
    query: ModelQuery = _EVERYTHING,
) -> ChangePage:
    """Return up to ``limit`` changes after a position. A model that changes again is in the feed again.

    Raises FeedPruned if what was withdrawn since the position is not known any more, or the position is in the future.
    """
    is_filtered = query != _EVERYTHING
    with store.reading() as connection:
        bounds = withdrawals.bounds(connection, viewer.team)
        since = _checked(since, bounds, store.revision)
        after = since.revision, _ID_MAX if since.model_id is None else since.model_id
        count = max(limit, _READ_CHANGES_MIN) if is_filtered else limit
        rows = withdrawals.changes(connection, viewer.team, after, count + 1)
    changes: list[Change] = []
    read_count = 0
    for row, record in _with_records(rows[:count], render, viewer, query):
        if len(changes) == limit:
            break
        read_count += 1
        # A reader that began with nothing does not have what was removed before that.
        if record is not None or since.base is None or row.revision > since.base:
            changes.append(Change(row.revision, row.model_id, record))
    newest = max(bounds.newest, since.revision)
    if read_count == len(rows):
        return ChangePage(changes, FeedPosition(newest), newest, has_more=False)
    last, upcoming = rows[read_count - 1 : read_count + 1]
    following = FeedPosition(last.revision, last.model_id if upcoming.revision == last.revision else None)
    if since.base is not None and (is_filtered or _complete_revision(following) < bounds.horizon):
        following = replace(following, base=since.base)
    return ChangePage(changes, following, newest, has_more=True)


def _checked(since: FeedPosition, bounds: Bounds, revision: Callable[[], int]) -> FeedPosition:
    """Return the position, with the base of a reader that begins. Raises FeedPruned."""
    if since == FeedPosition():
        return FeedPosition(base=bounds.newest)
    if (_complete_revision(since) if since.base is None else since.base) < bounds.horizon:
        raise errors.FeedPruned(bounds.horizon)
    newest = max(since.revision, since.base or 0)
    if newest > bounds.newest and newest > revision():
        raise errors.FeedPruned(bounds.horizon, future=newest)
    return since


def _complete_revision(position: FeedPosition) -> int:
    """Return the last revision that a reader has whole: within a revision, it lacks a part of it."""
    return position.revision - (position.model_id is not None)


def _with_records(
    rows: Sequence[withdrawals.Change], render: Callable[[Model], bytes], viewer: Viewer, query: ModelQuery
) -> Iterator[tuple[withdrawals.Change, bytes | None]]:
    """Yield each change with the record of its model, or None for one that is gone or does not match."""
    if query == _EVERYTHING:
        yield from ((row, render(row.model) if row.model else None) for row in rows)
        return
    models = [row.model for row in rows if row.model is not None]
    records = {model.id: render(model) for model in models}
    # The index that answers queries decides what matches, over these models alone.
    index = Index(lambda model: records[model.id])
    index.load(models, 0)
    question = replace(query, limit=len(models), start=None, sort=POPULAR)
    matches = set(index.search(viewer, question).records) if models else set()
    for row in rows:
        record = records.get(row.model_id)
        yield row, record if record in matches else None
