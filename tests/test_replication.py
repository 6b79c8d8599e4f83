"""Segments between machines: what one node published, another starts from; what is not whole is refused and built anew.

Two homes on one database are two nodes here. How long either way takes is for benchmarks/cluster.py.
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from blake3 import blake3

from modelyard import replication
from modelyard.blobs import SharedFiles, open_shared
from modelyard.catalog import Catalog, open_catalog
from modelyard.domain import ANONYMOUS, ModelQuery
from modelyard.errors import Unavailable
from modelyard.facts import Entry
from modelyard.store import open_store

from .app_fixture import a_model
from .swift_server import SwiftServer

MODELS = 40


@dataclass(frozen=True)
class Place:
    """A database and a bucket, and nodes that begin on them."""

    folder: Path
    shared: SharedFiles

    def node(self, name: str, *, ttl_seconds: int = 60, clock: Callable[[], float] = time.time) -> Catalog:
        store = open_store(f"sqlite:///{self.folder}/modelyard.sqlite", clock=clock)
        (self.folder / name).mkdir(exist_ok=True)
        return open_catalog(store, self.folder / name, ttl_seconds=ttl_seconds, shared=self.shared)

    def publisher(self, name: str = "first") -> Catalog:
        """A node with all models in its segments, published."""
        node = self.node(name)
        node.load()
        published(node).publish()
        return node

    def names(self) -> list[str]:
        return sorted(file.name for file in self.shared.all("index/"))


def make_place(folder: Path, swift: SwiftServer) -> Place:
    shared = open_shared(f"s3://{swift.make_bucket()}/prefix", swift.environment)
    assert shared is not None
    made = Place(folder, shared)
    store = open_store(f"sqlite:///{folder}/modelyard.sqlite")
    with store.transaction() as writing:
        writing.put([Entry(a_model(number), {}) for number in range(1, MODELS + 1)])
    store.close()
    return made


@pytest.fixture
def place(tmp_path: Path, swift: SwiftServer) -> Place:
    return make_place(tmp_path, swift)


@pytest.fixture(scope="module")
def publication(tmp_path_factory: pytest.TempPathFactory, swift: SwiftServer) -> Place:
    """What one node published, for tests that put back what they change."""
    place = make_place(tmp_path_factory.mktemp("publication"), swift)
    place.publisher()
    return place


def published(node: Catalog) -> replication.SegmentReplicator:
    assert node._replicator is not None
    return node._replicator


def put(node: Catalog, *ids: int) -> None:
    with node.store.transaction() as writing:
        writing.put([Entry(a_model(number), {}) for number in ids])


def append(node: Catalog) -> None:
    """Write what is newer as one more segment of the node."""
    assert node._indexer is not None
    assert node._indexer.append()


def published_revision(place: Place) -> int:
    (name,) = [name for name in place.names() if name.endswith("/CURRENT.json")]
    content = place.shared.read(name)
    assert content is not None
    revision: int = json.loads(content.partition(b"\n")[2])["revision"]
    return revision


def count(node: Catalog) -> int:
    return node.count(ANONYMOUS, ModelQuery())


def started_from(caplog: pytest.LogCaptureFixture, node: Catalog) -> str:
    """Start a node, and return whether it "fetched" or was "building"."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        node.load()
    said = {record.getMessage().split()[0] for record in caplog.records if record.levelno == logging.INFO}
    (found,) = said & {"fetched", "building"}
    return found


def test_a_new_node_fetches_what_another_published_and_catches_up(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    first = place.publisher()
    put(first, MODELS + 1)
    with first.store.transaction() as writing:
        writing.remove([1, 2])
    second = place.node("second")

    assert "fetched" == started_from(caplog, second)
    assert (MODELS - 1, MODELS - 1) == (count(first), count(second))
    assert first.revision == second.revision


def test_a_node_with_segments_of_its_own_fetches_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.publisher()
    with caplog.at_level(logging.INFO):
        again = place.node("first")
        again.load()

    assert "fetched" not in caplog.text
    assert MODELS == count(again)


def test_only_what_is_new_is_sent(place: Place) -> None:
    first = place.publisher()
    before = place.names()
    put(first, MODELS + 1)
    assert first._indexer is not None
    first._indexer.append()

    assert published(first).publish()
    assert not published(first).publish()

    assert set(before) < set(place.names())


def test_one_node_publishes_at_a_time(place: Place) -> None:
    first, second = place.node("first"), place.node("second")
    for node in (first, second):
        node.load()

    published(first).publish_when_due()
    names = place.names()
    put(second, MODELS + 1)
    assert second._indexer is not None
    second._indexer.append()
    published(second).publish_when_due()

    assert names
    assert names == place.names()


def test_the_node_that_publishes_goes_on_with_what_is_newer(place: Place) -> None:
    node = place.node("first")
    node.load()
    published(node).publish_when_due()
    put(node, MODELS + 1)
    append(node)

    published(node).publish_when_due()

    assert node.refresh() == published_revision(place)


def test_another_node_publishes_when_the_first_has_not_for_minutes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "LEASE_SECONDS", -1)  # as if they had gone by
    first, second = place.node("first"), place.node("second")
    for node in (first, second):
        node.load()
    published(first).publish_when_due()
    put(second, MODELS + 1)
    append(second)

    published(second).publish_when_due()

    assert second.refresh() == published_revision(place)


