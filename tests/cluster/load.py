"""Clients of a cluster, and the oracle that judges every answer they get.

Each model that a writer changes says in its name how often it was changed: ``w0.m1_n17``. So an answer is judged by
numbers: it holds no change that nobody asked for, and every change that was acknowledged at or before its revision.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from modelyard import errors
from modelyard.catalog import open_catalog
from modelyard.domain import Source, model_type
from modelyard.facts import Facts, Layer, Record
from modelyard.store import open_store
from tests.app_fixture import Reply
from tests.cluster.databases import wait
from tests.cluster.nodes import ANSWER_SECONDS_MAX, Cluster, Node
from tests.pictures import picture
from tests.transfers import lora_bytes

BATCH_MODELS = 20
_FIRST_BATCH_ID = 500_000
# What a request may fail by while its node dies or begins.
_NO_ANSWER = (OSError, http.client.HTTPException)


@dataclass
class Oracle:
    """What was asked for and what was acknowledged, and what is wrong with answers."""

    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0
    _asked: dict[int, int] = field(default_factory=dict)
    _acknowledged: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, model_id: int, number: int) -> None:
        """Note that a change is about to be asked for."""
        with self._turn:
            self._asked[model_id] = number

    def acknowledged(self, model_id: int, number: int, revision: int) -> None:
        """Note that a change was acknowledged, as being in ``revision``."""
        with self._turn:
            self._acknowledged.setdefault(model_id, []).append((revision, number))

    def least(self, model_id: int, revision: int) -> int:
        """Return the change that an answer of this revision has to hold, or a later one."""
        with self._turn:
            return max((n for r, n in self._acknowledged.get(model_id, ()) if r <= revision), default=0)

    def judge(self, model_id: int, number: int, least: int, where: str) -> None:
        """Judge the change that an answer holds."""
        with self._turn:
            most = self._asked.get(model_id, 0)
        if not least <= number <= most:
            self.wrong(f"{where}: model {model_id} is at {number}, not from {least} to {most}")

    def wrong(self, problem: str) -> None:
        """Note a problem."""
        with self._turn:
            self.problems.append(problem)

    def answered(self, kind: str, status: int, seconds: float) -> None:
        """Count an answer."""
        with self._turn:
            self.counts[f"{kind} {status}"] += 1
            self.slowest_seconds = max(self.slowest_seconds, seconds)

    def request_ids(self) -> dict[int, list[str]]:
        """The ids of the requests whose changes of each model were acknowledged."""
        with self._turn:
            return {
                model_id: [request_id_of(model_id, number) for _, number in done]
                for model_id, done in self._acknowledged.items()
            }

    def revisions(self) -> dict[int, int]:
        """The models with acknowledged changes, with the revision of the last one."""
        with self._turn:
            return {model_id: max(revision for revision, _ in done) for model_id, done in self._acknowledged.items()}

    def models(self) -> dict[int, int]:
        """The models that were changed, with the last change that was acknowledged."""
        return {model_id: self.least(model_id, 1 << 62) for model_id in self._asked}


class Gate:
    """Lets all writers pass, or one operator alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._is_closed = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait while the gate is closed; be inside while entered."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Let nobody in, and wait until nobody is inside."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._changed:
                self._is_closed = False
                self._changed.notify_all()


def request_id_of(model_id: int, number: int) -> str:
    """The id that the request of a change has."""
    return f"write-{model_id}-{number}"


