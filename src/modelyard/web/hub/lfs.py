"""Git LFS, as clients of the Hugging Face Hub use it: which files are missing, and where to put them.

POST …/info/lfs/objects/batch   for each file an address to put it to, or none if the team has it
PUT  /hf/lfs/{upload}           the bytes of a file, or of a part of one; the signed address is the permission
POST /hf/lfs/{token}/complete   the parts of a file are here; signed likewise
POST …/info/lfs/verify          whether a file has arrived
"""

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Send

from modelyard import errors
from modelyard.auth import Auth
from modelyard.domain import Scope, Viewer
from modelyard.registry.repositories import OwnedRepositories
from modelyard.signing import Signature, Signer
from modelyard.store.uploads import Upload
from modelyard.uploads.assembly import derive_upload_id
from modelyard.uploads.commits import CommitUploads
from modelyard.web.api.presigned_uploads import receive_file
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import chunks, content_length, decode_json, read_small
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response, send_bytes
from modelyard.web.urls import BaseOf

PREFIX = "/hf/lfs/"
_MEDIA_TYPE = b"application/vnd.git-lfs+json"
_PUT, _COMPLETE = "hub put", "hub complete"
# JavaScript's client has a spelling of its own.
_HASH_ALGORITHMS = ("sha256", "sha_256")
# Larger files come in parts, so that a broken connection costs one part. A signed address and a row a part.
PART_BYTES, _PARTS_MAX = 512 << 20, 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
_encode = msgspec.json.Encoder().encode


class LfsObject(msgspec.Struct, frozen=True):
    """A file by its SHA-256."""

    oid: str
    size: int

    def __post_init__(self) -> None:
        """Refuse what is no SHA-256 or no size."""
        if not _SHA256.fullmatch(self.oid) or self.size < 0:
            raise ValueError("accepted: an oid of 64 hexadecimal digits, and a size")


class Batch(msgspec.Struct, frozen=True):
    """The request of a batch."""

    objects: list[LfsObject]
    operation: str = "upload"
    transfers: tuple[str, ...] = ("basic",)
    hash_algo: str = "sha256"


