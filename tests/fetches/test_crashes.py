"""The server, or the process that fetches alone, is killed while it fetches: fetches go on, and nothing half is listed.

``MODELYARD_KILLS`` says how often (50 and more in a full run). Not covered here: power cuts (test_durability.py).
"""

import hashlib
import itertools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.store import jobs, open_store
from tests.fetch_fixture import LOCAL
from tests.transfers import lora_bytes
from tests.uploads.test_crashes import Server, a_server, available, end_leases, refuse_half, wait_for_all
from tests.upstream import Upstream, serve_upstream

KILLS = int(os.environ.get("MODELYARD_KILLS", "2"))
FETCHES_AT_ONCE = 3
FILE_BYTES = 4_000_000
SECONDS_MAX = 120


class SlowFile:
    """A file that takes six seconds to send; ``starts`` has the byte at which each answer begins."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.starts: list[int] = []
        self.pace = threading.Event()  # set when the test does not want to wait any more

    def __call__(self, on: Any) -> None:
        asked = on.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.starts.append(start)
        size = len(self.content)
        on.send_response(206 if asked else 200)
        on.send_header("ETag", '"1"')
        on.send_header("Content-Length", str(size - start))
        if asked:
            on.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        on.end_headers()
        with suppress(OSError):  # whoever asked was killed
            for low in range(start, size, 64 * 1024):
                on.wfile.write(self.content[low : min(low + 64 * 1024, size)])
                self.pace.wait(0.1)


class Bench:
    """A server, and what it fetches: there are always some fetches that are not at their end."""

    def __init__(self, home: Path, server: Server, upstream: Upstream, key: str) -> None:
        self.home, self.server, self._upstream = home, server, upstream
        self.words = {"authorization": f"Bearer {key}"}
        self.files: dict[str, SlowFile] = {}
        self._numbers = itertools.count()

    def fetches(self) -> list[dict[str, Any]]:
        status, _, body = self.server.ask("GET", "/v3/model/fetches", **self.words)
        assert 200 == status, body
        listed: list[dict[str, Any]] = json.loads(body)["fetches"]
        assert [] == [fetch for fetch in listed if fetch["state"] in ("failed", "cancelled")]
        return listed

    def refill(self) -> None:
        """Ask for further files until enough fetches are open."""
        open_count = sum(fetch["state"] in ("waiting", "receiving") for fetch in self.fetches())
        for number in itertools.islice(self._numbers, max(0, FETCHES_AT_ONCE - open_count)):
            file = SlowFile(lora_bytes(fill=FILE_BYTES, seed=number))
            url = self._upstream.put(f"/{number}.safetensors", file)
            body = json.dumps({"source_url": url}).encode()
            status, _, answer = self.server.ask(
                "POST", "/v3/model", body, content_type="application/json", **self.words
            )
            assert 202 == status, answer
            self.files[url] = file

    def received(self) -> dict[str, int]:
        """Return how far each fetch is that is not at its end."""
        return {fetch["id"]: fetch["received_bytes"] for fetch in self.fetches() if fetch["state"] == "receiving"}

    def wait_for_bytes(self) -> None:
        """Wait until one of the open fetches has recorded more bytes than it had."""
        before = self.received()

        def has_more() -> bool:
            self.refill()
            return any(size > before.get(fetch_id, 0) for fetch_id, size in self.received().items())

        wait_until(has_more)

    def kill_fetcher(self) -> None:
        """Kill the process that fetches. The others of the server live on, and the parent starts another one."""
        pids: set[int] = set()

        def find_pids() -> bool:
            store = open_store(f"sqlite:///{self.home}/modelyard.sqlite")
            with store.reading() as connection:
                owners = {job.owner for job in jobs.listed(connection) if job.kind == jobs.FETCH and job.owner}
            store.close()
            pids.update(int(owner.split(":")[1]) for owner in owners)
            return bool(pids)

        wait_until(find_pids)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not is_so():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


def test_kills_while_files_are_fetched_lose_nothing_and_list_nothing_half(tmp_path: Path) -> None:
    (tmp_path / "modelyard.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in LOCAL.items()))
    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite")
    key, _ = Auth(store).create_key("red", [Scope.READ, Scope.WRITE])
    store.close()
    chance = random.Random(17)
    with serve_upstream() as upstream, a_server(tmp_path) as server:
        bench = Bench(tmp_path, server, upstream, key)
        for number in range(KILLS):
            bench.wait_for_bytes()
            time.sleep(chance.uniform(0.0, 0.3))
            if number % 2:
                bench.kill_fetcher()
                end_leases(tmp_path)
            else:
                server.kill()
                end_leases(tmp_path)
                server.start()
            refuse_half(server, bench.words, {url: file.content for url, file in bench.files.items()})
        for file in bench.files.values():
            file.pace.set()
        hashes = wait_for_all(server, bench.words, len(bench.files))
        states = {fetch["state"] for fetch in bench.fetches()}
        models = available(server, bench.words)
        refuse_half(server, bench.words, {url: file.content for url, file in bench.files.items()})

    whole = sorted(hashlib.sha256(file.content).hexdigest()[:10].upper() for file in bench.files.values())
    starts = [start for file in bench.files.values() for start in file.starts]
    continuations = sum(start > 0 for start in starts)
    print(f"{KILLS} kills, {len(models)} files, {len(starts)} requests, {continuations} of them continue")
    assert (whole, {"done"}) == (sorted(hashes), states)
    assert continuations >= KILLS
