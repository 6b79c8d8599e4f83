"""A database of the schema before this one: its models are brought to this version's form when it is opened.

The rows are those that an older version wrote. Its code is not run here.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import pytest
import sqlalchemy as sa

from modelyard.domain import Hashes, Licence, Source
from modelyard.facts import Facts, Layer, Record
from modelyard.registry import models
from modelyard.store import Store, open_store, renewal
from tests.databases import Open
from tests.processes import entry
from tests.store.test_migrate import migrate_through

SHA256 = "1A805277C8" + 54 * "0"
# Two batches and a part of one.
COUNT = 1_200
LINE = "commercial use: Rent; credit not required; no derivatives"
UPSTREAM: dict[str, Any] = {
    "name": "v1",
    "sd_name": "a_1.safetensors",
    "hashes": {"sha256": "F" * 64},
    "files": [{"name": "a.safetensors"}, {"name": "b.safetensors", "hashes": {"sha256": SHA256}}],
    "upstream_model_id": 7,
    "upstream_model_name": 'Harbour "licence":"Lights"',
    "trigger_words": ["手", "word"],
    "published_at": "2023-08-01T00:00:00.000Z",
    "size_bytes": 2_048,
    "licence": LINE,
}
OLDER = json.dumps(UPSTREAM, ensure_ascii=False, separators=(",", ":"))
ROW = {
    "name": "v1",
    "sd_name": "a_1.safetensors",
    "type_name": "lora",
    "type_display_name": "Lora",
    "source": "civitai",
    "visibility": "public",
    "status": 1,
    "base_model": "",
    "base_model_type": "",
    "is_sdxl": False,
    "is_nsfw": False,
    "tags": "[]",
    "categories": "[]",
    "cover_url": "",
    "rank": 0,
    "sha256": "F" * 64,
    "file_hashes": SHA256,
    "revision": 1,
}


def fill(url: str, count: int = COUNT) -> None:
    """Make the database that an older version left behind."""
    for _, engine in migrate_through(url, ["0010"]):
        with engine.begin() as connection:
            insert_rows(connection, count)


def insert_rows(connection: sa.Connection, count: int) -> None:
    names = ", ".join(["id", *ROW])
    marks = ", ".join(f":{name}" for name in ("id", *ROW))
    models = [{"id": id_, "facts": OLDER, "digits": SHA256, **ROW} for id_ in range(1, count + 1)]
    for statement in (
        f"INSERT INTO models ({names}) VALUES ({marks})",
        "INSERT INTO layers (model_id, layer, facts) VALUES (:id, 3, :facts)",
        "INSERT INTO model_hashes (digits, model_id) VALUES (:digits, :id)",
    ):
        connection.execute(sa.text(statement), models)
    connection.execute(sa.text("UPDATE counters SET value = 1 WHERE name = 'model_revision'"))


def assert_renewed(store: Store, count: int = COUNT) -> None:
    with store.snapshot() as snapshot:
        models = list(snapshot.models())
    assert count == len(models)
    assert {('Harbour "licence":"Lights"', "civitai:7", 2_048, ("手", "word"))} == {
        (model.title, model.version_group, model.size_bytes, model.trigger_words) for model in models
    }
    with store.reading() as connection:
        texts = connection.execute(sa.text("SELECT facts FROM layers")).scalars().all()
    assert not [text for text in texts if "upstream_model_name" in text or LINE in text]


def test_models_of_the_schema_before_have_everything_that_their_layers_say(url: str, open_at: Open) -> None:
    fill(url, 1)

    entry = open_at(url).entry(1)

    assert entry is not None
    model = entry.model
    licence = Licence(allow_commercial=("image", "rent"), allow_no_credit=True, allow_derivatives=False)
    assert (licence, ("a.safetensors", "b.safetensors")) == (model.licence, model.file_names)
    # Nobody noted when the model was added.
    assert (1_690_848_000, 1_690_848_000, None) == (model.published_at, model.updated_at, model.added_at)
    assert tuple(sorted(Hashes(sha256=SHA256).spellings())) == model.file_hashes
    assert (licence, 'Harbour "licence":"Lights"') == (
        entry.layers[Layer.UPSTREAM].licence,
        entry.layers[Layer.UPSTREAM].title,
    )
    assert_renewed(open_at(url), 1)


def test_an_import_fills_what_older_versions_did_not_keep(url: str, open_at: Open) -> None:
    fill(url, 1)
    store = open_at(url)
    answer = Facts(name="v1", sd_name="a_1.safetensors", creator="anna", updated_at="2023-08-02")

    with store.transaction() as transaction:
        models.import_records(transaction, [[Record(1, Source.CIVITAI, Layer.UPSTREAM, answer)]])

    entry = store.entry(1)
    assert entry is not None
    assert ("anna", 1_690_934_400, None) == (entry.model.creator, entry.model.updated_at, entry.model.added_at)
    assert_renewed(store, 1)


def test_followers_see_the_renewed_models_as_changes(url: str, open_at: Open) -> None:
    fill(url, 1)

    changes = open_at(url).changes(after=1)

    assert [1] == [model.id for model in changes.models if model.title]


def clock_that_kills(calls: int) -> Callable[[], float]:
    """Return a clock that ends the process as ``kill -9`` does when a transaction reads it for the last time."""
    left = iter(range(calls))

    def clock() -> float:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    return clock


def open_and_be_killed(url: str, calls: int) -> None:
    open_store(url, clock=clock_that_kills(calls)).close()


def open_and_close(url: str) -> None:
    open_store(url).close()


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_process_that_is_killed_half_way_loses_nothing_and_the_next_one_continues(
    url: str, open_at: Open, batches: int
) -> None:
    fill(url)
    # PostgreSQL has a clock of its own, which is compared once before the first transaction.
    calls = batches + url.startswith("postgresql")
    process = get_context("spawn").Process(target=open_and_be_killed, args=(url, calls))
    process.start()
    process.join()

    store = open_at(url)

    assert -signal.SIGKILL == process.exitcode
    # One revision a batch: no batch was done again.
    assert 1 + 3 == store.revision()
    assert_renewed(store)


def test_processes_that_open_the_database_at_once_share_the_work(url: str, open_at: Open) -> None:
    fill(url)
    processes = [get_context("spawn").Process(target=open_and_close, args=(url,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    store = open_at(url)

    assert [0, 0] == [process.exitcode for process in processes]
    assert 1 + 3 == store.revision()
    assert_renewed(store)


def test_progress_is_shown_if_it_takes_long(store: Store) -> None:
    shown: list[int] = []

    @contextmanager
    def progress(count: int) -> Iterator[Callable[[int], object]]:
        shown.append(count)
        yield shown.append

    with store.transaction() as transaction:
        insert_rows(transaction.connection, COUNT)
        transaction.remember(renewal.NOTE, "-1")
    renewal.renew(store, progress, shown_after_seconds=0)

    assert [COUNT, 500, 500, 200, 0] == shown
    assert_renewed(store)


def test_a_model_that_cannot_be_renewed_stays_as_it_is(url: str, open_at: Open) -> None:
    fill(url, 3)
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    damaged = json.dumps({**UPSTREAM, "upstream_model_name": "\0"})
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE layers SET facts = '{' WHERE model_id = 1"))
        connection.execute(sa.text("UPDATE layers SET facts = :facts WHERE model_id = 2"), {"facts": damaged})
    engine.dispose()

    store = open_at(url)

    with store.snapshot() as snapshot:
        assert {1: "", 2: "", 3: UPSTREAM["upstream_model_name"]} == {
            model.id: model.title for model in snapshot.models()
        }


def test_a_layer_that_an_older_version_writes_later_is_read(store: Store) -> None:
    with store.transaction() as transaction:
        transaction.put([entry(1)])
        transaction.connection.execute(sa.text("UPDATE layers SET facts = :facts"), {"facts": OLDER})

    after = store.entry(1)

    assert after is not None
    expected = Licence(allow_commercial=("image", "rent"), allow_no_credit=True, allow_derivatives=False)
    assert (UPSTREAM["upstream_model_name"], expected) == (
        after.layers[Layer.UPSTREAM].title,
        after.layers[Layer.UPSTREAM].licence,
    )
