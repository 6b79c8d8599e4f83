"""The server and the check are killed at random instants of uploads: every acknowledged byte is there afterwards.

``MODELYARD_KILLS`` says how often (100 and more in a full run). Not covered here: power cuts (test_durability.py), and
how long a lease lasts (test_jobs.py).
"""

import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.store import open_store
from tests.process_servers import free_port
from tests.transfers import lora_bytes

KILLS = int(os.environ.get("MODELYARD_KILLS", "5"))
# A start of the server takes most of the time of a kill: several uploads are interrupted by each.
UPLOADS_AT_ONCE = 3
READY_SECONDS_MAX = 120
SOURCE = str(Path(__file__).parents[2] / "src")


class Server:
    """A server as its own processes, to be killed and started again on the same port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = ["serve", "--home", str(self.home), "--port", str(self.port)]
        self.log = (self.home / "server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from modelyard.cli import main; main()", *words],
            env=os.environ | {"PYTHONPATH": SOURCE},
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            start_new_session=True,
        )
        deadline = time.monotonic() + READY_SECONDS_MAX
        while self.status() != 200:
            assert time.monotonic() < deadline, (self.home / "server.log").read_text()[-2000:]
            time.sleep(0.02)

    def status(self) -> int:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/readyz")[0]
        return 0

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body or None, {k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def kill(self) -> None:
        assert self.process is not None
        # The whole group at once: no process gets to tidy up after another.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


@contextlib.contextmanager
def a_server(home: Path) -> Iterator[Server]:
    server = Server(home)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def test_kills_at_any_instant_lose_no_acknowledged_byte_and_publish_nothing_half(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite")
    key, _ = Auth(store).create_key("red", [Scope.READ, Scope.WRITE])
    store.close()
    chance = random.Random(7)
    words = {"authorization": f"Bearer {key}", "tus_resumable": "1.0.0"}
    contents: dict[str, bytes] = {}
    acknowledged: dict[str, int] = {}
    done = 0
    with a_server(tmp_path) as server:

        def send(content: bytes) -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, headers, _ = server.ask("POST", "/v3/uploads", upload_length=str(len(content)), **words)
                assert 201 == status
                path = "/v3/uploads/" + headers["location"].rpartition("/")[2]
                contents[path], acknowledged[path] = content, 0
                while acknowledged[path] < len(content):
                    at = acknowledged[path]
                    sent = content[at : at + 700_000]
                    status, headers, _ = server.ask("PATCH", path, sent, **words, **BODY, upload_offset=str(at))
                    assert 204 == status
                    acknowledged[path] = int(headers["upload-offset"])

        for kill in range(KILLS):
            timer = threading.Timer(chance.uniform(0.0, 0.15), server.kill)
            with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
                sizes = [chance.randrange(1_000, 6_000_000) for _ in range(UPLOADS_AT_ONCE)]
                made = [lora_bytes(fill=size, seed=UPLOADS_AT_ONCE * kill + n) for n, size in enumerate(sizes)]
                timer.start()
                for _ in pool.map(send, made):
                    pass
            timer.join()
            end_leases(tmp_path)
            server.start()
            done += 1
            refuse_half(server, words, contents)
            for path, least in acknowledged.items():
                status, headers, _ = server.ask("HEAD", path, **words)
                assert 200 == status
                assert least <= int(headers["upload-offset"]) <= len(contents[path])
        for path, content in contents.items():
            finish(server, path, content, words)
        listed = wait_for_all(server, words, len(contents))

    assert KILLS == done
    assert sorted(hashlib.sha256(content).hexdigest()[:10].upper() for content in contents.values()) == sorted(listed)


def end_leases(home: Path) -> None:
    """Have the leases of the processes that were killed run out now, and not in a minute."""
    store = open_store(f"sqlite:///{home}/modelyard.sqlite")
    with store.transaction() as writing:
        writing.connection.exec_driver_sql("UPDATE jobs SET leased_until = 1 WHERE leased_until IS NOT NULL")
    store.close()


BODY = {"content_type": "application/offset+octet-stream"}


def available(server: Server, words: dict[str, str]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    cursor = "c_0"
    while cursor:
        _, _, body = server.ask("GET", f"/v3/model?pagination.limit=100&pagination.cursor={cursor}", **words)
        page = json.loads(body)
        found += [model for model in page["models"] if model["status"] == 1]
        cursor = page["pagination"]["next_cursor"]
    return found


def refuse_half(server: Server, words: dict[str, str], contents: dict[str, bytes]) -> None:
    """Whatever is listed as available is one of the files, whole."""
    whole = {hashlib.sha256(content).hexdigest() for content in contents.values()}
    for model in available(server, words)[:5]:
        status, _, body = server.ask("GET", model["download_url"].partition(f":{server.port}")[2])
        assert 200 == status
        assert hashlib.sha256(body).hexdigest() in whole


def finish(server: Server, path: str, content: bytes, words: dict[str, str]) -> None:
    offset = int(server.ask("HEAD", path, **words)[1]["upload-offset"])
    if offset < len(content):
        status, _, body = server.ask("PATCH", path, content[offset:], **words, **BODY, upload_offset=str(offset))
        assert 204 == status, body


def wait_for_all(server: Server, words: dict[str, str], count: int) -> list[str]:
    deadline = time.monotonic() + 120
    while len(listed := available(server, words)) < count:
        assert time.monotonic() < deadline, f"{len(listed)} of {count} models"
        time.sleep(0.2)
    return [model["hash_sha256"] for model in listed]
