"""Segments on disk answer as the oracle does, whatever is written, merged, rebuilt, restarted or damaged in between.

Several catalogues over one home stand for several processes; some tests start real ones. Tiers are small, so that a
catalogue of forty models crosses several. Not covered here: processes that are killed (test_crashes.py), and servers
(test_workers.py).
"""

import json
import logging
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from modelyard import wire
from modelyard.catalog import Catalog, open_catalog
from modelyard.domain import ANONYMOUS, Model, ModelQuery, Offset, Viewer
from modelyard.facts import Entry
from modelyard.index import DamagedSegmentError, Index
from modelyard.index import segment as segment_module
from modelyard.index.segment_file import write_sealed
from modelyard.indexer import Indexer
from modelyard.store import open_store
from tests import oracle
from tests.app_fixture import a_model, a_private
from tests.strategies import models, queries, viewers

from . import segment_processes


@pytest.fixture(autouse=True, scope="module")
def small_tiers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_module, "TIER_FIRST", 4)
        yield


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables: copied, it saves an example the migrations."""
    folder = tmp_path_factory.mktemp("empty")
    open_store(f"sqlite:///{folder}/modelyard.sqlite").close()
    return folder


def opened(home: Path) -> Catalog:
    return open_catalog(open_store(f"sqlite:///{home}/modelyard.sqlite"), home)


def upkeep_of(catalog: Catalog) -> Indexer:
    assert catalog._indexer is not None
    return catalog._indexer


def put(catalog: Catalog, *written: Model) -> None:
    with catalog._store.transaction() as writing:
        writing.put([Entry(model, {}) for model in written])


def remove(catalog: Catalog, *ids: int) -> None:
    with catalog._store.transaction() as writing:
        writing.remove(ids)


def answer(catalog: Catalog, viewer: Viewer, query: ModelQuery) -> bytes:
    page = catalog.search(viewer, query)
    return wire.render_page(page.records, page.following, lambda *_: "")


def expected(catalogue: dict[int, Model], viewer: Viewer, query: ModelQuery) -> bytes:
    found, following = oracle.page(catalogue.values(), viewer, query)
    records = [wire.render_record(model, ttl_seconds=wire.TTL_DEFAULT_SECONDS) for model in found]
    return wire.render_page(records, following, lambda *_: "")


def ids(body: bytes) -> list[int]:
    return [model["id"] for model in json.loads(body)["models"]]


class Interleaving(RuleBasedStateMachine):
    """Two catalogues and their keepers over one home; every question has the oracle's answer."""

    empty: Path
    homes: Callable[[], Path]

    @initialize(written=st.lists(models(), max_size=30, unique_by=lambda model: model.id))
    def start(self, written: list[Model]) -> None:
        self.home = self.homes()
        shutil.copytree(self.empty, self.home)
        self.catalogs = [opened(self.home), opened(self.home)]
        self.models: dict[int, Model] = {}
        self.write(0, written)

    @rule(by=st.integers(0, 1), written=st.lists(models(), max_size=6, unique_by=lambda model: model.id))
    def write(self, by: int, written: list[Model]) -> None:
        put(self.catalogs[by], *written)
        self.models |= {model.id: model for model in written}

    @rule(by=st.integers(0, 1), gone=st.sets(st.integers(1, 40), max_size=4))
    def remove(self, by: int, gone: set[int]) -> None:
        remove(self.catalogs[by], *gone)
        self.models = {key: model for key, model in self.models.items() if key not in gone}

    @rule(by=st.integers(0, 1), step=st.integers(1, 5), data=st.data())
    def change_ranks_of_many(self, by: int, step: int, data: st.DataObject) -> None:
        ranks = data.draw(st.lists(st.integers(-2, 6), min_size=len(self.models), max_size=len(self.models)))
        changed = [
            Model(**{name: getattr(model, name) for name in Model.__slots__} | {"rank": rank})
            for model, rank in zip(list(self.models.values())[::step], ranks, strict=False)
        ]
        self.write(by, changed)

    @rule(by=st.integers(0, 1), work=st.sampled_from(("append", "merge", "compact_now", "rebuild")))
    def run_indexer(self, by: int, work: str) -> None:
        getattr(upkeep_of(self.catalogs[by]), work)()

    @rule(
        by=st.integers(0, 1),
        work=st.sampled_from(("append", "merge", "rebuild")),
        written=st.lists(models(), min_size=1, max_size=3, unique_by=lambda model: model.id),
    )
    def keep_up_while_others_write_and_ask(self, by: int, work: str, written: list[Model]) -> None:
        """The moment between writing a segment and listing it, in which others go on and know more than is listed."""
        for catalog in self.catalogs:
            catalog.load()  # which would wait for who publishes
        folder = upkeep_of(self.catalogs[by]).directory
        publish = folder.publish

        def go_on_and_publish(names: tuple[str, ...], revision: int) -> None:
            self.write(1 - by, written)
            for catalog in self.catalogs:
                assert answer(catalog, ANONYMOUS, ModelQuery()) == expected(self.models, ANONYMOUS, ModelQuery())
            publish(names, revision)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(folder, "publish", go_on_and_publish)
            getattr(upkeep_of(self.catalogs[by]), work)()

    @rule(which=st.integers(0, 1))
    def restart(self, which: int) -> None:
        self.catalogs[which].close()
        self.catalogs[which] = opened(self.home)

    @rule(by=st.integers(0, 1), viewer=viewers, asked=st.lists(queries, min_size=1, max_size=4))
    def ask(self, by: int, viewer: Viewer, asked: list[ModelQuery]) -> None:
        catalog = self.catalogs[by]
        for query in asked:
            assert answer(catalog, viewer, query) == expected(self.models, viewer, query)
            assert catalog.count(viewer, query) == len(oracle.matching(self.models.values(), viewer, query))

    def teardown(self) -> None:
        for catalog in getattr(self, "catalogs", ()):
            assert not [found for found in catalog.verify().values() if not isinstance(found, int)]
            catalog.close()
            shutil.rmtree(self.home, ignore_errors=True)


