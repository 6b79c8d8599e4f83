"""Uploads by a signed address: ``POST /v3/model/uploader`` returns the address, ``PUT`` sends the file to it.

The shape is that of the vendor. Database work runs in threads.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Send

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Scope
from modelyard.registry.fields import read_name
from modelyard.signing import Signature, Signer
from modelyard.uploads.uploads import Uploads
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import Disconnected, append_body, content_length, decode_json
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response, send_bytes
from modelyard.web.urls import BaseOf

PUT_PREFIX = "/v3/model/uploader/"
PURPOSE = "put"
# A store takes bytes at a presigned address whatever happened to the key since. It looks at the time when a request
# begins, so a long upload may end later.
_STORE_LINK_SECONDS_MAX = 3600
_encode = msgspec.json.Encoder().encode


class Announcement(msgspec.Struct, frozen=True):
    """A file that is about to be put."""

    model_name: str
    file_extension: str
    file_sha256: str = ""


class UploadUrl(msgspec.Struct, frozen=True):
    """Where to put it."""

    upload_url: str


@dataclass(frozen=True, slots=True)
class PresignedUploads:
    """The handlers of the two requests."""

    uploads: Uploads
    auth: Auth
    signer: Signer
    caller_of: ViewerOf
    base_of: BaseOf

    def announce(self, request: Request, body: bytes) -> Response:
        """Create an upload, and return its signed URL."""
        viewer = self.caller_of(request)
        announcement = decode_json(body, Announcement)
        sha256 = sha256_of("file_sha256", announcement.file_sha256) if announcement.file_sha256 else None
        read_name(announcement.model_name)
        declared = {"name": announcement.model_name, "file_extension": announcement.file_extension}
        upload = self.uploads.create(viewer, "put", declared, announced_sha256=sha256)
        expires_in = min(self.uploads.limits.expires_in_seconds, _STORE_LINK_SECONDS_MAX)
        url = self.uploads.blobs.upload_link(upload.id, expires_in)
        if url is None:
            query = self.signer.query(PURPOSE, f"{upload.id} {viewer.key_fingerprint}", "", upload.expires_at)
            url = f"{self.base_of(request)}{PUT_PREFIX}{upload.id}?for={viewer.key_fingerprint}&{query}"
        return Response(_encode(UploadUrl(url)), caching=UNSTORED)

    async def put(self, request: Request, receive: Receive, send: Send) -> None:
        """Receive the bytes of an announced file. The request has no API key.

        The signed URL is the permission, as long as the key that it was made for is valid.
        """
        upload_id = request.path_parameters["upload"]
        query = parse_qs(request.query_string[:1024].decode("latin-1"))
        fingerprint, *values = [query.get(name, [""])[0] for name in ("for", "key", "expires", "signature")]
        self.signer.check(PURPOSE, f"{upload_id} {fingerprint}", "", Signature(*values))
        request.viewer = self.auth.viewer_of_link(fingerprint, Scope.WRITE)

        def refuse_revoked(_: list[bytes]) -> None:
            self.auth.viewer_of_link(fingerprint, Scope.WRITE)

        length_bytes = content_length(request)
        if length_bytes is None:
            raise errors.InvalidValue("content-length: the length of the file has to be said", field="content-length")
        announced = request.headers.get(b"x-amz-checksum-sha256", b"").decode("latin-1")
        await asyncio.to_thread(self._set_length, upload_id, length_bytes)
        sha256 = await receive_file(self.uploads, upload_id, length_bytes, receive, refuse_revoked)
        upload = await asyncio.to_thread(self.uploads.find, None, upload_id)
        for expected in (
            sha256_of("x-amz-checksum-sha256", announced) if announced else None,
            upload.announced_sha256,
        ):
            if expected is not None and expected != sha256:
                raise errors.HashMismatch(expected, sha256)
        await asyncio.to_thread(self.uploads.complete, upload, length_bytes)
        headers = [(b"content-length", b"0"), (b"etag", b'"%s"' % sha256.encode()), *UNSTORED]
        await send_bytes(request, send, 200, headers)

    def _set_length(self, upload_id: str, length_bytes: int) -> None:
        self.uploads.set_length(self.uploads.find(None, upload_id), length_bytes)


async def receive_file(
    uploads: Uploads, upload_id: str, length_bytes: int, receive: Receive, check: Callable[[list[bytes]], None]
) -> str:
    """Write a body to the file of an upload as ``receive_bytes`` does, and return its SHA-256."""
    await receive_bytes(uploads, upload_id, length_bytes, receive, check)
    sha256 = uploads.incoming.sha256(upload_id, length_bytes)
    assert sha256 is not None, "a complete body has a digest"
    return sha256


async def receive_bytes(
    uploads: Uploads,
    upload_id: str,
    length_bytes: int,
    receive: Receive,
    check: Callable[[list[bytes]], None],
    *,
    is_hashed: bool = True,
) -> None:
    """Write a body to the file of an upload, and remove the bytes of an incomplete body.

    ``check`` gets each block before it is written, and may raise an error. The body is all of it: any node takes it.
    """
    partial = await asyncio.to_thread(uploads.incoming.open_anywhere, upload_id, is_whole=True)
    try:
        partial.restart(is_hashed=is_hashed)
        try:
            await append_body(partial, receive, check)
            if partial.size_bytes != length_bytes:
                raise Disconnected
        except BaseException:
            partial.restart()
            raise
        await asyncio.to_thread(partial.sync)
    finally:
        partial.close()


def sha256_of(field: str, text: str) -> str:
    """Return a SHA-256 as lower-case hexadecimal digits. S3 and the vendor send it in base64."""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise errors.InvalidValue(f"{field}: not the base64 of a SHA-256's 32 bytes", field=field, given=text[:64])
    return digest.hex()
