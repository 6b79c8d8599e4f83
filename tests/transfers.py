"""What tests of bytes in and out share: model files made on the spot, and a yard whose jobs are done when told."""

import asyncio
import base64
import hashlib
import json
import os
import pickle
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modelyard import blobs
from modelyard.blobs import Blobs, IncomingFiles
from modelyard.domain import Scope
from modelyard.jobs import tasks
from modelyard.jobs.executors import ThreadExecutor
from modelyard.jobs.kinds import Resources
from modelyard.jobs.worker import Worker
from modelyard.store import Store, jobs
from modelyard.uploads.cleanup import UploadCleaner
from modelyard.uploads.verification import UploadVerifier

from .app_fixture import App, Reply

WRITER = (Scope.READ, Scope.WRITE)


def lora_bytes(fill: int = 0, seed: int = 0) -> bytes:
    """A small sound LoRA for SD 1.5, ``fill`` bytes longer than it has to be."""
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    tensors: dict[str, Any] = {}
    at = 0
    for part, shape in (("lora_down.weight", [4, 320]), ("lora_up.weight", [320, 4]), ("filling", [fill])):
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1) if part != "filling" else fill
        if size:
            key = part if part == "filling" else f"{name}.{part}"
            tensors[key] = {
                "dtype": "U8" if part == "filling" else "F16",
                "shape": shape,
                "data_offsets": [at, at + size],
            }
            at += size
    header = json.dumps(tensors | {"__metadata__": {"seed": str(seed)}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + hashlib.sha256(bytes([seed % 256])).digest()[:1] * at


class _Runs:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def dangerous_bytes() -> bytes:
    """A pickle that runs a program when it is loaded."""
    return pickle.dumps(_Runs())


def suspicious_bytes() -> bytes:
    """A pickle with an import that weights do not need."""
    return b"\x80\x02cmodels.yolo\nModel\n)\x81}b."


def sha256_base64(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


class Verification:
    """Does the work of the verifier's process when a test says so, in this process."""

    def __init__(
        self,
        store: Store,
        kept: Blobs,
        incoming: IncomingFiles,
        *,
        serves_suspicious: bool = False,
        requires_signature: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cleaner = UploadCleaner(store, kept, incoming, clock=clock)
        chosen = {"serves_suspicious": serves_suspicious, "requires_signature": requires_signature}
        verifier = UploadVerifier(store, kept, incoming, **chosen, clock=clock)
        self.purge_expired = self._cleaner.purge_expired
        self.collect_garbage = self._cleaner.collect_garbage
        resources = Resources(store, verifier)
        self._kinds = [kind for kind in tasks.KINDS if kind.name == jobs.CHECK]
        self._worker = lambda: Worker(resources, self._kinds, ThreadExecutor(resources), node="test", clock=clock)

    def verify_next(self) -> bool:
        """Do one job, if one is due; return whether there was."""
        return self._worker().run_next()


def checking(yard: App, home: Path, storage_url: str = "", *, store: Store | None = None, **given: Any) -> Verification:
    """What checks the files of a yard."""
    where = blobs.open_storage(storage_url, home, os.environ)
    return Verification(store or yard.store, where.kept, where.incoming, **given)


def path_of(url: str) -> str:
    """The path and query of an address, as it is asked for."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def ask(yard: App, target: str, team: str = "red", *, method: str = "GET", body: Any = b"", **headers: str) -> Reply:
    """Ask as a team's key that may write; a body that is not bytes goes as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers.setdefault("authorization", f"Bearer {yard.key(team, *WRITER)}")
    headers.setdefault("content_length", str(len(content)))
    return yard.ask(target, None, method=method, body=content, **headers)


def put_file(yard: App, name: str, content: bytes, team: str = "red", extension: str = "safetensors") -> Reply:
    """Announce a file and put it, as the vendor's console does."""
    said = {"model_name": name, "file_sha256": sha256_base64(content), "file_extension": extension}
    announced = ask(yard, "/v3/model/uploader", team, method="POST", body=said)
    assert 200 == announced.status, announced.body
    return yard.ask(
        path_of(announced.json["upload_url"]),
        None,
        method="PUT",
        body=content,
        content_length=str(len(content)),
        x_amz_checksum_sha256=sha256_base64(content),
    )


def upload(yard: App, name: str, content: bytes, team: str = "red", **said: Any) -> dict[str, Any]:
    """Upload a model in the recorded form, and return it as registered: not checked yet."""
    extension = said.pop("file_extension", "safetensors")
    assert 200 == put_file(yard, name, content, team, extension).status
    body = {"name": name, "file_extension": extension, "type_name": "lora", "visibility": "private", **said}
    registered = ask(yard, "/v3/model", team, method="POST", body=body)
    assert 200 == registered.status, registered.body
    model: dict[str, Any] = registered.json
    return model


def find(yard: App, model_id: int, team: str = "red") -> dict[str, Any]:
    """The model as it is listed for a team."""
    (model,) = ask(yard, f"/v3/model?filter.model_version_id={model_id}", team).json["models"]
    found: dict[str, Any] = model
    return found


def exchange_messages(
    yard: App,
    method: str,
    target: str,
    headers: Mapping[str, str],
    messages: Iterable[dict[str, Any]] = (),
    on_send: Callable[[dict[str, Any]], object] = lambda _: None,
) -> list[dict[str, Any]]:
    """Speak ASGI with the application message by message; return what it sent until its end, or until it failed."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1", **headers}.items()],
        "client": ("127.0.0.1", 40_000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    waiting = iter(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(waiting, {"type": "http.request", "body": b"", "more_body": False})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        on_send(message)

    asyncio.run(yard.app(scope, receive, send))
    return sent
