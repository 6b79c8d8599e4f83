"""The bytes of files of the hub behind this server.

kept                     from here
whole, not kept          fetched once for all who ask; a small one is here before the answer begins
part of weights          up to 10 MiB: passed through, because a reader of a header must not fetch the whole file;
                         nobody can compare its hash. A larger one comes from the whole, like the rest of a download
"""

import asyncio
from dataclasses import dataclass

from starlette.types import Receive, Send

from modelyard import errors
from modelyard.outbound import Answer, TemporaryFailure
from modelyard.upstream.fetches import Fetch
from modelyard.upstream.files import StoredFile, is_small
from modelyard.upstream.snapshots import SnapshotFile
from modelyard.web.api.files import Downloads, File, content_disposition, requested_ranges, send_file
from modelyard.web.bodies import Disconnected
from modelyard.web.disconnection import watch_connection
from modelyard.web.file_stream import send_piece
from modelyard.web.hub.downloads import LINK_SECONDS, make_headers, send_content
from modelyard.web.hub.upstream import HubUpstream, UpstreamRepository, entry_of, repository_of
from modelyard.web.range_header import ByteRange
from modelyard.web.rate_limit import caller_of
from modelyard.web.requests import Header, Request
from modelyard.web.responses import matches_if_none_match, send_bytes

_MEDIA_TYPE: Header = (b"content-type", b"application/octet-stream")
# A reader of the header of weights asks for less. hf_transfer and others ask for parts of 10 MiB, too.
PART_BYTES_MAX = 10 * 2**20
_POLL_SECONDS_MIN, _POLL_SECONDS_MAX = 0.002, 0.05


