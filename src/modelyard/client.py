"""The Python client: list a server's models, download their files, and upload files.

    with Client("https://models.example.org", "sk_…") as client:
        for model in client.models(types="lora", query="night"):
            client.download(model, Path("loras"))

Answers are the API's own records, typed. Errors are this package's: ModelNotFound, InvalidKey, TooLarge and the others,
with the server's message and facts. The client retries temporary failures, such as 429, 503 and lost connections, with
growing waits or as the server's Retry-After says.
"""

import base64
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec

from modelyard import errors, wire
from modelyard.paths import display_path
from modelyard.retry import Retry, RetryPolicy, parse_retry_after
from modelyard.wire import ModelPage, ModelRecord

CHUNK_BYTES = 8 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_TUS = {"Tus-Resumable": "1.0.0"}
_FILE_NAME = re.compile(r"[^/\\\x00-\x1f]{1,255}")
# Temporary statuses: too many requests, a part of the server that is unavailable, an upload that is locked.
_TEMPORARY_STATUSES = frozenset({423, 429, 502, 503, 504})
_TEMPORARY_ERRORS = (httpx2.TransportError, errors.RateLimited, errors.Unavailable, errors.UploadLocked)
_ERRORS: Mapping[tuple[int, str], type[errors.ModelyardError]] = {
    answer: kind for kind, answer in reversed([*wire.ERROR_ANSWERS.items()])
} | {(401, "INVALID_API_KEY"): errors.InvalidKey}

OnBytes = Callable[[int, int], object]


