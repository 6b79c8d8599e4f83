"""``/{repo}/resolve/{rev}/{path}`` and ``raw``: the bytes of a file of a repository.

Clients refuse a redirect to another path of this server, so the bytes come from here. Only a file in an S3 store is
redirected to, with the headers that say what it is. No answer has a content encoding: clients resume by ranges.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import quote

from starlette.types import Receive, Send

from modelyard import errors
from modelyard.domain import Scope, Viewer
from modelyard.web.api.files import Downloads, File, content_disposition, requested_ranges, send_file
from modelyard.web.auth import ViewerOf
from modelyard.web.hub.entries import README, FileEntry
from modelyard.web.hub.repositories import Repositories, Repository
from modelyard.web.hub.requests import find_own_repository
from modelyard.web.requests import Header, Request
from modelyard.web.responses import matches_if_none_match, send_bytes
from modelyard.wire import hub

# How long the address in an S3 store is valid, at most.
LINK_SECONDS = 900
_TEXT, _BYTES = b"text/plain; charset=utf-8", b"application/octet-stream"
# The beginning of a small file, which says whether it is a text.
_SAMPLE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class HubDownloads:
    """The handler of both routes."""

    repositories: Repositories
    downloads: Downloads
    viewer_of: ViewerOf

    async def get(self, request: Request, _: Receive, send: Send) -> None:
        """Respond to GET or HEAD. Raises RepositoryNotFound, RevisionNotFound, EntryNotFound and SuspiciousFile."""
        viewer = self.viewer_of(request)
        repository, entry, file = await asyncio.to_thread(self._find, viewer, request)
        if entry.path == README and not viewer.may(Scope.READ):
            # The card says what the model is. A key that may only download gets the files that programs load.
            raise errors.Forbidden(Scope.READ)
        headers = make_headers(repository.commit, entry)
        if matches_if_none_match(request, entry.etag.encode()):
            await send_bytes(request, send, 304, headers)
        elif file is None:
            await send_content(request, send, entry.text or b"", entry.etag, headers)
        else:
            await self._send_weights(request, send, repository, file, headers)

    def _find(self, viewer: Viewer, request: Request) -> tuple[Repository, FileEntry, File | None]:
        repository = find_own_repository(self.repositories, viewer, request)
        entry = repository.find_file(request.path_parameters["path"])
        if entry.sha256 is None:
            return repository, entry, None
        now = self.downloads.store.now()
        try:
            file = self.downloads.find(viewer, entry.sha256, quote(entry.label, safe=""), int(now) + LINK_SECONDS, now)
        except (errors.ModelNotFound, errors.FileGone):
            raise errors.EntryNotFound(entry.path, repository.commit) from None
        if repository.model.id not in file.model_ids:
            raise errors.EntryNotFound(entry.path, repository.commit)
        return repository, entry, file

    async def _send_weights(
        self, request: Request, send: Send, repository: Repository, file: File, headers: list[Header]
    ) -> None:
        is_get = request.method == "GET"
        ranges = requested_ranges(request, file.sha256, file.size_bytes)
        if is_get and (not ranges or (ranges[0].first == 0 and ranges[0].size_bytes > 1)):
            self.downloads.counts[repository.model.id] += 1
        if file.url is not None:
            await send_bytes(request, send, 302, [(b"location", file.url.encode()), *headers])
            return
        headers.append((b"content-disposition", content_disposition(file.label)))
        await send_file(send, self.downloads.stream, file, ranges, headers, is_get=is_get)


def make_headers(commit: str, entry: FileEntry) -> list[Header]:
    """Return the headers that say what a file is, as clients compare them."""
    headers = [
        (hub.COMMIT_HEADER.lower().encode(), commit.encode()),
        (b"etag", b'"%s"' % entry.etag.encode()),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"Authorization"),
    ]
    if entry.sha256 is not None:
        headers.append((hub.LINKED_ETAG_HEADER.lower().encode(), b'"%s"' % entry.sha256.encode()))
        headers.append((hub.LINKED_SIZE_HEADER.lower().encode(), b"%d" % entry.size_bytes))
    return headers


async def send_content(request: Request, send: Send, content: bytes, etag: str, headers: list[Header]) -> None:
    """Send a small file from memory, or a range of it."""
    status, media_type = 200, _BYTES if b"\0" in content[:_SAMPLE_BYTES] else _TEXT
    ranges = requested_ranges(request, etag, len(content))
    if len(ranges) == 1:
        part, status = ranges[0], 206
        headers.append((b"content-range", b"bytes %d-%d/%d" % (part.first, part.last, len(content))))
        content = content[part.first : part.last + 1]
    headers += [(b"content-type", media_type), (b"content-length", b"%d" % len(content))]
    await send_bytes(request, send, status, headers, content)