@dataclass
class Load:
    """Threads that write and read until told to stop. Each has its own randomness, from the seed."""

    cluster: Cluster
    key: str
    oracle: Oracle
    seed: int
    stopped: threading.Event = field(default_factory=threading.Event)
    gate: Gate = field(default_factory=Gate)
    uploads: dict[str, bytes] = field(default_factory=dict)
    batches: int = 0
    # A node that is behind it may not have the models yet that writers change.
    first_revision: int = 0

    @contextmanager
    def running(
        self, *more_works: Callable[[random.Random], None], writers: int = 2, readers: int = 2
    ) -> Iterator[None]:
        """Run the load, and more works beside it, while entered; what goes wrong with the load is a problem too."""
        models = [self._made(number) for number in range(2 * writers)]
        self.first_revision = self.cluster.databases.revision()
        works: list[Callable[[random.Random], None]] = [self._import, self._upload_on]
        works += [lambda chance: self._put_cover(models[0], chance)]
        works += [lambda chance, at=at: self._write(models[2 * at : 2 * at + 2], chance) for at in range(writers)]  # type: ignore[misc] # mypy cannot infer a lambda with a default
        works += more_works
        works = [partial(self._pass_gate, work) for work in works]
        works += [self._read] * readers
        works += [self._read_batches]
        threads = [
            threading.Thread(target=self._guarded, args=(work, random.Random(f"{self.seed} {number}")), daemon=True)
            for number, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join(3 * ANSWER_SECONDS_MAX)
                if thread.is_alive():
                    self.oracle.wrong("a client still waits for its answer")

    def _guarded(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            while not self.stopped.is_set():
                work(chance)
                self.stopped.wait(chance.uniform(0.0, 0.1))
        except Exception as problem:
            self.oracle.wrong(f"the load itself failed: {problem!r}")

    def _pass_gate(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        with self.gate.passing():
            work(chance)

    # --- requests

    def ask(self, kind: str, node: Node, method: str, target: str, body: object = None, **headers: str) -> Reply | None:
        """Ask a node with the team's key; None where it does not answer because it is dying or not there yet."""
        return self.send(kind, node, method, target, body, authorization=f"Bearer {self.key}", **headers)

    def send(
        self, kind: str, node: Node, method: str, target: str, body: object = None, **headers: str
    ) -> Reply | None:
        """Ask a node without a key; None where it does not answer."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        began = time.monotonic()
        try:
            reply = node.ask(method, target, content, **headers)
        except _NO_ANSWER as problem:
            seconds = time.monotonic() - began
            if isinstance(problem, TimeoutError) or seconds > ANSWER_SECONDS_MAX:
                self.oracle.wrong(f"{kind}: no answer in {seconds:.0f} s")
            self.oracle.answered(kind, 0, 0)
            return None
        self.oracle.answered(kind, reply.status, time.monotonic() - began)
        return reply

    def _any(self, chance: random.Random) -> Node:
        return chance.choice(self.cluster.nodes)

    # --- writing

    def _write(self, models: list[int], chance: random.Random) -> None:
        """Change a model through any node; then read it through any, as it was acknowledged."""
        model_id = chance.choice(models)
        number = self.oracle._asked.get(model_id, 0) + 1
        self.oracle.asked(model_id, number)
        change = {"name": f"m{model_id}_n{number}"}
        target, request_id = f"/v3/model?id={model_id}", request_id_of(model_id, number)
        reply = self.ask("write", self._any(chance), "PATCH", target, change, x_request_id=request_id)
        if reply is None or reply.status == 503:
            return  # it may have been done, or not; but not by half
        if reply.status != 200:
            self.oracle.wrong(f"a write was answered {reply.status}: {reply.body[:300]!r}")
            return
        revision = int(reply.headers["modelyard-revision"])
        self.oracle.acknowledged(model_id, number, revision)
        target = f"/v3/model?filter.model_version_id={model_id}"
        read = self.ask("read own", self._any(chance), "GET", target, modelyard_min_revision=str(revision))
        if read is not None and read.status == 200:
            self._judge_models(read, number, "read own")
        elif read is not None and read.status != 503:
            self.oracle.wrong(f"a read of one's own write was answered {read.status}")

    def _put_cover(self, model_id: int, chance: random.Random) -> None:
        """Replace a cover; the one that was acknowledged is there, whatever is collected meanwhile."""
        node = self._any(chance)
        content = picture(64, 80, "JPEG", chance.randrange(1 << 30))
        reply = self.ask("cover", node, "PUT", f"/v3/model/cover?id={model_id}", content, content_type="image/jpeg")
        if reply is not None and reply.status == 200:
            path = urlsplit(reply.json["cover_url"]).path
            shown = self.ask("cover read", node, "GET", path)
            if shown is not None and shown.status not in (200, 503):
                self.oracle.wrong(f"a cover that was acknowledged is answered {shown.status}")
        elif reply is not None and reply.status != 503:
            self.oracle.wrong(f"a cover was answered {reply.status}: {reply.body[:300]!r}")
        self.stopped.wait(chance.uniform(0.5, 2.0))

    def _import(self, chance: random.Random) -> None:
        """Write models that belong together in one transaction, as an importer does; its clock is an hour ahead."""
        self.batches += 1
        generation = self.batches
        facts = Facts(name=f"g{generation}", type=model_type("LORA"), tags=("batch",), rank=1)
        records = [
            Record(
                _FIRST_BATCH_ID + number, Source.CIVITAI, Layer.UPSTREAM, replace(facts, sd_name=f"batch{number}.pt")
            )
            for number in range(BATCH_MODELS)
        ]
        with contextlib.suppress(errors.Unavailable, errors.DatabaseUnavailable):
            store = open_store(self.cluster.url, clock=lambda: time.time() + 3600)
            try:
                for _ in open_catalog(store).register_many(records):
                    pass
                self.oracle.counts["import"] += 1
            finally:
                store.close()
        self.stopped.wait(chance.uniform(0.2, 1.0))

    # --- reading

    def _read(self, chance: random.Random) -> None:
        """Read any changed model through any node: never less than its revision promises."""
        models = list(self.oracle.models())
        if not models:
            return
        target = f"/v3/model?filter.model_version_id={chance.choice(models)}"
        reply = self._ask_reading("read", self._any(chance), target)
        if reply is not None:
            self._judge_models(reply, 0, "read")

    def _ask_reading(self, kind: str, node: Node, target: str) -> Reply | None:
        """Ask for models; None also for a 503 of a node that starts while the database is away.

        Once it has answered, it answers whatever is away.
        """
        start = node.starts
        reply = self.ask(kind, node, "GET", target)
        if reply is not None and reply.status == 200:
            node.answered_start = max(node.answered_start, start)
        elif reply is not None and reply.status == 503 and (node.starts, node.answered_start) != (start, start):
            return None
        return reply

    def _judge_models(self, reply: Reply, least: int, where: str) -> None:
        if reply.status != 200:
            self.oracle.wrong(f"{where}: answered {reply.status}: {reply.body[:300]!r}")
            return
        revision = int(reply.headers["modelyard-revision"])
        listed: list[dict[str, Any]] = reply.json["models"]
        if not listed and revision < self.first_revision:
            return
        if len(listed) != 1:
            self.oracle.wrong(f"{where}: {len(listed)} models have one id at revision {revision}")
        for model in listed:
            number = number_of(model)
            self.oracle.judge(model["id"], number, max(least, self.oracle.least(model["id"], revision)), where)

    def _read_batches(self, chance: random.Random) -> None:
        """Read what was written together: all of it, of one generation."""
        reply = self._ask_reading("read batch", self._any(chance), "/v3/model?filter.tags=batch&pagination.limit=100")
        if reply is None:
            return
        if reply.status != 200:
            self.oracle.wrong(f"read batch: answered {reply.status}")
            return
        names = Counter(model["name"] for model in reply.json["models"])
        if names and (len(names), names.total()) != (1, BATCH_MODELS):
            self.oracle.wrong(f"a torn answer: {names}")

    # --- uploading

    def _upload_on(self, chance: random.Random) -> None:
        path = self.upload(
            self._any(chance), f"u{len(self.uploads)}", content := sound_bytes(chance.randrange(1 << 30))
        )
        if path is not None:
            self.uploads[path] = content
        self.stopped.wait(chance.uniform(0.3, 1.0))

    def upload(self, node: Node, name: str, content: bytes, extension: str = "safetensors") -> str | None:
        """Upload a model in one request of tus; return the upload's path if all its bytes were acknowledged."""
        said = metadata(filename=f"{name}.{extension}", name=f"{name}_n0", type_name="lora")
        words = {"upload_length": str(len(content)), "upload_metadata": said}
        reply = self.ask("upload", node, "POST", "/v3/uploads", content, **words, **TUS, **TUS_BODY)
        if reply is None or reply.status == 503:
            return None
        if (reply.status, reply.headers.get("upload-offset")) != (201, str(len(content))):
            self.oracle.wrong(f"an upload was answered {reply.status}: {reply.headers} {reply.body[:300]!r}")
            return None
        return "/v3/uploads/" + reply.headers["location"].rpartition("/")[2]

    def model_of(self, path: str) -> int | None:
        """Return the model that an upload became, as any node tells."""
        for node in self.cluster.nodes:
            reply = self.ask("upload", node, "HEAD", path, **TUS)
            if reply is not None and reply.status == 200 and "modelyard-model" in reply.headers:
                return int(reply.headers["modelyard-model"])
        return None

    def wait_until_checked(self) -> None:
        """Wait until every acknowledged upload is a model whose file is verified."""
        for path, content in list(self.uploads.items()):
            wait(partial(self._is_checked, path, content), f"the upload {path} never becomes a model that is verified")

    def _is_checked(self, path: str, content: bytes) -> bool:
        model_id = self.model_of(path)
        target = f"/v3/model?filter.model_version_id={model_id}"
        reply = None if model_id is None else self.ask("end", self.cluster.nodes[0], "GET", target)
        models = reply.json["models"] if reply is not None and reply.status == 200 else []
        expected = hashlib.sha256(content).hexdigest()[:10].upper()
        return [(1, expected)] == [(model["status"], model["hash_sha256"]) for model in models]

    def _made(self, number: int) -> int:
        """Return a model to change, made by an upload through the cluster while nothing is wrong with it yet."""
        content = sound_bytes(number)
        path = self.upload(self.cluster.nodes[number % len(self.cluster.nodes)], f"w{number}", content)
        assert path is not None, f"the cluster takes nothing: {self.oracle.problems}"
        self.uploads[path] = content
        model_id = self.model_of(path)
        assert model_id is not None, "an upload that was acknowledged is no model"
        return model_id


TUS = {"tus_resumable": "1.0.0"}
TUS_BODY = {"content_type": "application/offset+octet-stream"}


def sound_bytes(seed: int) -> bytes:
    """Return a small sound LoRA."""
    return lora_bytes(fill=seed % 1000, seed=seed)


def metadata(**said: str) -> str:
    """Return a header of tus that says words."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in said.items())


def number_of(model: dict[str, Any]) -> int:
    """Return how often a model was changed, by its name."""
    return int(model["name"].rpartition("_n")[2])