@dataclass(frozen=True, slots=True)
class UpstreamDownloads:
    """The handler of ``resolve`` and ``raw`` for repositories of the hub."""

    upstream: HubUpstream
    downloads: Downloads

    async def get(self, request: Request, receive: Receive, send: Send) -> None:
        """Respond to GET or HEAD. Raises EntryNotFound, SuspiciousFile, and what the hub answers."""
        repository = repository_of(request)
        assert repository is not None, "the route found it"
        try:
            await self._respond(request, receive, send, repository)
        except errors.RevisionNotFound:
            # A Modelyard has no older commits. A caller who named the commit learns that it is gone.
            if request.path_parameters["revision"] == repository.commit:
                raise
            self.upstream.expire(request, repository)
            raise errors.Unavailable("the repository changed on the hub at this moment; ask again") from None

    async def _respond(self, request: Request, receive: Receive, send: Send, repository: UpstreamRepository) -> None:
        file = repository.snapshot.find(request.path_parameters["path"])
        headers = make_headers(repository.commit, entry_of(file))
        if matches_if_none_match(request, file.etag.encode()):
            await send_bytes(request, send, 304, headers)
            return
        ranges = requested_ranges(request, file.etag, file.size_bytes)
        stored = await asyncio.to_thread(self.upstream.files.find, repository.snapshot, file)
        if stored is not None:
            await self._send_stored(request, send, stored, file, ranges, headers)
            return
        # Several ranges at once are not asked for by clients of a hub; the whole is an answer to them.
        part = ranges[0] if len(ranges) == 1 else ByteRange(0, file.size_bytes - 1)
        head = [*headers, _MEDIA_TYPE, (b"content-length", b"%d" % part.size_bytes)]
        if len(ranges) == 1:
            head.append((b"content-range", b"bytes %d-%d/%d" % (part.first, part.last, file.size_bytes)))
        status = 206 if len(ranges) == 1 else 200
        if request.method == "HEAD":
            await send_bytes(request, send, status, head)
        elif part.size_bytes <= PART_BYTES_MAX and part.size_bytes < file.size_bytes and not is_small(file):
            await self._pass_part(request, send, repository, file, part, head)
        else:
            await self._send_growing(request, receive, send, repository, file, part, (status, head))

    async def _send_stored(
        self,
        request: Request,
        send: Send,
        stored: StoredFile,
        file: SnapshotFile,
        ranges: list[ByteRange],
        headers: list[Header],
    ) -> None:
        is_get = request.method == "GET"
        if stored.model_id is not None and is_get and (not ranges or ranges[0].first == 0):
            self.downloads.counts[stored.model_id] += 1
        disposition, files = content_disposition(file.path.rpartition("/")[2]), self.upstream.files
        if stored.path is None and is_small(file):
            content = await asyncio.to_thread(files.read, stored)
            await send_content(request, send, content, file.etag, headers)
        elif stored.path is None:
            url = files.link(stored, disposition.decode(), LINK_SECONDS)
            if url is None:
                raise errors.Unavailable("the file is not where it was kept")
            await send_bytes(request, send, 302, [(b"location", url.encode()), *headers])
        else:
            local = File(stored.sha256, file.path, stored.size_bytes, (), stored.path)
            headers.append((b"content-disposition", disposition))
            try:
                await send_file(send, self.downloads.stream, local, ranges, headers, is_get=is_get)
            except FileNotFoundError:
                raise errors.Unavailable("the file was moved at this moment; ask again") from None

    async def _send_growing(
        self,
        request: Request,
        receive: Receive,
        send: Send,
        repository: UpstreamRepository,
        file: SnapshotFile,
        part: ByteRange,
        head: tuple[int, list[Header]],
    ) -> None:
        """Send a part of a file while it arrives. If it does not arrive whole, the connection is cut."""
        fetch = self.upstream.fetches.join(repository.snapshot, file, caller_of(request))
        try:
            async with watch_connection(receive) as is_gone:
                await _wait_for_start(fetch, is_gone, whole=is_small(file))
                status, headers = head
                await send({"type": "http.response.start", "status": status, "headers": headers})
                offset, wait_seconds = part.first, _POLL_SECONDS_MIN
                while offset <= part.last and not is_gone.done():
                    end = min(fetch.readable_bytes, part.last + 1)
                    if offset < end:
                        await self.downloads.stream.send(send, fetch.descriptor, ByteRange(offset, end - 1))
                        offset, wait_seconds = end, _POLL_SECONDS_MIN
                    elif fetch.error is not None:
                        raise fetch.error
                    else:
                        await asyncio.sleep(wait_seconds)
                        wait_seconds = min(wait_seconds * 2, _POLL_SECONDS_MAX)
                if offset <= part.last:
                    raise Disconnected("the client closed the connection")
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.upstream.fetches.leave(fetch)

    async def _pass_part(
        self,
        request: Request,
        send: Send,
        repository: UpstreamRepository,
        file: SnapshotFile,
        part: ByteRange,
        headers: list[Header],
    ) -> None:
        """Pass a part of weights through. Nobody can compare its hash: a hash is of a whole file."""
        threads, client = self.upstream.part_threads, self.upstream.client
        # The turn lasts as long as the connection: who has one must never wait for those who want one.
        async with threads.turn(caller_of(request)):
            answer: Answer = await threads.run(
                lambda: client.open_file(repository.id, repository.commit, file.path, part.first, part.last)
            )
            with answer:
                _check_part(answer, part)
                await send({"type": "http.response.start", "status": 206, "headers": headers})
                left_bytes = part.size_bytes
                while left_bytes:
                    block: bytes = (await threads.run(answer.read))[:left_bytes]
                    if not block:
                        raise TemporaryFailure("the hub ended the range too early")
                    left_bytes -= len(block)
                    await send_piece(send, block)
                await send({"type": "http.response.body", "body": b"", "more_body": False})


def _check_part(answer: Answer, part: ByteRange) -> None:
    """Raise UpstreamFailed if the hub answers with the whole, or with another part."""
    content_range = answer.headers.get("Content-Range", "").strip().lower()
    is_part = content_range.startswith(f"bytes {part.first}-{part.last}/")
    if answer.status != 206 or not is_part or answer.length_bytes not in (None, part.size_bytes):
        raise errors.UpstreamFailed("the hub behind this server does not answer the range that was asked for")


async def _wait_for_start(fetch: Fetch, is_gone: "asyncio.Task[None]", *, whole: bool) -> None:
    """Wait until the hub answers, or until the whole file is here. Raises the error of the fetch."""
    wait_seconds = _POLL_SECONDS_MIN
    while not (fetch.is_ended or is_gone.done() or (fetch.is_started and not whole)):
        await asyncio.sleep(wait_seconds)
        wait_seconds = min(wait_seconds * 2, _POLL_SECONDS_MAX)
    if fetch.error is not None:
        raise fetch.error