def test_any_interleaving_of_writes_and_upkeep_answers_as_the_oracle(empty_database: Path, tmp_path: Path) -> None:
    numbers = iter(range(1_000_000))

    class Here(Interleaving):
        empty = empty_database

        def homes(self) -> Path:
            return tmp_path / str(next(numbers))

    run_state_machine_as_test(
        Here,
        settings=settings(
            deadline=None,
            max_examples=12,
            stateful_step_count=20,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_what_memory_hides_on_disk_is_alive_again_when_it_leaves_memory(tmp_path: Path) -> None:
    """A reader's part in memory reaches back over a revision that another process is just writing to disk."""
    reader, keeper = opened(tmp_path), opened(tmp_path)
    answered: list[list[int]] = []

    def follow() -> None:
        answered.append(ids(answer(reader, ANONYMOUS, ModelQuery())))

    follow()
    put(keeper, a_model(1))
    follow()
    folder = upkeep_of(keeper).directory
    publish = folder.publish

    def publish_late(names: tuple[str, ...], revision: int) -> None:
        put(reader, a_model(2))
        follow()
        publish(names, revision)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "publish", publish_late)
        upkeep_of(keeper).append()
    put(keeper, a_model(3))
    follow()  # takes the first segment over
    upkeep_of(keeper).append()
    put(keeper, a_model(4))
    follow()

    assert [set(), {1}, {1, 2}, {1, 2, 3}, {1, 2, 3, 4}] == [set(found) for found in answered]
    reader.close()
    keeper.close()


def test_a_merged_segment_does_not_show_again_what_a_segment_appended_meanwhile_replaces(tmp_path: Path) -> None:
    """A reader has the appended segment already when the merged one takes the place of the older ones."""
    reader, keeper = opened(tmp_path), opened(tmp_path)
    for number in range(1, 9):
        put(keeper, a_model(number))
        upkeep_of(keeper).append()
    write = upkeep_of(keeper)._write

    def append_and_write(*rows: Any, **options: Any) -> Any:
        patch.undo()
        written = write(*rows, **options)
        put(reader, a_model(1, name="changed"))
        remove(reader, 2)
        upkeep_of(reader).append()
        assert [1, *range(3, 9)] == ids(answer(reader, ANONYMOUS, ModelQuery()))
        return written

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep_of(keeper), "_write", append_and_write)
        assert upkeep_of(keeper).merge()
    put(keeper, a_model(9))

    body = json.loads(answer(reader, ANONYMOUS, ModelQuery()))
    assert [(1, "changed"), *((n, f"v{n}") for n in range(3, 10))] == [(m["id"], m["name"]) for m in body["models"]]
    reader.close()
    keeper.close()


