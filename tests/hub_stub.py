"""A hub for tests: a real HTTP server on this machine that answers as huggingface.co does, and as bad servers do.

The shapes are those of huggingface.co: large files are redirected to another server, with the headers of xet, and
refusals have X-Error-Code. It notes every request with its headers. A ``Fault`` replaces an answer.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_the_token_of_this_server"

# Sends something else than the answer, and returns whether the answer follows.
Fault = Callable[["Handler"], bool]


@dataclass
class StubRepository:
    """A repository: its files, and those that are large."""

    files: dict[str, bytes]
    large: tuple[str, ...] = ()
    private: bool = False
    gated: bool | str = False
    version: int = 0

    @property
    def commit(self) -> str:
        return hashlib.sha1(repr((sorted(self.files.items()), self.version)).encode()).hexdigest()


@dataclass
class HubStub:
    """What the hub has, what it was asked, and which requests it answers badly, by the beginning of their path."""

    repositories: dict[str, StubRepository] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    faults: dict[str, Fault] = field(default_factory=dict)
    url: str = ""
    cdn_url: str = ""
    # Bytes of large files go out so slowly that callers meet.
    pause_seconds: float = 0.0

    def paths(self, word: str = "") -> list[str]:
        """The paths that were asked for, with a word in them."""
        return [path for _, path, _ in self.requests if word in path]


def blob_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _pointer_of(content: bytes) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(content)}\nsize {len(content)}\n".encode()


class Handler(BaseHTTPRequestHandler):
    hub: HubStub
    is_cdn = False
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the other side has left
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, ("cdn:" if self.is_cdn else "") + path, dict(self.headers)))
        for beginning, fault in list(self.hub.faults.items()):
            if (("cdn:" if self.is_cdn else "") + path).startswith(beginning) and not fault(self):
                return
        if self.is_cdn:
            self._send_large(path.removeprefix("/"))
        elif path.startswith("/api/models/"):
            self._describe(path.removeprefix("/api/models/"))
        else:
            self._resolve(path.removeprefix("/"))

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send an answer; an underscore in the name of a header is a hyphen."""
        self.send_response(status)
        headers.setdefault("content_length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _describe(self, rest: str) -> None:
        namespace, name, *more = rest.split("/")
        repository = self.hub.repositories.get(f"{namespace}/{name}")
        if repository is None:
            self.answer(401, b'{"error":"x"}', x_error_code="RepoNotFound", x_error_message="Repository not found")
        elif more[:1] == ["revision"] and more[1] not in ("main", "v1", repository.commit):
            self.answer(404, b'{"error":"x"}', x_error_code="RevisionNotFound")
        else:
            body = json.dumps(describe(f"{namespace}/{name}", repository)).encode()
            self.answer(200, body, content_type="application/json; charset=utf-8")

    def _resolve(self, rest: str) -> None:
        namespace, name, _, _, path = rest.split("/", 4)
        repository = self.hub.repositories[f"{namespace}/{name}"]
        if path not in repository.files:
            self.answer(404, b"Entry not found", x_error_code="EntryNotFound")
        elif path in repository.large:
            content = repository.files[path]
            self.answer(
                302,
                location=f"{self.hub.cdn_url}/{sha256(content)}",
                x_linked_etag=f'"{sha256(content)}"',
                x_linked_size=str(len(content)),
                x_xet_hash="0" * 64,
                link=f'<{self.hub.url}/xet>; rel="xet-auth"',
            )
        else:
            content = repository.files[path]
            self._send_range(content, etag=f'"{blob_oid(content)}"', x_repo_commit=repository.commit)

    def _send_large(self, hash_: str) -> None:
        contents = [content for repository in self.hub.repositories.values() for content in repository.files.values()]
        self._send_range(next(content for content in contents if sha256(content) == hash_))

    def _send_range(self, content: bytes, **headers: str) -> None:
        status = 200
        if range_ := self.headers.get("Range"):
            first, _, last = range_.removeprefix("bytes=").partition("-")
            end = int(last or len(content) - 1)
            headers["content_range"] = f"bytes {first}-{end}/{len(content)}"
            content, status = content[int(first) : end + 1], 206
        if not self.hub.pause_seconds:
            self.answer(status, content, **headers)
            return
        self.answer(status, content_length=str(len(content)), **headers)
        for begin in range(0, len(content), max(1, len(content) // 8)):
            self.wfile.write(content[begin : begin + max(1, len(content) // 8)])
            time.sleep(self.hub.pause_seconds / 8)


def describe(id_: str, repository: StubRepository) -> dict[str, Any]:
    """The description, as huggingface.co answers ``?blobs=true``."""
    siblings: list[dict[str, Any]] = []
    for path, content in repository.files.items():
        if path in repository.large:
            lfs = {"sha256": sha256(content), "size": len(content), "pointerSize": len(_pointer_of(content))}
            sibling = {"rfilename": path, "size": len(content), "blobId": blob_oid(_pointer_of(content)), "lfs": lfs}
            siblings.append({**sibling, "xetHash": "0" * 64})
        else:
            siblings.append({"rfilename": path, "size": len(content), "blobId": blob_oid(content)})
    return {
        "_id": "64bfcd5ff462a99a04fd1ec8",
        "id": id_,
        "modelId": id_,
        "author": id_.partition("/")[0],
        "sha": repository.commit,
        "lastModified": "2023-10-03T16:00:00.000Z",
        "createdAt": "2023-07-25T13:25:51.000Z",
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "downloads": 12,
        "likes": 3,
        "tags": ["diffusers", "text-to-image"],
        "pipeline_tag": "text-to-image",
        "library_name": "diffusers",
        "cardData": {"license": "openrail++"},
        "siblings": siblings,
        "spaces": ["someone/else"],
    }


@contextmanager
def hub_stub(**repositories: StubRepository) -> Iterator[HubStub]:
    """Run a hub, and the server of its large files at another address."""
    hub = HubStub({name.replace("__", "/"): repository for name, repository in repositories.items()})
    servers = []
    for host, is_cdn in (("127.0.0.1", False), ("127.0.0.2", True)):
        handler = type("Handler", (Handler,), {"hub": hub, "is_cdn": is_cdn})
        server = ThreadingHTTPServer((host, 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        url = f"http://{host}:{server.server_address[1]}"
        if is_cdn:
            hub.cdn_url = url
        else:
            hub.url = url
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
