"""The Python client: ask a Modelyard server, fetch files from it, and send it some.

    with Client("https://models.example.org", "sk_…") as client:
        for model in client.models(types="lora", query="night"):
            client.download(model, Path("loras"))

Answers are the API's own records, typed. Errors are this package's: ModelNotFound, InvalidKey, TooLarge and the others,
with the server's message and facts. What may pass, 429, 503 and lost connections, is tried again, with growing pauses
and as the server's Retry-After says.
"""

import base64
import hashlib
import random
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
from modelyard.wire import ModelPage, ModelRecord

CHUNK_BYTES = 8 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
_ATTEMPTS_MAX = 6
_PAUSE_SECONDS_MAX = 30.0
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_FILE_NAME = re.compile(r"[^/\\\x00-\x1f]{1,255}")
# Statuses that pass: too many requests, a part that is away, an upload somebody else still holds.
_PASSING = frozenset({423, 429, 502, 503, 504})
_ERRORS: Mapping[tuple[int, str], type[errors.ModelyardError]] = {
    answer: kind for kind, answer in reversed([*wire.ERROR_ANSWERS.items()])
} | {(401, "INVALID_API_KEY"): errors.InvalidKey}


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
        self._sleep = sleep
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(headers=headers, timeout=_TIMEOUT, transport=transport)
        # Links to files carry their own permission, and may lead to another host: it must not see the key.
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
        asked = [(name, text) for field, value in filters.items() for name, text in _parameters(field, value)]
        cursor = "c_0"
        while cursor:
            paging = [("pagination.limit", "100"), ("pagination.cursor", cursor)]
            answer = self._ask("GET", "/v3/model", params=[*asked, *paging])
            page = msgspec.json.decode(answer.content, type=ModelPage)
            yield from page.models
            cursor = page.pagination.next_cursor

    def get(self, model_id: int) -> ModelRecord:
        """Return one model. Raises ModelNotFound."""
        for model in self.models(model_version_id=model_id):
            return model
        raise errors.ModelNotFound(str(model_id))

    def find(self, wanted: str) -> ModelRecord:
        """Return the one model that an id, a name in the API, a file's name or a hash means. Raises ModelNotFound."""
        if wanted.isascii() and wanted.isdigit() and len(wanted) <= 10:
            with suppress(errors.ModelNotFound):
                return self.get(int(wanted))
        with suppress(errors.InvalidRequest):
            for model in self.models(hash=wanted):
                return model
        for model in self.models(query=wanted[: wire.QUERY_CHARS_MAX]):
            if wanted in (model.sd_name, model.sd_name_in_api, model.name):
                return model
        raise errors.ModelNotFound(wanted)

    def download(
        self, model: ModelRecord, path: Path, on_bytes: Callable[[int, int], object] = lambda _done, _whole: None
    ) -> Path:
        """Fetch a model's file and return where it is: ``path``, or its name in the folder ``path``.

        Bytes go to ``<name>.part`` first, which a later call continues; the file has its name when its SHA-256 is
        right. Raises NotFound for a model without a file here, HashMismatch for bytes that are not the model's.
        """
        if isinstance(model.download_url, msgspec.UnsetType):
            raise errors.NotFound(f"the server has no file of {model.sd_name!r} for this key", model=model.sd_name)
        if not _FILE_NAME.fullmatch(model.sd_name) or model.sd_name in (".", ".."):
            raise errors.InvalidRequest(f"{model.sd_name!r} is no name for a file", model=model.sd_name)
        target = path / model.sd_name if path.is_dir() else path
        part = target.with_name(target.name + ".part")
        link = str(model.download_url)
        expected = self._fetch(link, part, on_bytes)
        actual = _sha256_of(part)
        if expected not in ("", actual) or not actual.upper().startswith(model.hash_sha256):
            part.unlink()
            raise errors.HashMismatch(expected or model.hash_sha256, actual)
        part.replace(target)
        return target

    def upload(
        self, path: Path, on_bytes: Callable[[int, int], object] = lambda _done, _whole: None, **said: str
    ) -> ModelRecord:
        """Send a file and return its model: status 0 until the server has checked it. Interruptions are resumed.

        ``said`` may have ``name``, ``type_name``, ``base_model``, ``base_model_type``, ``visibility``, ``source``,
        ``tags`` (divided by commas), ``is_nsfw``; the server finds out what is not said.
        """
        whole = path.stat().st_size
        metadata = {"filename": path.name, **said}
        words = ",".join(f"{name} {base64.b64encode(text.encode()).decode()}" for name, text in metadata.items())
        made = self._ask("POST", "/v3/uploads", headers={**_TUS, "Upload-Length": str(whole), "Upload-Metadata": words})
        place = "/v3/uploads/" + made.headers["location"].rpartition("/")[2]
        offset, failures = 0, 0
        with path.open("rb") as file:
            while offset < whole:
                file.seek(offset)
                chunk = file.read(CHUNK_BYTES)
                digest = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
                headers = {
                    **_TUS,
                    "Content-Type": "application/offset+octet-stream",
                    "Upload-Offset": str(offset),
                    "Upload-Checksum": f"sha256 {digest}",
                }
                try:
                    answer = self._once("PATCH", place, headers=headers, content=chunk)
                    offset, failures = int(answer.headers["upload-offset"]), 0
                except (httpx2.TransportError, errors.Conflict, errors.UploadLocked, errors.Unavailable) as problem:
                    failures += 1
                    if failures >= _ATTEMPTS_MAX:
                        raise _away(problem) from problem
                    self._pause(failures, None)
                    offset = int(self._ask("HEAD", place, headers=_TUS).headers["upload-offset"])
                on_bytes(offset, whole)
        told = self._ask("HEAD", place, headers=_TUS).headers.get(wire.MODEL_HEADER, "")
        if not (told.isascii() and told.isdigit()):
            raise errors.NotFound("the upload is whole, and the server does not tell its model", file=path.name)
        return self.get(int(told))

    def _fetch(self, link: str, part: Path, on_bytes: Callable[[int, int], object]) -> str:
        """Bring a part to its whole length; return the SHA-256 that the server tells, empty if it tells none."""
        failures = 0
        while True:
            have = part.stat().st_size if part.exists() else 0
            try:
                headers = {"Range": f"bytes={have}-"} if have else {}
                with self._files.stream("GET", link, headers=headers) as answer:
                    if answer.status_code == 416:
                        return ""  # all of it is here already
                    if answer.status_code not in (200, 206):
                        answer.read()
                        raise _error_of(answer)
                    at = have if answer.status_code == 206 else 0
                    whole = at + int(answer.headers.get("content-length", 0))
                    with part.open("r+b" if at else "wb") as file:
                        file.seek(at)
                        for block in answer.iter_bytes(_BLOCK_BYTES):
                            file.write(block)
                            at += len(block)
                            on_bytes(at, whole)
                    return _told_sha256(answer)
            except (httpx2.TransportError, errors.RateLimited, errors.Unavailable) as problem:
                grown = (part.stat().st_size if part.exists() else 0) > have
                failures = 1 if grown else failures + 1
                if failures >= _ATTEMPTS_MAX:
                    raise _away(problem) from problem
                self._pause(failures, None)

    def _ask(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Ask, again and again where that may help."""
        failures = 0
        while True:
            try:
                return self._once(method, path, **request)
            except (httpx2.TransportError, errors.RateLimited, errors.Unavailable, errors.UploadLocked) as problem:
                failures += 1
                if failures >= _ATTEMPTS_MAX:
                    raise _away(problem) from problem
                self._pause(failures, problem.facts.get("wait") if isinstance(problem, errors.ModelyardError) else None)

    def _once(self, method: str, path: str, **request: Any) -> httpx2.Response:
        answer = self._http.request(method, self._url + path, **request)
        if answer.status_code >= 400:
            raise _error_of(answer)
        return answer

    def _pause(self, failures: int, wait: object) -> None:
        # Not all clients at once: half of the pause is by chance.
        grown = min(0.25 * 2**failures, _PAUSE_SECONDS_MAX)
        self._sleep(float(wait) if isinstance(wait, int | float) else grown * random.uniform(0.5, 1.0))  # noqa: S311 # no secret


_TUS = {"Tus-Resumable": "1.0.0"}


def _parameters(field: str, value: object) -> Iterator[tuple[str, str]]:
    values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    for each in values:
        if each is not None:
            yield f"filter.{field}", str(each).lower() if isinstance(each, bool) else str(each)


def _error_of(answer: httpx2.Response) -> errors.ModelyardError:
    """Return the error that an answer tells, as an error of ours; its facts as the server told them."""
    try:
        body = answer.json()
        reason, message, facts = str(body["reason"]), str(body["message"]), dict(body.get("metadata") or {})
    except (ValueError, KeyError, TypeError):
        reason, message, facts = "", f"the server answered {answer.status_code}", {}
    kind = _ERRORS.get((answer.status_code, reason))
    if kind is None:
        kind = errors.Unavailable if answer.status_code in _PASSING else errors.ModelyardError
    # Made past the constructors, which word messages of their own: what the server said is what is told.
    error = kind.__new__(kind)
    errors.ModelyardError.__init__(error, message, **{str(name): value for name, value in facts.items()})
    wait = answer.headers.get("retry-after", "")
    if wait.isascii() and wait.isdigit():
        error.facts = {**error.facts, "wait": min(int(wait), 300)}
    return error


def _away(problem: Exception) -> errors.ModelyardError:
    if isinstance(problem, errors.ModelyardError):
        return problem
    return errors.Unavailable(f"the server cannot be reached: {problem}")


def _told_sha256(answer: httpx2.Response) -> str:
    found = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", answer.headers.get("repr-digest", ""))
    return base64.b64decode(found[1]).hex() if found else ""


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
