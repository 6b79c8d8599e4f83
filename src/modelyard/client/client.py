"""The connection of the Python client to one server."""

import base64
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx2
import msgspec

from modelyard import errors, wire
from modelyard.client.answers import TEMPORARY_ERRORS, decode, read_error, retry_after, translate
from modelyard.client.changes import ModelChange, iterate_changes
from modelyard.client.fields import (
    AuditFilters,
    Changes,
    Check,
    Details,
    FetchSource,
    Filters,
    Model,
    Needs,
    UploadFields,
    User,
)
from modelyard.domain import FILE_EXTENSIONS, split_extension
from modelyard.paths import display_path
from modelyard.retry import Retry, RetryPolicy
from modelyard.wire.audit import AuditPage, AuditRecord

CHUNK_BYTES = 8 * 1024 * 1024
_HASHES_AT_ONCE = 1_000
# How many models of a search are asked for their title.
_TITLES_MAX = 20
# With a pace, so many bytes at once.
_PACED_BYTES = 64 * 1024
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_TUS = {"Tus-Resumable": "1.0.0"}
_FILE_NAME = re.compile(r"[^/\\\x00-\x1f]{1,255}")

# The server refuses filters that it does not know; without this it ignores them.
_STRICT = {"Prefer": "handling=strict"}
# While the server verifies an upload, it is asked after these seconds; the last wait repeats.
_VERDICT_WAITS_SECONDS = (0.1, 0.2, 0.5, 1.0)
WAITING = "waiting"

OnBytes = Callable[[int, int], object]
T = TypeVar("T")


class _Pagination(msgspec.Struct):
    next_cursor: str


class _Page(msgspec.Struct):
    models: list[Model]
    pagination: _Pagination


class _Matches(msgspec.Struct):
    matches: dict[str, list[int]]
    models: list[Model]


# For how long an upload waits in all for a server that asks to come back later.
_AWAY_SECONDS_MAX = 1800.0


class _Fetch(msgspec.Struct):
    model_id: int
    state: str
    problem: str
    received_bytes: int
    size_bytes: int | None


class _Fetches(msgspec.Struct):
    fetches: tuple[_Fetch]


