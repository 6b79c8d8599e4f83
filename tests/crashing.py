"""What processes do that are going to be killed, and what is checked after it (test_crashes.py)."""

import json
import random
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from modelyard import indexer, wire
from modelyard.catalog import Catalog, open_catalog
from modelyard.domain import ANONYMOUS, Model, ModelQuery, Offset, Source, Viewer, model_type
from modelyard.facts import Facts, Layer, Record
from modelyard.index import segment
from modelyard.store import open_store
from tests import indexing, oracle

IDS = 600
BATCH = 40
TYPES = ("LORA", "Checkpoint", "VAE")
QUESTIONS = (
    ModelQuery(limit=100),
    ModelQuery(limit=50, start=Offset(70)),
    ModelQuery(terms=("model", "7"), limit=40),
    ModelQuery(types=frozenset({"vae"}), tags=("t3",), limit=100),
    ModelQuery(terms=("t5",), start=Offset(5), limit=30),
    ModelQuery(id=33),
)


def opened(home: Path) -> Catalog:
    segment.TIER_FIRST = 64
    return open_catalog(open_store(f"sqlite:///{home}/modelyard.sqlite"), home)


def _records(chance: random.Random, rank: int) -> Iterator[Record]:
    for id_ in chance.sample(range(1, IDS), BATCH):
        facts = Facts(
            name=f"v{id_}",
            sd_name=f"model{id_}.safetensors",
            type=model_type(TYPES[id_ % 3]),
            tags=(f"t{id_ % 9}",),
            rank=rank,
        )
        yield Record(id_, Source.CIVITAI, Layer.UPSTREAM, facts)


def import_in_batches(home: Path, round_: int, acknowledging: Connection) -> None:
    """Import batch by batch with ranks that only grow, and tell of each that was acknowledged."""
    catalog = opened(home)
    for number in range(10_000):
        rank = round_ * 10_000 + number
        outcomes = catalog.register_many(_records(random.Random(rank), rank))
        acknowledging.send({outcome.id: rank for outcome in outcomes})
        if number % 5 == 4:
            catalog.flush()


def run_indexer(home: Path) -> None:
    """Append and merge without the usual patience."""
    indexer.APPEND_MODELS_MIN, indexer.APPEND_SECONDS = 16, 0.02
    indexing.run_indexer(opened(home), threading.Event(), 0.002)


def ask_on_and_on(home: Path) -> None:
    """Answer as a worker does; every answer is whole."""
    catalog = opened(home)
    while True:
        for query in QUESTIONS:
            answer(catalog, query)


def answer(catalog: Catalog, query: ModelQuery) -> list[tuple[int, str]]:
    page = catalog.search(ANONYMOUS, query)
    body = json.loads(wire.render_page(page.records, page.following, lambda *_: ""))
    return [(model["id"], model["name"]) for model in body["models"]]


def check(home: Path, acknowledged: dict[int, int], round_: int, telling: Connection) -> None:
    """Compare everything with the record, and the record with what was acknowledged; every other time once more."""
    catalog = opened(home)
    with catalog.store.snapshot() as snapshot:
        known = {model.id: model for model in snapshot.models()}
    lost = {id_ for id_, rank in acknowledged.items() if id_ not in known or known[id_].rank < rank}
    _expect(telling, f"lost: {lost}", not lost)
    _check_answers(catalog, known, telling)
    damaged = {name: found for name, found in catalog.verify().items() if not isinstance(found, int)}
    _expect(telling, f"damaged: {damaged}", not damaged)
    if round_ % 2:
        catalog.flush()
        _check_answers(opened(home), known, telling)


def _check_answers(catalog: Catalog, known: dict[int, Model], telling: Connection) -> None:
    for query in QUESTIONS:
        expected = [(model.id, model.name) for model in oracle.page(known.values(), Viewer(None), query)[0]]
        found = answer(catalog, query)
        _expect(telling, f"{query}: {found} instead of {expected}", found == expected)


def _expect(telling: Connection, problem: str, holds: bool) -> None:
    if not holds:
        telling.send({problem: 0})
        raise SystemExit(1)
