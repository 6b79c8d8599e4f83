"""CPU of listing models in Civitai's shape, compared with our own listing of as many versions.

Measured in process, through the whole application, as in hub.py. Both listings are walked page by page to their end:
`GET /api/v1/models?limit=100`, and `GET /v3/model` in pages of 100. Figures are the CPU time of all threads per
version, the lowest of the rounds. The background work of the list is done first, and its cost printed.

    first   after the start: the server has neither pages nor models in its caches
    new     models were listed before, but no page is in a cache: each walk has another query string
    again   the same pages once more

Corpus: the recorded answers of Civitai (MODELYARD_TEST_DATA), imported; 2,000 models have some 3,500 versions.

    python -m benchmarks.civitai                  2,000 models, whose JSON fits the cache
    python -m benchmarks.civitai --models 10000   more than fit

Last figures: docs/decide/benchmarks.md
"""

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from isal import isal_zlib

from benchmarks.hub import STATES, Client, walk_v3
from benchmarks.search import machine
from modelyard import settings
from modelyard.auth import Auth
from modelyard.catalog import Catalog, open_catalog
from modelyard.civitai import records
from modelyard.domain import Scope
from modelyard.facts import Record
from modelyard.store import open_store
from modelyard.web.app import create_app
from modelyard.web.civitai.stored_models import StoredModels
from modelyard.web.civitai.versions import Versions
from modelyard.web.log import open_log
from tests.civitai_server import recorded_models

_NEXT_PAGE = b'"nextPage":"'


def import_recorded(catalog: Catalog, models: int) -> int:
    """Import recorded models, and return the number of their versions."""
    usable = (o for answer in recorded_models(models) for o in records.convert(answer) if isinstance(o, Record))
    return sum(outcome.result == "added" for outcome in catalog.register_many(usable))


async def walk_civitai(client: Client, query: str) -> float:
    """Return the CPU seconds of a walk."""
    target, seconds = f"/api/v1/models?limit=100&{query}", 0.0
    while target:
        started = time.process_time()
        _, body = await client.get(target)
        seconds += time.process_time() - started
        # As little as walk_v3 does: to decode the page would leave the server's code cold for the next request.
        address = isal_zlib.decompress(body, 31).rpartition(_NEXT_PAGE)[2].partition(b'"')[0].decode()
        target = address.removeprefix("http://127.0.0.1") if address.startswith("http:") else ""
    return seconds


def render(catalog: Catalog, versions: int) -> str:
    """Do the background work of the list, and return what it takes."""
    before, seconds = size_of(catalog), time.process_time()
    StoredModels(catalog.store, Versions(catalog)).refresh(lambda: False)
    seconds = time.process_time() - seconds
    with catalog.store.transaction() as transaction:
        count = transaction.connection.execute(sa.text("SELECT count(*) FROM civitai_models")).scalar_one()
    grown = size_of(catalog) - before
    return (
        f"rendered before: {count:,} models, {seconds / versions * 1e6:.0f} µs of CPU and {grown / versions:.0f} bytes"
        f" per version, in a database of {before / versions:.0f}\n"
    )


def size_of(catalog: Catalog) -> int:
    """Return the bytes of the database."""
    with catalog.store.reading() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar_one()
        return int(pages * connection.execute(sa.text("PRAGMA page_size")).scalar_one())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    lowest: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        chosen = replace(settings.load(Path(folder), {}), rate_limit_per_minute=0)
        catalog = open_catalog(open_store(chosen.database_url))
        versions = import_recorded(catalog, options.models)
        print(render(catalog, versions))
        catalog.load()
        key, _ = Auth(catalog.store).create_key("bench", [Scope.READ])
        for _ in range(options.rounds):
            app = create_app(catalog, Auth(catalog.store), chosen, log=open_log("info", nowhere))
            client = Client(app, key)
            for state, query in zip(STATES, ("walk=1", "walk=2", "walk=2"), strict=True):
                own, _ = asyncio.run(walk_v3(client, query))
                theirs = asyncio.run(walk_civitai(client, query))
                for listing, seconds in (("/v3/model", own), ("/api/v1/models", theirs)):
                    figure = seconds / versions * 1e6
                    lowest[listing, state] = min(figure, lowest.get((listing, state), figure))
        catalog.close()
    print(f"{options.models:,} models, {versions:,} versions, {machine()}\n")
    print("| CPU per version, µs | " + " | ".join(STATES) + " |\n|---|---:|---:|---:|")
    for listing in ("/v3/model", "/api/v1/models"):
        print(f"| `GET {listing}` | " + " | ".join(f"{lowest[listing, state]:.2f}" for state in STATES) + " |")
    ratios = [lowest["/api/v1/models", state] / lowest["/v3/model", state] for state in STATES]
    print("| times as much | " + " | ".join(f"{ratio:.1f}" for ratio in ratios) + " |")


if __name__ == "__main__":
    main()