def test_a_list_on_disk_that_is_behind_memory_does_not_take_the_index_back(tmp_path: Path) -> None:
    catalog = opened(tmp_path)
    put(catalog, a_model(1))
    catalog.flush()
    opened_list = upkeep_of(catalog).directory.open()
    assert opened_list is not None
    current, stored = opened_list
    index = Index(lambda model: str(model.id).encode())
    index.open_segments(stored, current.revision)
    index.apply([a_model(2)], [], current.revision + 1)

    index.open_segments(stored, current.revision)

    assert current.revision + 1 == index.revision
    assert 2 == index.count_of(ANONYMOUS, ModelQuery())
    catalog.close()


def test_several_processes_answer_as_the_oracle_right_after_every_write(empty_database: Path, tmp_path: Path) -> None:
    """Two processes answer, a third keeps the segments up, and this one writes: models, removals, ranks of many."""
    home = tmp_path / "home"
    shutil.copytree(empty_database, home)
    chance = random.Random(5)
    known: dict[int, Model] = {}
    with (
        segment_processes.answering(home) as first,
        segment_processes.answering(home) as second,
        segment_processes.keeping_up(home),
    ):
        writer = opened(home)
        for step in range(60):
            ids_drawn = [chance.randint(1, 400) for _ in range(chance.choice((1, 5, 300 if step % 10 == 0 else 20)))]
            written = {id_: a_model(id_, rank=chance.randint(0, 50), tags=(f"t{id_ % 7}",)) for id_ in ids_drawn}
            gone = {chance.randint(1, 400) for _ in range(chance.choice((0, 0, 3, 30)))}
            put(writer, *written.values())
            remove(writer, *gone)
            known = {key: model for key, model in (known | written).items() if key not in gone}

            for query in (
                ModelQuery(limit=100),
                ModelQuery(limit=7, start=Offset(chance.randint(0, 200))),
                ModelQuery(tags=(f"t{chance.randint(0, 7)}",), terms=("model",), limit=30),
            ):
                for asked in (first, second):
                    assert asked(query) == expected(known, ANONYMOUS, query)
        writer.close()


# --- Damage ----------------------------------------------------------------------------------------------------------

QUESTIONS = (
    (ANONYMOUS, ModelQuery(limit=100)),
    (Viewer("red"), ModelQuery(terms=("model",), limit=50)),
    (Viewer("red"), ModelQuery(tags=("anime",), start=Offset(3))),
    (ANONYMOUS, ModelQuery(types=frozenset({"checkpoint"}), terms=("mode", "saf"), limit=5)),
    (ANONYMOUS, ModelQuery(id=7)),
    (ANONYMOUS, ModelQuery(base_models=frozenset({"sd 1.5"}), start=a_model(20).position)),
)


