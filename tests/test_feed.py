"""The change feed: who replays it holds what a walk of the list returns, and learns nothing of what others have.

Both databases. Not covered here: HTTP (web/api/test_changes.py).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modelyard import errors
from modelyard.blobs import FolderBlobs, IncomingFiles
from modelyard.catalog import Catalog, open_catalog
from modelyard.domain import ANONYMOUS, MODEL_TYPES, Model, ModelQuery, Viewer, Visibility
from modelyard.facts import Entry
from modelyard.feed import ChangePage
from modelyard.store import withdrawals
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.wire.feed import parse_since
from modelyard.wire.packed_records import unpack

from .app_fixture import a_model
from .databases import Open, prepare

RED, BLUE = Viewer("red"), Viewer("blue")
LORAS = ModelQuery(types=frozenset({"lora"}))
WORDS = ModelQuery(words=("harbour",))
OWNERS: dict[str, dict[str, Any]] = {
    "public": {},
    "public red": {"team": "red"},
    "red": {"team": "red", "visibility": Visibility.PRIVATE},
    "blue": {"team": "blue", "visibility": Visibility.PRIVATE},
}


@dataclass
class Node:
    """A catalogue that can be closed and opened again. It lasts for all examples of a test."""

    url: str
    open_at: Open
    catalog: Catalog = field(init=False)

    def __post_init__(self) -> None:
        self.catalog = open_catalog(self.open_at(self.url))

    def restart(self) -> Catalog:
        self.catalog.close()
        self.catalog = open_catalog(self.open_at(self.url))
        return self.catalog


@pytest.fixture
def node(url: str, open_at: Open) -> Node:
    prepare(url)
    return Node(url, open_at)


def put(catalog: Catalog, *models: Model) -> int:
    with catalog.store.transaction() as writing:
        writing.put([Entry(model, {}) for model in models])
    return writing.revision


def remove(catalog: Catalog, *ids: int) -> int:
    with catalog.store.transaction() as writing:
        writing.remove(ids)
    return writing.revision


def prune(catalog: Catalog) -> None:
    """Delete all that is known of withdrawals, as if they were old."""
    with catalog.store.transaction() as writing:
        withdrawals.prune(writing.connection, writing.now + 1)


def walk(catalog: Catalog, viewer: Viewer, query: ModelQuery) -> dict[int, bytes]:
    """What the list has for a viewer, by id."""
    records = catalog.search(viewer, query).records
    return {int(record[6 : record.index(b",")]): unpack(record) for record in records}


def lines(page: ChangePage) -> list[tuple[int, int, str]]:
    return [
        (change.revision, change.model_id, "removed" if change.record is None else "put") for change in page.changes
    ]


@dataclass
class Reader:
    """Replays the feed, with nothing but what it was sent."""

    viewer: Viewer
    query: ModelQuery = ModelQuery()  # noqa: RUF009 # it is frozen
    models: dict[int, bytes] = field(default_factory=dict)
    since: str = "0"
    mentioned: set[int] = field(default_factory=set)
    newest: int = 0

    def read(self, catalog: Catalog, limit: int) -> bool:
        """Read one page; return whether there are more."""
        try:
            page = catalog.changes(self.viewer, parse_since(self.since), limit, self.query)
        except errors.FeedPruned:
            self.models, self.since = {}, "0"
            return True
        assert len(page.changes) <= limit
        order = [(change.revision, change.model_id) for change in page.changes]
        assert sorted(order) == order
        for change in page.changes:
            self.mentioned.add(change.model_id)
            if change.record is None:
                self.models.pop(change.model_id, None)
            else:
                self.models[change.model_id] = change.record
        self.since, self.newest = str(page.following), page.newest
        return page.has_more

    def read_all(self, catalog: Catalog) -> None:
        for _ in range(100):
            if not self.read(catalog, 3):
                return
        pytest.fail("the feed does not end")


def random_steps(seed: int) -> Iterator[tuple[tuple[str, Any], list[int], int]]:
    """Yield steps, and who reads after each, up to how many changes. Generated lists would nearly all be trivial."""
    choices = random.Random(seed)
    for _ in range(14):
        name = choices.choice(("put", "put", "put", "put", "remove", "prune"))
        step: Any = None
        if name == "put":
            count = choices.randint(1, 4)
            step = [(choices.randint(1, 5), choices.choice([*OWNERS]), choices.random() < 0.5) for _ in range(count)]
        elif name == "remove":
            step = {choices.randint(1, 5), choices.randint(1, 5)}
        yield (name, step), choices.sample(range(5), choices.randint(0, 5)), choices.randint(1, 5)
        if choices.random() < 0.05:
            yield ("restart", None), [], 1


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
# A page ends within a revision that is pruned: the reader has to go on from there.
@example(seed=1074269122)
def test_a_reader_of_the_feed_holds_what_a_walk_returns_and_hears_of_nothing_else(node: Node, seed: int) -> None:
    catalog = node.catalog
    empty(catalog)
    readers = [Reader(ANONYMOUS), Reader(RED), Reader(BLUE), Reader(RED, LORAS), Reader(ANONYMOUS, WORDS)]
    visible: dict[str | None, set[int]] = {None: set(), "red": set(), "blue": set()}
    newest: dict[str | None, int] = dict.fromkeys(visible, 0)
    models: dict[int, Model] = {}

    def note(after: dict[int, Model], revision: int) -> None:
        for team in visible:
            seen_before = {id_ for id_, model in models.items() if sees(team, model)}
            seen = {id_ for id_, model in after.items() if sees(team, model)}
            visible[team] |= seen
            if any(after.get(id_) is not models.get(id_) for id_ in seen | seen_before):
                newest[team] = revision

    for (name, step), reading, limit in random_steps(seed):
        if name == "put":
            changed = {
                id_: a_model(
                    id_,
                    type=MODEL_TYPES["lora" if is_lora else "checkpoint"],
                    name="harbour" if is_lora else "v1",
                    **OWNERS[owner],
                )
                for id_, owner, is_lora in step
            }
            after = {**models, **changed}
            note(after, put(catalog, *changed.values()))
            models = after
        elif name == "remove" and step & models.keys():
            after = {id_: model for id_, model in models.items() if id_ not in step}
            note(after, remove(catalog, *step))
            models = after
        elif name == "prune":
            prune(catalog)
        elif name == "restart":
            catalog = node.restart()
        for number in reading:
            readers[number].read(catalog, limit)

    for reader in readers:
        reader.read_all(catalog)
        assert walk(catalog, reader.viewer, reader.query) == reader.models
        assert reader.mentioned <= visible[reader.viewer.team]
        assert newest[reader.viewer.team] == reader.newest
        assert str(reader.newest) == reader.since


def sees(team: str | None, model: Model) -> bool:
    return model.visibility is Visibility.PUBLIC or (team is not None and model.team == team)


def empty(catalog: Catalog) -> None:
    """Remove all models, and what is known of those that were removed."""
    remove(catalog, *range(1, 6))
    with catalog.store.transaction() as writing:
        for table in (withdrawals.withdrawals, withdrawals.horizons):
            writing.connection.execute(sa.delete(table))


def test_a_removal_by_a_node_of_an_older_version_makes_readers_begin_again(node: Node, tmp_path: Path) -> None:
    """It notes no withdrawal, so the feed would keep the model for ever."""
    catalog, reader = node.catalog, Reader(RED)
    put(catalog, a_model(1), a_model(2), a_model(3))
    reader.read_all(catalog)
    remove(catalog, 1)
    with catalog.store.transaction() as writing:
        writing.connection.execute(sa.delete(withdrawals.withdrawals))
    for _ in range(2):
        UploadCleaner(catalog.store, FolderBlobs(tmp_path), IncomingFiles(tmp_path)).purge_expired()
    with pytest.raises(errors.FeedPruned):
        catalog.changes(RED, parse_since("1"), 10)
    reader.read_all(catalog)
    remove(catalog, 2)
    reader.read_all(catalog)

    assert {3} == reader.models.keys()


def test_cleanup_forgets_removals_that_are_old(node: Node, tmp_path: Path) -> None:
    catalog, reader = node.catalog, Reader(RED)
    put(catalog, a_model(1), a_model(2))
    reader.read_all(catalog)
    remove(catalog, 1)

    def clean_up(history_seconds: int) -> None:
        where = FolderBlobs(tmp_path), IncomingFiles(tmp_path)
        UploadCleaner(catalog.store, *where, history_seconds=history_seconds).purge_expired()

    clean_up(60)
    clean_up(60)
    assert [(2, 1, "removed")] == lines(catalog.changes(RED, parse_since("1"), 10))
    clean_up(-1)
    clean_up(60)
    with pytest.raises(errors.FeedPruned):
        catalog.changes(RED, parse_since("1"), 10)
    reader.read_all(catalog)
    assert {2} == reader.models.keys()
