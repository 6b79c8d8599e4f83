"""A whole Modelyard in a folder, and two ways to ask it: in this process, and over a socket as its clients do.

Everything is real: SQLite, the index, keys, the application, uvicorn. ``a_model`` has defaults, so that what a test
sets is what it is about.
"""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from modelyard import settings
from modelyard.auth import Auth
from modelyard.catalog import Catalog, open_catalog
from modelyard.domain import MODEL_TYPES, Model, Scope, Source, Status, Visibility
from modelyard.facts import Entry
from modelyard.store import Store, audit, open_store
from modelyard.store.audit import AuditQuery
from modelyard.web import server
from modelyard.web.app import create_app
from modelyard.web.connection_limits import ConnectionLimits
from modelyard.web.log import Log, open_log
from modelyard.web.urls import LinkFor
from tests.databases import prepare


def a_model(id_: int, **given: Any) -> Model:
    """A public SD 1.5 checkpoint from Civitai, unless told otherwise."""
    model = Model(
        id=id_,
        name=f"v{id_}",
        sd_name=f"model{id_}_{id_}.safetensors",
        type=MODEL_TYPES["checkpoint"],
        source=Source.CIVITAI,
        base_model="SD 1.5",
        base_model_type="Standard",
        rank=1000 - id_,
    )
    return replace(model, **given)


def a_private(id_: int, team: str, **given: Any) -> Model:
    return a_model(id_, visibility=Visibility.PRIVATE, team=team, source=Source.UPLOADING, **given)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def ids(self) -> list[int]:
        return [model["id"] for model in self.json["models"]]


@dataclass
class App:
    store: Store
    catalog: Catalog
    access: Auth
    app: Any
    log: Log
    logged: StringIO
    keys: dict[str, str] = field(default_factory=dict)

    def put(self, *models: Model) -> None:
        with self.store.transaction() as writing:
            writing.put([Entry(model, {}) for model in models])

    def remove(self, *ids: int) -> None:
        with self.store.transaction() as writing:
            writing.remove(ids)

    def key(self, team: str = "red", *scopes: Scope) -> str:
        """A key of the team that may read, or has the scopes; the same one each time."""
        name = team + "".join(scopes)
        if name not in self.keys:
            self.keys[name], _ = self.access.create_key(team, scopes or [Scope.READ])
        return self.keys[name]

    def ask(
        self, target: str, team: str | None = "red", *, method: str = "GET", body: bytes = b"", **headers: str
    ) -> Reply:
        """Send one request to the application, as ``team`` if that is not None. ``if_match=…`` is a header."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if team is not None:
            given.setdefault("authorization", f"Bearer {self.key(team)}")
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
        return asyncio.run(self.answer(target.encode(), method=method, headers=pairs, body=body))

    async def answer(
        self, target: bytes, *, method: str = "GET", headers: list[tuple[bytes, bytes]], body: bytes = b""
    ) -> Reply:
        """Speak ASGI with the application: what uvicorn would make of this request."""
        raw_path, _, query_string = target.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(raw_path.decode("ascii")),
            "raw_path": raw_path,
            "query_string": query_string,
            "root_path": "",
            "headers": headers if any(name == b"host" for name, _ in headers) else [(b"host", b"127.0.0.1"), *headers],
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, *bodies = sent
        shown: dict[str, str] = {}
        for name, value in start["headers"]:
            text = value.decode("latin-1")
            shown[name.decode()] = f"{shown[name.decode()]}, {text}" if name.decode() in shown else text
        return Reply(start["status"], shown, b"".join(message["body"] for message in bodies))

    def audited(self, verb: str) -> list[tuple[str, str, str | None]]:
        """Verb, subject and team of the rows of the audit for a group of verbs, the oldest first."""
        with self.store.reading() as connection:
            rows = audit.read_rows(connection, AuditQuery(verb=verb), None, 100)
        return [(row.verb, row.subject, row.team) for row in reversed(rows)]

    def lines(self) -> list[dict[str, Any]]:
        """What the log says so far."""
        self.app.request_log.flush()
        return [json.loads(line) for line in self.logged.getvalue().splitlines()]


@contextmanager
def open_app(
    home: Path, *, link_for: LinkFor | None = None, clock: Callable[[], float] = time.time, **chosen: Any
) -> Iterator[App]:
    """Open a yard in a folder, with some settings. ``clock`` says which keys have expired."""
    # Tests of a file send more wrong keys in a minute than one client may.
    read = replace(settings.load(home, {}), **{"failures_per_minute": 0, **chosen})
    prepare(read.database_url)
    store = open_store(read.database_url)
    catalog = open_catalog(store)
    access = Auth(store, clock=clock, anonymous=read.anonymous_access, operator_team=read.operator_team)
    logged = StringIO()
    log = open_log("info", logged)
    try:
        yield App(store, catalog, access, create_app(catalog, access, read, link_for=link_for, log=log), log, logged)
    finally:
        catalog.close()


@dataclass(frozen=True)
class Address:
    """Where a yard listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ask(self, target: str, headers: Mapping[str, str] | None = None, *, method: str = "GET") -> Reply:
        """Send one request over a connection of its own, the target exactly as given."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            body = answer.read()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
        finally:
            connection.close()


@contextmanager
def listening(yard: App, limits: ConnectionLimits | None = None) -> Iterator[Address]:
    """Serve a yard over a socket, by uvicorn in a thread."""
    with server.listen("127.0.0.1", 0) as bound:
        running = server.server(yard.app, limits)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            host, port = bound.getsockname()
            yield Address(host, port)
        finally:
            running.stop()
            thread.join(30)
            assert not thread.is_alive(), "the server did not end"


def models_of_kinds_that_are_rare() -> list[Model]:
    """Public models of the kinds that the recorded ones, of summer 2023, have few or none of."""
    kinds = ("upscaler", "vae", "locon", "dora", "controlnet", "textualinversion")
    return [
        a_model(900_000_000 + number, type=MODEL_TYPES[kind], sd_name=f"{kind}_{number}.safetensors", rank=number)
        for number, kind in enumerate(kinds)
    ] + [
        a_model(900_000_100 + number, base_model="SDXL 1.0", is_sdxl=True, type=MODEL_TYPES[kind], rank=number)
        for number, kind in enumerate(("checkpoint", "lora"))
    ]


def private_models_of_red() -> list[Model]:
    """What a team's own models look like: trained, uploaded, one whose file is still being looked at."""
    lora = MODEL_TYPES["lora"]
    return [
        a_private(1_000_000_001, "red", sd_name="red_one.safetensors", type=lora, rank=3),
        replace(
            a_private(1_000_000_002, "red", sd_name="model_1699325939_E83A88DAC5.safetensors", type=lora, rank=2),
            source=Source.TRAINING,
        ),
        a_private(1_000_000_003, "red", sd_name="red_three.safetensors", status=Status.UNAVAILABLE, rank=1),
    ]