@dataclass(frozen=True)
class Whole:
    home: Path
    known: dict[int, Model]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A home with two segments, the newer one replacing and removing models of the older, and what is in it."""
    home = tmp_path_factory.mktemp("whole")
    catalog = opened(home)
    written = [a_model(n, tags=("anime", f"t{n % 5}")) for n in range(1, 60)]
    private = [a_private(n, "red", tags=("anime",)) for n in range(60, 70)]
    put(catalog, *written, *private)
    catalog.flush()
    changed = [a_model(n, rank=5_000 + n) for n in range(1, 5)]
    put(catalog, *changed)
    remove(catalog, 30, 31, 65)
    assert upkeep_of(catalog).append()
    current = upkeep_of(catalog).directory.current()
    assert current is not None
    assert len(current.names) == 2
    catalog.close()
    known = {model.id: model for model in (*written, *private, *changed) if model.id not in (30, 31, 65)}
    return Whole(home, known)


def copied(home: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return shutil.copytree(home, to)


def assert_answers(home: Path, known: dict[int, Model]) -> None:
    catalog = opened(home)
    try:
        for viewer, query in QUESTIONS:
            assert answer(catalog, viewer, query) == expected(known, viewer, query)
        catalog.facets(ANONYMOUS, ModelQuery())
    finally:
        catalog.close()


def segment_files(home: Path) -> list[Path]:
    return sorted(path for path in (home / "index").rglob("*") if path.is_file() and path.suffix != ".lock")


bits = st.tuples(st.integers(0, 200), st.floats(0, 1, exclude_max=True), st.integers(0, 7))


def flip(home: Path, bit: tuple[int, float, int]) -> tuple[Path, bytes]:
    """Flip a bit of a file of the index; return the file and what it was."""
    number, place, at = bit
    files = segment_files(home)
    path = files[number % len(files)]
    before = path.read_bytes()
    content = bytearray(before)
    content[int(place * len(content))] ^= 1 << at
    path.write_bytes(content)
    return path, before


def test_a_flipped_bit_is_found_by_verify(whole: Whole, tmp_path: Path) -> None:
    home = copied(whole.home, tmp_path / "damaged")
    catalog = opened(home)

    @given(bits)
    @settings(deadline=None, max_examples=100)
    def verify(bit: tuple[int, float, int]) -> None:
        path, before = flip(home, bit)
        found = upkeep_of(catalog).directory.verify()
        path.write_bytes(before)
        assert [problem for problem in found.values() if isinstance(problem, DamagedSegmentError)], path

    verify()
    catalog.close()


def test_a_flipped_bit_never_changes_an_answer(whole: Whole, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    @given(bits)
    @settings(deadline=None, max_examples=30)
    def answer_and_rebuild(bit: tuple[int, float, int]) -> None:
        damaged = copied(whole.home, tmp_path / "damaged")
        flip(damaged, bit)
        caplog.clear()
        before = (damaged / "index" / "CURRENT").read_bytes()
        assert_answers(damaged, whole.known)

        was_rebuilt = (damaged / "index" / "CURRENT").read_bytes() != before
        assert was_rebuilt == ("damaged" in caplog.text or "building the index" in caplog.text)

    answer_and_rebuild()


def older_format(index: Path) -> None:
    write_sealed(index / "CURRENT", json.dumps(json.loads(_list_of(index)) | {"format": 1}))


def other_database(index: Path) -> None:
    write_sealed(index / "CURRENT", json.dumps(json.loads(_list_of(index)) | {"identity": "another"}))


def other_rendering(index: Path) -> None:
    write_sealed(index / "CURRENT", json.dumps(json.loads(_list_of(index)) | {"rendering": "0 60"}))


def _list_of(index: Path) -> str:
    return (index / "CURRENT").read_text().partition("\n")[2]


def newest_segment(index: Path) -> Path:
    return max(path for path in index.iterdir() if path.is_dir())


def cut_short(index: Path) -> None:
    text = newest_segment(index) / "text.npy"
    text.write_bytes(text.read_bytes()[:-3])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "an older format": (older_format, "format 1"),
    "another database": (other_database, "another database"),
    "another rendering": (other_rendering, "rendered otherwise"),
    "no list": (lambda index: (index / "CURRENT").unlink(), "none yet"),
    "an empty list": (lambda index: (index / "CURRENT").write_bytes(b""), "CURRENT is damaged"),
    "a list of nonsense": (lambda index: (index / "CURRENT").write_bytes(b"\x00\xff{"), "CURRENT is damaged"),
    "a missing segment": (lambda index: shutil.rmtree(newest_segment(index)), "a segment is damaged"),
    "a missing array": (lambda index: (newest_segment(index) / "neg_ids.npy").unlink(), "neg_ids.npy"),
    "a missing manifest": (lambda index: (newest_segment(index) / "manifest.json").unlink(), "manifest.json"),
    "an array cut short": (cut_short, "text.npy"),
    "a manifest of nonsense": (
        lambda index: (newest_segment(index) / "manifest.json").write_bytes(b"{}"),
        "manifest.json",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_used_is_built_anew_and_told(
    whole: Whole, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    home, known = whole.home, whole.known
    damaged = copied(home, tmp_path / "damaged")
    spoil, told = DAMAGES[damage]
    spoil(damaged / "index")
    caplog.set_level(logging.INFO, "modelyard.catalog")

    assert_answers(damaged, known)

    assert told in caplog.text
    caplog.clear()
    assert_answers(damaged, known)
    assert [] == [record for record in caplog.records if record.name.startswith("modelyard")]


def test_a_segment_damaged_while_it_is_served_is_replaced_at_the_question_that_meets_it(
    whole: Whole, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, known = whole.home, whole.known
    damaged = copied(home, tmp_path / "damaged")
    catalog = opened(damaged)
    catalog.load()
    for records in (damaged / "index").rglob("records.npy"):
        content = bytearray(records.read_bytes())
        content[200:210] = b"0123456789"
        with records.open("r+b") as file:  # in place: the map of the process that serves sees it
            file.write(content)

    for viewer, query in QUESTIONS:
        assert answer(catalog, viewer, query) == expected(known, viewer, query)

    assert "records.npy: block 0 is damaged" in caplog.text
    catalog.close()


def test_readers_go_on_while_segments_are_built_merged_and_swept(tmp_path: Path) -> None:
    """Threads ask all the time while another appends, merges and rebuilds: no error, no half of a write."""
    writer, reader = opened(tmp_path), opened(tmp_path)
    put(writer, *(a_model(n) for n in range(1, 101)))
    ended = threading.Event()
    wrong: list[object] = []

    def ask() -> None:
        while not ended.wait(0.001):  # or the writer would get a third of the processor
            try:
                names = {
                    model["name"] for model in json.loads(answer(reader, ANONYMOUS, ModelQuery(limit=100)))["models"]
                }
                if len(names) != 1 and names != {f"v{n}" for n in range(1, 101)}:
                    wrong.append(names)
            except Exception as problem:
                wrong.append(problem)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(6):
        put(writer, *(a_model(n, name=f"all {number}", rank=(n * number) % 97) for n in range(1, 101)))
        getattr(upkeep_of(writer), ("append", "merge", "rebuild")[number % 3])()
    ended.set()
    for thread in threads:
        thread.join()

    assert [] == wrong
    writer.close()
    reader.close()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = opened(tmp_path)
    yield made
    made.close()


def test_a_record_longer_than_two_blocks_is_checked_in_its_middle(catalog: Catalog, tmp_path: Path) -> None:
    """Of a piece the first and the last block are looked at before its use; of a long one all are."""
    put(catalog, a_model(1, tags=tuple(f"{n:05}" * 200 for n in range(250))))
    catalog.flush()
    (records,) = (tmp_path / "index").rglob("records.npy")
    content = bytearray(records.read_bytes())
    assert len(content) > 3 << 16
    content[100_000] ^= 1
    records.write_bytes(content)

    other = opened(tmp_path)
    assert ids(answer(other, ANONYMOUS, ModelQuery())) == [1]
    assert b"".join(other.search(ANONYMOUS, ModelQuery()).records) == b"".join(
        catalog.search(ANONYMOUS, ModelQuery()).records
    )
    other.close()