class Client:
    """A connection to one server, for one thread."""

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._retry_policy = RetryPolicy(
            attempts_max=6, wait_seconds_first=0.5, wait_seconds_max=30.0, retry_after_seconds_max=300.0, sleep=sleep
        )
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(headers=headers, timeout=_TIMEOUT, transport=transport)
        # Download links are signed and may lead to another host, which must not see the key.
        self._files = httpx2.Client(timeout=_TIMEOUT, transport=transport, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._files.close()

    def models(self, **filters: object) -> Iterator[ModelRecord]:
        """Yield every model that matches, the most popular first, over all pages.

        Filters are named as the API names them after ``filter.``: ``types``, ``query``, ``is_sdxl``, …; lists repeat.
        """
        parameters = [(name, text) for field, value in filters.items() for name, text in _parameters(field, value)]
        cursor = "c_0"
        while cursor:
            paging = [("pagination.limit", "100"), ("pagination.cursor", cursor)]
            answer = self._request("GET", "/v3/model", params=[*parameters, *paging])
            page = msgspec.json.decode(answer.content, type=ModelPage)
            yield from page.models
            cursor = page.pagination.next_cursor

    def get(self, model_id: int) -> ModelRecord:
        """Return one model. Raises ModelNotFound."""
        for model in self.models(model_version_id=model_id):
            return model
        raise errors.ModelNotFound(str(model_id))

    def find(self, name: str) -> ModelRecord:
        """Return the model with this id, name in the API, file name or hash. Raises ModelNotFound."""
        if name.isascii() and name.isdigit() and len(name) <= 10:
            with suppress(errors.ModelNotFound):
                return self.get(int(name))
        with suppress(errors.InvalidRequest):
            for model in self.models(hash=name):
                return model
        for model in self.models(query=name[: wire.QUERY_CHARS_MAX]):
            if name in (model.sd_name, model.sd_name_in_api, model.name):
                return model
        raise errors.ModelNotFound(name)

    def download(self, model: ModelRecord, path: Path, on_bytes: OnBytes = lambda _count, _total: None) -> Path:
        """Download a model's file and return its path: ``path``, or the file's name in the folder ``path``.

        The bytes go to ``<name>.part`` first, and a later call continues that file. It is renamed when its SHA-256 is
        right. ``on_bytes`` gets the number of bytes so far and the total. Raises NotFound for a model without a file
        here, HashMismatch for bytes that are not the model's.
        """
        if isinstance(model.download_url, msgspec.UnsetType):
            raise errors.NotFound(f"the server has no file of {model.sd_name!r} for this key", model=model.sd_name)
        if not _FILE_NAME.fullmatch(model.sd_name) or model.sd_name in (".", ".."):
            raise errors.InvalidRequest(f"{model.sd_name!r} is not a file name", model=model.sd_name)
        target = path / model.sd_name if path.is_dir() else path
        part = target.with_name(target.name + ".part")
        expected = self._download_part(str(model.download_url), part, on_bytes)
        actual = _hash_file(part)
        if expected not in ("", actual) or not actual.upper().startswith(model.hash_sha256):
            part.unlink()
            raise errors.HashMismatch(expected or model.hash_sha256, actual)
        part.replace(target)
        return target

    def upload(self, path: Path, on_bytes: OnBytes = lambda _count, _total: None, **fields: str) -> ModelRecord:
        """Upload a file and return its model, which has status 0 until the server has verified it.

        An interrupted connection continues where it was. ``fields`` may have ``name``, ``type_name``, ``base_model``,
        ``base_model_type``, ``visibility``, ``source``, ``tags`` (separated by commas) and ``is_nsfw``; the server
        finds out the others. ``on_bytes`` gets the number of bytes so far and the total.
        """
        total = path.stat().st_size
        address = self._create_upload(path.name, total, fields)
        offset, retry = 0, Retry(self._retry_policy)
        with path.open("rb") as file:
            while offset < total:
                file.seek(offset)
                try:
                    offset = self._append(address, offset, file.read(CHUNK_BYTES))
                    retry.reset()
                except (*_TEMPORARY_ERRORS, errors.Conflict) as problem:
                    if not retry.wait(_retry_after(problem)):
                        raise _translate(problem) from problem
                    offset = int(self._request("HEAD", address, headers=_TUS).headers["upload-offset"])
                on_bytes(offset, total)
        model_id = self._request("HEAD", address, headers=_TUS).headers.get(wire.MODEL_HEADER, "")
        if not (model_id.isascii() and model_id.isdigit()):
            raise errors.NotFound("the upload is complete, but the server does not name its model", file=path.name)
        return self.get(int(model_id))

    def _create_upload(self, file_name: str, size_bytes: int, fields: Mapping[str, str]) -> str:
        metadata = {"filename": display_path(os.fsencode(file_name)), **fields}
        text = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items())
        headers = {**_TUS, "Upload-Length": str(size_bytes), "Upload-Metadata": text}
        answer = self._request("POST", "/v3/uploads", headers=headers)
        return "/v3/uploads/" + answer.headers["location"].rpartition("/")[2]

    def _append(self, address: str, offset: int, chunk: bytes) -> int:
        """Send a chunk once, and return the upload's new offset."""
        digest = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
        headers = {
            **_TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
            "Upload-Checksum": f"sha256 {digest}",
        }
        return int(self._request_once("PATCH", address, headers=headers, content=chunk).headers["upload-offset"])

    def _download_part(self, link: str, part: Path, on_bytes: OnBytes) -> str:
        """Complete a partial file. Return the SHA-256 that the server gives, empty if it gives none."""
        retry = Retry(self._retry_policy)
        while True:
            size_bytes = _file_size(part)
            try:
                return self._download_once(link, part, size_bytes, on_bytes)
            except _TEMPORARY_ERRORS as problem:
                if _file_size(part) > size_bytes:
                    retry.reset()
                if not retry.wait(_retry_after(problem)):
                    raise _translate(problem) from problem

    def _download_once(self, link: str, part: Path, offset: int, on_bytes: OnBytes) -> str:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._files.stream("GET", link, headers=headers) as answer:
            if answer.status_code == 416:
                return ""  # the partial file is complete
            if answer.status_code not in (200, 206):
                answer.read()
                raise _read_error(answer)
            if answer.status_code == 200:
                offset = 0
            total = offset + int(answer.headers.get("content-length", 0))
            with part.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                for block in answer.iter_bytes(_BLOCK_BYTES):
                    file.write(block)
                    offset += len(block)
                    on_bytes(offset, total)
            return _read_digest(answer)

    def _request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Make a request, and retry temporary failures."""
        retry = Retry(self._retry_policy)
        while True:
            try:
                return self._request_once(method, path, **options)
            except _TEMPORARY_ERRORS as problem:
                if not retry.wait(_retry_after(problem)):
                    raise _translate(problem) from problem

    def _request_once(self, method: str, path: str, **options: Any) -> httpx2.Response:
        answer = self._http.request(method, self._url + path, **options)
        if answer.status_code >= 400:
            raise _read_error(answer)
        return answer


def _parameters(field: str, value: object) -> Iterator[tuple[str, str]]:
    values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    for item in values:
        if item is not None:
            yield f"filter.{field}", str(item).lower() if isinstance(item, bool) else str(item)


def _read_error(answer: httpx2.Response) -> errors.ModelyardError:
    """Return an answer's error as an error of this package, with the server's message and facts."""
    try:
        body = answer.json()
        reason, message, facts = str(body["reason"]), str(body["message"]), dict(body.get("metadata") or {})
    except (ValueError, KeyError, TypeError):
        reason, message, facts = "", f"the server answered {answer.status_code}", {}
    kind = _ERRORS.get((answer.status_code, reason))
    if kind is None:
        kind = errors.Unavailable if answer.status_code in _TEMPORARY_STATUSES else errors.ModelyardError
    # Without the class's constructor, which would write a message of its own instead of the server's.
    error = kind.__new__(kind)
    errors.ModelyardError.__init__(error, message, **{str(name): value for name, value in facts.items()})
    wait_seconds = parse_retry_after(answer.headers.get("retry-after"))
    if wait_seconds is not None:
        error.facts = {**error.facts, "wait": wait_seconds}
    return error


def _retry_after(problem: Exception) -> float | None:
    wait_seconds = problem.facts.get("wait") if isinstance(problem, errors.ModelyardError) else None
    return float(wait_seconds) if isinstance(wait_seconds, int | float) else None


def _translate(problem: Exception) -> errors.ModelyardError:
    if isinstance(problem, errors.ModelyardError):
        return problem
    return errors.Unavailable(f"the server cannot be reached: {problem}")


def _read_digest(answer: httpx2.Response) -> str:
    match = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", answer.headers.get("repr-digest", ""))
    return base64.b64decode(match[1]).hex() if match else ""


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
