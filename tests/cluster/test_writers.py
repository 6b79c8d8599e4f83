"""Several writers at once on one PostgreSQL: no update is lost, nobody waits for ever, and a follower misses nothing.

Each importer is a process of its own, as commands are. Not covered: what dies meanwhile (test_chaos.py).
"""

import multiprocessing
from pathlib import Path

from modelyard.catalog import open_catalog
from modelyard.domain import ANONYMOUS, ModelQuery, Source, Viewer, model_type
from modelyard.facts import Facts, Layer, Record
from modelyard.store import Store, open_store
from modelyard.uploads.uploads import UploadLimits, Uploads
from tests.process_servers import PostgresServer

MODELS, BATCH, UPLOADS = 1_500, 100, 30
SPAWNED = multiprocessing.get_context("spawn")
LIMITS = UploadLimits(10**9, 1_000, 0, 3_600)


def import_models(url: str, layer: Layer, backwards: bool) -> None:
    """Tell of every model in one layer, a batch a transaction, from one end or the other."""
    store = open_store(url)
    catalog = open_catalog(store)
    numbers = range(MODELS, 0, -1) if backwards else range(1, MODELS + 1)
    for start in range(0, MODELS, BATCH):
        records = [Record(n, Source.CIVITAI, layer, facts_of(layer, n)) for n in numbers[start : start + BATCH]]
        for _ in catalog.register_many(records):
            pass
    store.close()


def upload_models(url: str, home: str) -> None:
    """Register models of a team, one a transaction, and change each once."""
    from modelyard import blobs
    from modelyard.domain import Scope
    from modelyard.registry.models import Edit, Models

    store = open_store(url)
    where = blobs.open_storage("", Path(home), {})
    uploads = Uploads(store, where.kept, where.incoming, LIMITS)
    models = Models(store, where.kept, where.incoming)
    viewer = Viewer("red", frozenset(Scope))
    for number in range(UPLOADS):
        declared = {"name": f"upload{number}", "file_extension": "safetensors"}
        uploads.create(viewer, "put", declared)
        entry = models.register(viewer, declared, None)
        models.edit(viewer, entry.model.id, Edit(Facts(tags=(f"changed{number}",))))
    store.close()


def facts_of(layer: Layer, number: int) -> Facts:
    if layer is Layer.UPSTREAM:
        return Facts(name=f"v{number}", sd_name=f"file{number}.pt", type=model_type("LORA"), rank=number)
    return Facts(name="unknown", sd_name=f"file{number}.pt", tags=(f"seen{number}",))


def follow(store: Store, until: int) -> set[int]:
    """Follow from nothing by one revision after another, as a node does; return what is there at the end."""
    there: set[int] = set()
    revision = 0
    while revision < until:
        changes = store.changes(revision)
        assert changes.revision > revision, "a follower stands still"
        there -= set(changes.removed)
        there |= {model.id for model in changes.models}
        revision = changes.revision
    return there


def test_two_importers_and_an_uploader_at_once_lose_nothing(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.make_database()
    open_store(url).close()
    works = (
        (import_models, (url, Layer.UPSTREAM, False)),
        (import_models, (url, Layer.HEADER, True)),
        (upload_models, (url, str(tmp_path))),
    )
    running = [SPAWNED.Process(target=target, args=arguments) for target, arguments in works]
    for process in running:
        process.start()
    for process in running:
        process.join(240)

    assert [0, 0, 0] == [process.exitcode for process in running]
    store = open_store(url)
    with store.snapshot() as snapshot:
        models = {model.id: model for model in snapshot.models()}
        revision = snapshot.revision
    imported = {id_: model for id_, model in models.items() if id_ <= MODELS}
    uploaded = sorted(model.tags[0] for id_, model in models.items() if id_ > MODELS)
    assert set(range(1, MODELS + 1)) == set(imported)
    assert all((f"seen{n}",) == model.tags and f"v{n}" == model.name for n, model in imported.items())
    assert sorted(f"changed{number}" for number in range(UPLOADS)) == uploaded
    # One revision a transaction that changed something, and none left out.
    assert 2 * MODELS // BATCH + 2 * UPLOADS == revision
    assert set(models) == follow(store, revision)
    catalog = open_catalog(store)
    assert MODELS == catalog.count(ANONYMOUS, ModelQuery())
    store.close()