def test_what_is_fetched_does_not_replace_a_list_that_is_there(place: Place) -> None:
    place.publisher()
    second = place.node("second")
    second.load()
    put(second, MODELS + 1)
    append(second)
    before = second.verify().keys()

    published(second).fetch()

    assert 2 == len(before)
    assert before == second.verify().keys()


def test_a_file_store_that_is_away_keeps_nobody_from_starting(
    place: Place, swift: SwiftServer, caplog: pytest.LogCaptureFixture
) -> None:
    away = open_shared("s3://bucket/prefix", {**swift.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert away is not None
    node = Place(place.folder, away).node("second")

    assert "building" == started_from(caplog, node)
    with pytest.raises(Unavailable):
        published(node).publish_when_due()
    assert MODELS == count(node)


def a_byte_changed(name: str, content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def cut_short(name: str, content: bytes) -> bytes:
    return content[:-1]


def of_a_path_elsewhere(name: str, content: bytes) -> bytes:
    """A list that is whole, and names what is no segment of ours."""
    text = content.partition(b"\n")[2].replace(b"manifest.json", b"../../../x.npy")
    return blake3(text).hexdigest().encode() + b"\n" + text


def with_a_file_elsewhere(name: str, content: bytes) -> bytes:
    """A list that is whole, and names a file elsewhere beside the files of a segment."""
    text = content.partition(b"\n")[2].replace(b'"records.npy"', b'"../../records.npy"')
    return blake3(text).hexdigest().encode() + b"\n" + text


def of_another_database(name: str, content: bytes) -> bytes:
    text = content.partition(b"\n")[2].replace(b'"kind": "', b'"kind": "other')
    return blake3(text).hexdigest().encode() + b"\n" + text


def of_the_future(name: str, content: bytes) -> bytes:
    text = content.partition(b"\n")[2].replace(b'"revision": 1', b'"revision": 100')
    return blake3(text).hexdigest().encode() + b"\n" + text


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("CURRENT.json", a_byte_changed),
        ("CURRENT.json", cut_short),
        ("CURRENT.json", of_a_path_elsewhere),
        ("CURRENT.json", with_a_file_elsewhere),
        ("CURRENT.json", of_another_database),
        ("CURRENT.json", of_the_future),
        ("manifest.json", a_byte_changed),
        ("checksums.npy", a_byte_changed),
        ("records.npy", a_byte_changed),
        ("set_blob_0.npy", cut_short),
        ("sorted_ids.npy", a_byte_changed),
    ],
)
def test_what_is_not_as_it_was_published_is_refused(
    publication: Place, caplog: pytest.LogCaptureFixture, file: str, change: Callable[[str, bytes], bytes]
) -> None:
    (name,) = [name for name in publication.names() if name.endswith("/" + file)]
    content = publication.shared.read(name)
    assert content is not None
    publication.shared.write(name, change(name, content))
    node_name = f"second {file} {change.__name__}"
    second = publication.node(node_name)
    try:
        assert "building" == started_from(caplog, second)
    finally:
        publication.shared.write(name, content)

    assert MODELS == count(second)
    folders = (publication.folder / node_name / "index").iterdir()
    assert not [path for path in folders if path.name.startswith("making-")]


def test_what_is_missing_is_refused(publication: Place, caplog: pytest.LogCaptureFixture) -> None:
    (name,) = [name for name in publication.names() if name.endswith("/records.npy")]
    content = publication.shared.read(name)
    assert content is not None
    publication.shared.remove([name])
    try:
        assert "building" == started_from(caplog, publication.node("second without a file"))
    finally:
        publication.shared.write(name, content)


def test_segments_that_were_rendered_otherwise_are_not_fetched(
    publication: Place, caplog: pytest.LogCaptureFixture
) -> None:
    node = publication.node("second of another time", ttl_seconds=61)

    assert "building" == started_from(caplog, node)
    assert "fetched" == started_from(caplog, publication.node("second of the same time"))


def test_what_no_list_names_is_removed_when_nobody_can_be_fetching_it(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """The database's clock says when that is, not the node's."""
    first = place.publisher()
    before = place.names()
    first.rebuild()
    put(first, MODELS + 1)
    assert first._indexer is not None
    first._indexer.append()
    published(first).publish()
    assert set(before) < set(place.names())

    later = place.node("first", clock=lambda: time.time() + 2 * replication.KEPT_SECONDS)
    later.load()
    put(later, MODELS + 2)
    assert later._indexer is not None
    later._indexer.append()
    published(later).publish()

    assert {"CURRENT.json"} == {name.rpartition("/")[2] for name in before if name in place.names()}
    assert "fetched" == started_from(caplog, place.node("second"))