@dataclass(frozen=True, slots=True)
class LfsHandler:
    """The handlers of the four requests."""

    commit_uploads: CommitUploads
    repositories: OwnedRepositories
    auth: Auth
    signer: Signer
    caller_of: ViewerOf
    base_of: BaseOf

    def batch(self, request: Request, body: bytes) -> Response:
        """Return where to put each file."""
        viewer = self.caller_of(request)
        parameters = request.path_parameters
        self.repositories.find(viewer, parameters["namespace"], parameters["name"])
        batch = decode_json(body, Batch)
        if batch.operation != "upload" or batch.hash_algo not in _HASH_ALGORITHMS:
            raise errors.InvalidValue("accepted: the operation upload, and the hash_algo sha256")
        self.commit_uploads.refuse_many(viewer, [item.oid for item in batch.objects])
        is_multipart = "multipart" in batch.transfers and any(item.size > PART_BYTES for item in batch.objects)
        verify = f"{self.base_of(request)}/hf/{parameters['namespace']}/{parameters['name']}.git/info/lfs/verify"
        objects = [self._describe(request, viewer, item, verify, is_multipart=is_multipart) for item in batch.objects]
        answer = {"transfer": "multipart" if is_multipart else "basic", "objects": objects}
        return Response(_encode(answer), media_type=_MEDIA_TYPE, caching=UNSTORED)

    def _describe(
        self, request: Request, viewer: Viewer, item: LfsObject, verify: str, *, is_multipart: bool
    ) -> dict[str, object]:
        answer: dict[str, object] = {"oid": item.oid, "size": item.size, "authenticated": True}
        if self.commit_uploads.has(viewer, item.oid):
            return answer
        if is_multipart and item.size > PART_BYTES:
            upload = self._parts(request, viewer, item)
        else:
            opened = self.commit_uploads.open_file(viewer, item.oid, item.size)
            upload = {"href": self._put_url(request, viewer, opened), "header": {}}
        return answer | {"actions": {"upload": upload, "verify": {"href": verify, "header": {}}}}

    def _parts(self, request: Request, viewer: Viewer, item: LfsObject) -> dict[str, object]:
        part_bytes = max(PART_BYTES, -(-item.size // _PARTS_MAX))
        sizes = [min(part_bytes, item.size - start) for start in range(0, item.size, part_bytes)]
        token = derive_upload_id("parts", viewer.team or "", item.oid, str(part_bytes))
        parts = self.commit_uploads.open_parts(viewer, token, sizes)
        urls = {f"{number:05}": self._put_url(request, viewer, part) for number, part in enumerate(parts, 1)}
        subject = f"{token} {item.oid} {len(parts)} {viewer.key_fingerprint}"
        query = self.signer.query(_COMPLETE, subject, "", self._expiry())
        href = (
            f"{self.base_of(request)}{PREFIX}{token}/complete"
            f"?for={viewer.key_fingerprint}&oid={item.oid}&parts={len(parts)}&{query}"
        )
        return {"href": href, "header": {"chunk_size": str(part_bytes), **urls}}

    def _put_url(self, request: Request, viewer: Viewer, upload: Upload) -> str:
        query = self.signer.query(_PUT, f"{upload.id} {viewer.key_fingerprint}", "", self._expiry())
        return f"{self.base_of(request)}{PREFIX}{upload.id}?for={viewer.key_fingerprint}&{query}"

    def _expiry(self) -> int:
        return self.signer.expiry(self.commit_uploads.uploads.limits.expires_in_seconds)

    async def put(self, request: Request, receive: Receive, send: Send) -> None:
        """Receive a file, or a part of one. A second request for the same one has no effect."""
        upload_id = request.path_parameters["upload"]
        query = _read_query(request)
        self.signer.check(_PUT, f"{upload_id} {query['for']}", "", _signature_of(query))
        request.viewer = self.auth.viewer_of_link(query["for"], Scope.WRITE)
        uploads = self.commit_uploads.uploads
        upload = await asyncio.to_thread(uploads.find, request.viewer.team, upload_id)
        if upload.received_at is not None:
            async for _ in chunks(receive):
                pass
            sha256 = upload.sha256 or upload.announced_sha256 or upload.id
        else:
            sha256 = await self._receive(request, receive, upload, query["for"])
        headers = [(b"content-length", b"0"), (b"etag", b'"%s"' % sha256.encode()), *UNSTORED]
        await send_bytes(request, send, 200, headers)

    async def _receive(self, request: Request, receive: Receive, upload: Upload, fingerprint: str) -> str:
        length_bytes = upload.length_bytes or 0
        if content_length(request) != length_bytes:
            raise errors.InvalidValue(
                f"content-length: accepted: {length_bytes}, the size of the file or part", field="content-length"
            )

        def refuse_revoked(_: list[bytes]) -> None:
            self.auth.viewer_of_link(fingerprint, Scope.WRITE)

        uploads = self.commit_uploads.uploads
        sha256 = await receive_file(uploads, upload.id, length_bytes, receive, refuse_revoked)
        if upload.announced_sha256 is not None and upload.announced_sha256 != sha256:
            raise errors.HashMismatch(upload.announced_sha256, sha256)
        await asyncio.to_thread(uploads.complete, upload, length_bytes)
        return sha256

    async def complete(self, request: Request, receive: Receive, send: Send) -> None:
        """Make a file of its parts."""
        token = request.path_parameters["upload"]
        query = _read_query(request)
        subject = f"{token} {query['oid']} {query['parts']} {query['for']}"
        self.signer.check(_COMPLETE, subject, "", _signature_of(query))
        request.viewer = viewer = self.auth.viewer_of_link(query["for"], Scope.WRITE)
        await read_small(request, receive)
        count = int(query["parts"])
        await asyncio.to_thread(self.commit_uploads.join_parts, viewer, token, count, query["oid"])
        body = b"{}"
        headers = [(b"content-type", _MEDIA_TYPE), (b"content-length", b"%d" % len(body)), *UNSTORED]
        await send_bytes(request, send, 200, headers, body)

    def verify(self, request: Request, body: bytes) -> Response:
        """Say whether a file has arrived. Raises InvalidValue if it has not."""
        viewer = self.caller_of(request)
        self.repositories.find(viewer, request.path_parameters["namespace"], request.path_parameters["name"])
        item = decode_json(body, LfsObject)
        if not self.commit_uploads.has(viewer, item.oid):
            raise errors.InvalidValue(f"oid: the file {item.oid} has not arrived", field="oid")
        return Response(b"{}", media_type=_MEDIA_TYPE, caching=UNSTORED)


def _read_query(request: Request) -> dict[str, str]:
    query = parse_qs(request.query_string[:1024].decode("latin-1"))
    return {name: query.get(name, [""])[0] for name in ("for", "oid", "parts", "key", "expires", "signature")}


def _signature_of(query: dict[str, str]) -> Signature:
    return Signature(query["key"], query["expires"], query["signature"])
