"""``tree`` and ``paths-info``: the files and directories of a repository."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlencode

import msgspec
from starlette.types import Receive, Send

from modelyard import errors
from modelyard.domain import Viewer
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import decode_json, read_up_to
from modelyard.web.hub import entries
from modelyard.web.hub.descriptions import last_commit
from modelyard.web.hub.endpoint import with_commit
from modelyard.web.hub.entries import FileEntry
from modelyard.web.hub.repositories import Repositories, Repository
from modelyard.web.hub.requests import find_repository, is_true, read_query
from modelyard.web.hub.upstream import UpstreamRepository
from modelyard.web.requests import Request
from modelyard.web.responses import Response, send_response
from modelyard.web.urls import BaseOf
from modelyard.wire import hub

_ENTRIES_A_PAGE = 1_000
_PATHS_MAX = 2_000
_BODY_BYTES_MAX = 1024 * 1024
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Trees:
    """The handlers of the routes. They run in threads."""

    repositories: Repositories
    viewer_of: ViewerOf
    base_of: BaseOf

    def list_tree(self, request: Request) -> Response:
        """Return the entries of a directory; with ``recursive``, of those below it too. A cursor begins a next page."""
        repository = find_repository(self.repositories, self.viewer_of(request), request)
        query = read_query(request)
        path = request.path_parameters.get("path", "").strip("/")
        records = _directory(repository, path, is_recursive=is_true(query, "recursive"))
        if not records and path:
            raise errors.EntryNotFound(path, repository.commit)
        first = _read_cursor(query.get("cursor", [""])[0])
        page = records[first : first + _ENTRIES_A_PAGE]
        response = with_commit(Response(_encode(_expand(repository, page, query))), repository.commit)
        if len(records) <= first + _ENTRIES_A_PAGE:
            return response
        following = urlencode({**query, "cursor": str(first + _ENTRIES_A_PAGE)}, doseq=True)
        link = f'<{self.base_of(request)}{request.path}?{following}>; rel="next"'
        return replace(response, headers=(*response.headers, (b"link", link.encode())))

    async def list_paths(self, request: Request, receive: Receive, send: Send) -> None:
        """Send the entries among the paths of the body, which is a form or JSON."""
        viewer = self.viewer_of(request)
        body = await read_up_to(_BODY_BYTES_MAX, request, receive, "the request's body")
        await send_response(await asyncio.to_thread(self._list_paths, viewer, request, body), request, send)

    def _list_paths(self, viewer: Viewer, request: Request, body: bytes) -> Response:
        repository = find_repository(self.repositories, viewer, request)
        paths, is_expanded = _read_paths(request, body)
        by_path = {record.path: record for record in _directory(repository, "", is_recursive=True)}
        records = [by_path[path] for path in dict.fromkeys(paths) if path in by_path]
        query = {"expand": ["true"]} if is_expanded else {}
        return with_commit(Response(_encode(_expand(repository, records, query))), repository.commit)


def _directory(repository: Repository | UpstreamRepository, path: str, *, is_recursive: bool) -> list[hub.EntryRecord]:
    """Return the entries of a directory, sorted by path; empty if there is no such directory."""
    start = f"{path}/" if path else ""
    inside = [entry for entry in repository.files if entry.path.startswith(start)]
    folders: dict[str, list[FileEntry]] = {}
    for entry in inside:
        parts = entry.path[len(start) :].split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folders.setdefault(start + "/".join(parts[:depth]), []).append(entry)
    records = [hub.EntryRecord("directory", name, 0, entries.tree_oid(below)) for name, below in folders.items()]
    records += [_record_of(entry) for entry in inside]
    if not is_recursive:
        records = [record for record in records if "/" not in record.path[len(start) :]]
    return sorted(records, key=lambda record: record.path)


def _record_of(entry: FileEntry) -> hub.EntryRecord:
    if entry.sha256 is None:
        return hub.EntryRecord("file", entry.path, entry.size_bytes, entry.oid)
    lfs = hub.LfsRecord(entry.sha256, entry.size_bytes, entry.pointer_size)
    return hub.EntryRecord("file", entry.path, entry.size_bytes, entry.oid, lfs)


def _expand(
    repository: Repository | UpstreamRepository, records: Iterable[hub.EntryRecord], query: Mapping[str, list[str]]
) -> list[hub.EntryRecord]:
    """Return the entries, with the commit that they are from if the query asks for it."""
    if not is_true(query, "expand"):
        return list(records)
    return [msgspec.structs.replace(record, last_commit=last_commit(repository)) for record in records]


def _read_cursor(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise errors.InvalidParameter("cursor", text, "the cursor of a Link header")
    return int(text or 0)


def _read_paths(request: Request, body: bytes) -> tuple[list[str], bool]:
    """Return the paths, and whether their commits are asked for. Python sends a form, JavaScript sends JSON."""
    if request.headers.get(b"content-type", b"").startswith(b"application/json"):
        fields = decode_json(body, hub.PathsBody)
        paths = [fields.paths] if isinstance(fields.paths, str) else list(fields.paths)
        is_expanded = fields.expand
    else:
        try:
            form = parse_qs(body.decode(), max_num_fields=_PATHS_MAX + 10)
        except ValueError:
            raise errors.InvalidValue(
                "the request's body cannot be used: it is no form of UTF-8", field="paths"
            ) from None
        paths, is_expanded = form.get("paths", []), is_true(form, "expand")
    if len(paths) > _PATHS_MAX:
        raise errors.InvalidValue(f"paths: {len(paths)} are not accepted; accepted: up to {_PATHS_MAX}", field="paths")
    return paths, is_expanded
