"""CPU of listing models as programs of the Hugging Face Hub do, compared with our own listing of as many models.

Measured in process, through the whole application: key, parsing, search, rendering, ETag and gzip. Both listings are
walked page by page to their end: `GET /hf/api/models?limit=1000`, and `GET /v3/model` in pages of 100. Figures are the
CPU time of all threads per model, the lowest of the rounds, which take turns. Each round starts the application again.

    first   after the start: the server has neither pages nor models in its caches
    new     models were listed before, but no page is in a cache: each walk has another query string
    again   the same pages once more

Corpus: invented models of synthesis.py, each with dates of its own; every third has a download count.

    python -m benchmarks.hub                      20,000 models
    python -m benchmarks.hub --models 100000

Last figures: docs/decide/benchmarks.md
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from isal import isal_zlib

from benchmarks import synthesis
from benchmarks.search import machine
from modelyard import settings
from modelyard.auth import Auth
from modelyard.catalog import Catalog, open_catalog
from modelyard.domain import Scope
from modelyard.facts import Entry
from modelyard.settings import Settings
from modelyard.store import download_counts, open_store
from modelyard.web.app import create_app
from modelyard.web.log import open_log

FIRST_DATE = 1_700_000_000
STATES = ("first", "new", "again")
_CURSOR = b'"next_cursor":"'


def dated_models(count: int) -> Iterator[Entry]:
    for number, model in enumerate(synthesis.models(count)):
        dates: dict[str, Any] = {"added_at": FIRST_DATE + number * 41, "updated_at": FIRST_DATE + number * 97}
        yield Entry(replace(model, **dates, version_group=f"civitai:{model.id // 3}"), {})


class Client:
    """Asks the application in process, as a client that accepts gzip."""

    def __init__(self, app: Any, key: str) -> None:
        self._app = app
        self._headers = [
            (b"host", b"127.0.0.1"),
            (b"authorization", b"Bearer " + key.encode()),
            (b"accept-encoding", b"gzip"),
        ]

    async def get(self, target: str) -> tuple[dict[bytes, bytes], bytes]:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": self._headers,
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        messages: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        start, *bodies = messages
        assert start["status"] == 200, start
        return dict(start["headers"]), b"".join(message["body"] for message in bodies)


async def walk_hub(client: Client, query: str) -> tuple[float, int]:
    """Return the CPU seconds of a walk, and the number of pages."""
    target, pages, seconds = f"/hf/api/models?limit=1000&{query}", 0, 0.0
    while target:
        started = time.process_time()
        headers, _ = await client.get(target)
        seconds += time.process_time() - started
        pages += 1
        target = headers.get(b"link", b"").decode().partition(">")[0].removeprefix("<http://127.0.0.1")
    return seconds, pages


async def walk_v3(client: Client, query: str) -> tuple[float, int]:
    cursor, pages, seconds = "c_0", 0, 0.0
    while cursor:
        target = f"/v3/model?pagination.limit=100&pagination.cursor={cursor}&{query}"
        started = time.process_time()
        _, body = await client.get(target)
        seconds += time.process_time() - started
        pages += 1
        text = isal_zlib.decompress(body, 31)
        cursor = text[text.rindex(_CURSOR) + len(_CURSOR) :].split(b'"')[0].decode()
    return seconds, pages


@contextmanager
def stocked(models: int) -> Iterator[tuple[Catalog, Settings, str]]:
    """Make a catalogue; yield it with its settings and a key."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = replace(settings.load(Path(folder), {}), rate_limit_per_minute=0)
        store = open_store(chosen.database_url)
        with store.transaction() as transaction:
            ids = [entry.model.id for entry in put_all(transaction, models)]
            download_counts.add(transaction.connection, {id_: id_ % 97 + 1 for id_ in ids[::3]})
        catalog = open_catalog(store)
        catalog.load()
        key, _ = Auth(store).create_key("bench", [Scope.READ])
        try:
            yield catalog, chosen, key
        finally:
            catalog.close()


def put_all(transaction: Any, count: int) -> Iterator[Entry]:
    batch: list[Entry] = []
    for entry in dated_models(count):
        batch.append(entry)
        if len(batch) == 5_000:
            transaction.put(batch)
            yield from batch
            batch = []
    transaction.put(batch)
    yield from batch


async def measure(client: Client, models: int) -> dict[tuple[str, str], float]:
    """Return the CPU microseconds per model, by listing and by state of the caches."""
    figures = {}
    for listing, walk in (("/v3/model", walk_v3), ("/hf/api/models", walk_hub)):
        for state, query in (("first", "walk=1"), ("new", "walk=2"), ("again", "walk=2")):
            seconds, _ = await walk(client, query)
            figures[listing, state] = seconds / models * 1e6
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rounds = []
    with stocked(options.models) as (catalog, chosen, key), Path(os.devnull).open("w") as nowhere:
        for _ in range(options.rounds):
            app = create_app(catalog, Auth(catalog.store), chosen, log=open_log("info", nowhere))
            rounds.append(asyncio.run(measure(Client(app, key), options.models)))
    lowest = {figure: min(each[figure] for each in rounds) for figure in rounds[0]}
    print(f"{options.models:,} models, {machine()}\n")
    print("| CPU per model, µs | " + " | ".join(STATES) + " |\n|---|---:|---:|---:|")
    for listing in ("/v3/model", "/hf/api/models"):
        print(f"| `GET {listing}` | " + " | ".join(f"{lowest[listing, state]:.2f}" for state in STATES) + " |")
    ratios = [lowest["/hf/api/models", state] / lowest["/v3/model", state] for state in STATES]
    print("| times as much | " + " | ".join(f"{ratio:.1f}" for ratio in ratios) + " |")


if __name__ == "__main__":
    main()