class Client:
    """A connection to one server, for one thread."""

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
        pace: Callable[[int], object] | None = None,
    ) -> None:
        """Connect to the server at ``url``. ``pace`` gets the number of every few bytes of a file, and may wait."""
        self._url = url.rstrip("/")
        self._pace = pace
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

    def models(self, *, sort: str = "", **filters: Unpack[Filters]) -> Iterator[Model]:
        """Yield every model that matches, over all pages. Raises InvalidRequest.

        The most popular are first; ``sort`` is another order: ``newest``, ``updated``, ``name``, ``size``, ``added`` or
        ``popular``, with ``-`` before it for the other direction.
        """
        parameters = _parameters(filters) + ([("sort", sort)] if sort else [])
        cursor = "c_0"
        while cursor:
            paging = [("pagination.limit", "100"), ("pagination.cursor", cursor)]
            answer = self._request("GET", "/v3/model", params=[*parameters, *paging], headers=_STRICT)
            page = decode(answer, _Page)
            yield from page.models
            cursor = page.pagination.next_cursor

    def changes(
        self, since: int | str = 0, *, waits: bool = False, **filters: Unpack[Filters]
    ) -> Iterator[ModelChange]:
        """Yield what changed since a revision, or the ``next`` of a change, in the order of revisions.

        With ``waits`` it does not end: it waits for further changes. Raises Gone if removed models since then are not
        known any more; then begin with 0 and without any model.
        """

        def ask(parameters: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> httpx2.Response:
            return self._request("GET", "/v3/model/changes", params=parameters, headers=headers)

        return iterate_changes(ask, str(since), _parameters(filters), waits=waits)

    def by_hashes(self, hashes: Iterable[str]) -> dict[str, list[Model]]:
        """Return the models that have each hash, the most popular first. Raises InvalidRequest for what is no hash."""
        found: dict[str, list[Model]] = {}
        texts = [*dict.fromkeys(hashes)]
        for start in range(0, len(texts), _HASHES_AT_ONCE):
            body = {"hashes": texts[start : start + _HASHES_AT_ONCE]}
            answer = self._request("POST", "/v3/model/by-hash", json=body)
            decoded = decode(answer, _Matches)
            models = {model.id: model for model in decoded.models}
            found |= {text: [models[id_] for id_ in ids] for text, ids in decoded.matches.items()}
        return found

    def resolve(self, workflow: Path | bytes) -> Needs:
        """Return the models that a workflow or a picture needs, and which of them the server has.

        ``workflow`` is the file, or its bytes. Raises UnsupportedFile for what is no workflow, TooLarge.
        """
        content = workflow if isinstance(workflow, bytes) else workflow.read_bytes()
        answer = self._request("POST", "/v3/model/resolve", content=content)
        return decode(answer, Needs)

    def facets(self, **filters: Unpack[Filters]) -> wire.FacetsAnswer:
        """Return how the models that match divide by type, source, base model and tag. Raises InvalidRequest."""
        answer = self._request("GET", "/v3/model/facets", params=_parameters(filters), headers=_STRICT)
        return decode(answer, wire.FacetsAnswer)

    def user(self) -> User:
        """Return the team of the key, and what the key allows. Raises InvalidKey."""
        return decode(self._request("GET", "/v3/user"), User)

    def audit(self, **filters: Unpack[AuditFilters]) -> Iterator[AuditRecord]:
        """Yield who changed what, the newest first, over all pages. Raises Forbidden, InvalidRequest."""
        parameters = [(f"filter.{name}", str(value)) for name, value in filters.items()]
        cursor: str | None = ""
        while cursor is not None:
            page = decode(
                self._request("GET", "/v3/audit", params=[*parameters, ("pagination.cursor", cursor)]), AuditPage
            )
            yield from page.audit
            cursor = page.pagination.next_cursor or None

    def get(self, model_id: int) -> Model:
        """Return one model. Raises ModelNotFound."""
        for model in self.models(model_version_id=model_id):
            return model
        raise errors.ModelNotFound(str(model_id))

    def details(self, model_id: int) -> Details:
        """Return a model with what its owner declared and its file shows. Raises ModelNotFound."""
        answer = self._request("GET", "/v3/model/details", params={"id": model_id})
        return decode(answer, Details)

    def edit(self, model_id: int, **changes: Unpack[Changes]) -> Model:
        """Change fields of a model of the key's team. Raises ModelNotFound, InvalidRequest, Forbidden."""
        answer = self._request("PATCH", "/v3/model", params={"id": model_id}, json=changes)
        return decode(answer, Model)

    def delete(self, model_id: int) -> None:
        """Delete a model of the key's team. Raises ModelNotFound, Forbidden."""
        self._request("DELETE", "/v3/model", params={"id": model_id})

    def set_cover(self, model_id: int, picture: Path) -> Model:
        """Make a picture the cover of a model of the key's team. Raises UnsupportedFile, TooLarge, ModelNotFound."""
        answer = self._request("PUT", "/v3/model/cover", params={"id": model_id}, content=picture.read_bytes())
        return decode(answer, Model)

    def find(self, name: str) -> Model:
        """Return the model with this id, hash, file name, name in the API, name of its version, or title.

        Raises ModelNotFound, and AmbiguousName if several models have the name.
        """
        if name.isascii() and name.isdigit() and len(name) <= 10:
            with suppress(errors.ModelNotFound):
                return self.get(int(name))
        with suppress(errors.InvalidRequest):
            for model in self.models(hash=name):
                return model
        matches = list(self.models(query=name[: wire.QUERY_CHARS_MAX]))
        for field in ("sd_name", "sd_name_in_api", "name"):
            models = [model for model in matches if getattr(model, field) == name]
            if len(models) > 1:
                raise errors.AmbiguousName(name, [f"{model.id} ({model.sd_name})" for model in models[:10]])
            if models:
                return models[0]
        candidates = islice(self.models(search=name[: wire.QUERY_CHARS_MAX]), _TITLES_MAX)
        titled = [model for model in candidates if self.details(model.id).title == name]
        if len(titled) > 1:
            raise errors.AmbiguousName(name, [f"{model.id} ({model.sd_name})" for model in titled[:10]])
        if titled:
            return titled[0]
        raise errors.ModelNotFound(name)

    def download(
        self,
        model: Model,
        folder: Path,
        on_bytes: OnBytes = lambda _count, _total: None,
        *,
        name: str = "",
        replace: bool = True,
    ) -> Path:
        """Download a model's file into a folder, which is made if it is missing, and return its path.

        The file has the model's file name, or ``name``. If the model's file is there already, nothing is downloaded;
        another file there is replaced once the new one is verified; without ``replace`` it stays, and Conflict is
        raised. The bytes go to ``<name>.part`` first, and a later
        call continues that file. ``on_bytes`` gets the number of bytes so far and the total. Raises NotFound for a
        model without a file here, HashMismatch for bytes that are not the model's, InvalidRequest for a name that is
        no file's.
        """
        if model.download_url is None:
            raise errors.NotFound(f"the server has no file of {model.sd_name!r} for this key", model=model.sd_name)
        if not name and split_extension(model.sd_name)[1].lower() not in FILE_EXTENSIONS:
            raise errors.InvalidRequest(
                f"{model.sd_name!r} is not the name of a model file; accepted: {', '.join(FILE_EXTENSIONS)}",
                model=model.sd_name,
            )
        name = name or model.sd_name
        if not _FILE_NAME.fullmatch(name) or name.startswith("."):
            raise errors.InvalidRequest(f"{name!r} is not a file name", model=model.sd_name)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / name
        if target.is_dir():
            raise errors.InvalidRequest(f"{target} is a folder", model=model.sd_name)
        if target.is_file() and self._is_file_of(model, target):
            return target
        if target.is_file() and not replace:
            raise errors.Conflict(f"{target} is there already, with other bytes", file=str(target))
        part = target.with_name(target.name + ".part")
        expected = self._download_part(model.download_url, part, on_bytes)
        actual = hash_file(part)
        if expected not in ("", actual) or not actual.upper().startswith(model.hash_sha256):
            part.unlink()
            raise errors.HashMismatch(expected or model.hash_sha256, actual)
        part.replace(target)
        return target

    def upload(
        self,
        path: Path,
        on_bytes: OnBytes = lambda _count, _total: None,
        *,
        wait_seconds: float = 0.0,
        **fields: Unpack[UploadFields],
    ) -> Model:
        """Upload a file and return its model. Its status is 0 until the server has verified it.

        An interrupted connection continues where it was. A server that asks to come back later, such as one whose node
        with the bytes so far is away, is waited for, up to half an hour. The server finds out the fields that are not
        given.
        ``on_bytes`` gets the number of bytes so far and the total.

        With ``wait_seconds``, return when the file is verified: raises FileRefused if it is not sound, Unavailable if
        there is no verdict in time.
        """
        total = path.stat().st_size
        address = self._create_upload(path.name, total, fields)
        offset, is_known, retry, waited_seconds = 0, True, Retry(self._retry_policy), 0.0
        with path.open("rb") as file:
            while offset < total:
                try:
                    if not is_known:
                        offset = int(self._request_once("HEAD", address, headers=_TUS).headers["upload-offset"])
                        is_known = True
                    else:
                        file.seek(offset)
                        offset = self._append(address, offset, file.read(CHUNK_BYTES))
                        retry.reset()
                    on_bytes(offset, total)
                except (*TEMPORARY_ERRORS, errors.OffsetConflict) as problem:
                    seconds = retry_after(problem)
                    if seconds is not None and waited_seconds < _AWAY_SECONDS_MAX:
                        # The server says that it will be back: its node, database or file store is away.
                        waited_seconds += max(seconds, 1.0)
                        retry.reset()
                    if not retry.wait(retry_after(problem)):
                        raise translate(problem) from problem
                    is_known = False
        model_id = self._model_of_upload(address, path.name)
        return self._wait_for_verdict(address, model_id, wait_seconds) if wait_seconds else self.get(model_id)

    def fetch(self, on_bytes: OnBytes = lambda _count, _total: None, **source: Unpack[FetchSource]) -> Model:
        """Have the server get a file from another server, and return its model when the file is verified.

        ``on_bytes`` gets the number of bytes so far and the total. Raises UpstreamRefused with the server's reason.
        """
        try:
            answer = self._request("POST", "/v3/model", json=source)
        except errors.ModelExists as problem:
            return self.details(int(str(problem.facts["model"]))).model
        fetch_id, waits = answer.headers.get("location", "").rpartition("id=")[2], iter(_VERDICT_WAITS_SECONDS)
        while True:
            (fetch,) = decode(self._request("GET", "/v3/model/fetches", params={"id": fetch_id}), _Fetches).fetches
            if fetch.state == "done":
                return self.details(fetch.model_id).model
            if fetch.state in ("failed", "cancelled"):
                raise errors.UpstreamRefused(fetch.problem or fetch.state)
            on_bytes(fetch.received_bytes, fetch.size_bytes or 0)
            self._retry_policy.sleep(next(waits, _VERDICT_WAITS_SECONDS[-1]))

    def _model_of_upload(self, address: str, file_name: str) -> int:
        model_id = self._request("HEAD", address, headers=_TUS).headers.get(wire.MODEL_HEADER, "")
        if not (model_id.isascii() and model_id.isdigit()):
            raise errors.NotFound("the upload is complete, but the server does not name its model", file=file_name)
        return int(model_id)

    def _wait_for_verdict(self, address: str, model_id: int, wait_seconds: float) -> Model:
        """Return the model of an upload once it is verified. The server may give the upload a model that it has."""
        waited_seconds, waits = 0.0, iter(_VERDICT_WAITS_SECONDS)
        while True:
            with suppress(errors.ModelNotFound, errors.UploadNotFound):
                details = self.details(model_id)
                check = details.check or Check(WAITING, "")
                if check.verdict != WAITING:
                    if not details.model.status:
                        raise errors.FileRefused(model_id, check.verdict, check.reason)
                    return details.model
            if waited_seconds >= wait_seconds:
                raise errors.Unavailable(
                    f"the server has not verified model {model_id} within {wait_seconds:g} seconds", model=model_id
                )
            seconds = next(waits, _VERDICT_WAITS_SECONDS[-1])
            self._retry_policy.sleep(seconds)
            waited_seconds += seconds
            with suppress(errors.UploadNotFound):
                model_id = self._model_of_upload(address, "")

    def _is_file_of(self, model: Model, path: Path) -> bool:
        """Whether a file is the model's: by the SHA-256 that the server sends with it, or by its first ten digits."""
        answer = self._files.head(str(model.download_url))
        digest = _read_digest(answer) if answer.status_code == 200 else ""
        actual = hash_file(path)
        return digest == actual if digest else bool(model.hash_sha256) and actual.upper().startswith(model.hash_sha256)

    def _create_upload(self, file_name: str, size_bytes: int, fields: UploadFields) -> str:
        metadata: dict[str, object] = {"filename": display_path(os.fsencode(file_name)), **fields}
        text = ",".join(f"{name} {base64.b64encode(str(value).encode()).decode()}" for name, value in metadata.items())
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
        content: bytes | Iterator[bytes] = chunk
        if self._pace is not None:
            content, headers["Content-Length"] = self._send_paced(chunk), str(len(chunk))
        return int(self._request_once("PATCH", address, headers=headers, content=content).headers["upload-offset"])

    def _send_paced(self, chunk: bytes) -> Iterator[bytes]:
        for start in range(0, len(chunk), _PACED_BYTES):
            block = chunk[start : start + _PACED_BYTES]
            assert self._pace is not None, "only a client with a pace sends so"
            self._pace(len(block))
            yield block

    def _download_part(self, link: str, part: Path, on_bytes: OnBytes) -> str:
        """Complete a partial file. Return the SHA-256 that the server gives, empty if it gives none."""
        retry = Retry(self._retry_policy)
        while True:
            size_bytes = _file_size(part)
            try:
                return self._download_once(link, part, size_bytes, on_bytes)
            except TEMPORARY_ERRORS as problem:
                if _file_size(part) > size_bytes:
                    retry.reset()
                if not retry.wait(retry_after(problem)):
                    raise translate(problem) from problem

    def _download_once(self, link: str, part: Path, offset: int, on_bytes: OnBytes) -> str:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._files.stream("GET", link, headers=headers) as answer:
            if answer.status_code == 416:
                return ""  # the partial file is complete
            if answer.status_code not in (200, 206):
                answer.read()
                raise read_error(answer)
            if answer.status_code == 200:
                offset = 0
            total = offset + int(answer.headers.get("content-length", 0))
            with part.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                # Blocks as they arrive: what is collected into larger ones is lost if the connection breaks.
                for block in answer.iter_bytes():
                    if self._pace is not None:
                        self._pace(len(block))
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
            except TEMPORARY_ERRORS as problem:
                if not retry.wait(retry_after(problem)):
                    raise translate(problem) from problem

    def _request_once(self, method: str, path: str, **options: Any) -> httpx2.Response:
        answer = self._http.request(method, self._url + path, **options)
        if answer.status_code >= 300:
            raise read_error(answer)
        return answer


def _parameters(filters: Filters) -> list[tuple[str, str]]:
    """Return the query parameters of filters. Raises InvalidParameter for a filter that there is not."""
    parameters = []
    for field, value in filters.items():
        if field not in Filters.__annotations__:
            raise errors.InvalidParameter(field, str(value)[:100], f"the filters {', '.join(Filters.__annotations__)}")
        values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
        name = "filter." + field.replace("licence_", "licence.")
        parameters += [(name, _text_of(item)) for item in values if item is not None]
    return parameters


def _text_of(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_digest(answer: httpx2.Response) -> str:
    match = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", answer.headers.get("repr-digest", ""))
    return base64.b64decode(match[1]).hex() if match else ""


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, lower case."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
