"""The part of a xet store that clients write to. They send xorbs, then a shard, then the commit (commits.py).

    GET  …/xet-write-token/{revision}        a token for one repository, for an hour, and where to send to
    GET  {cas}/v1/chunks/default/{hash}      404: the client sends every chunk
    POST {cas}/v1/xorb-grants/default/{hash} 404: the client sends xorbs to this server
    POST {cas}/v1/xorbs/default/{hash}       a xorb
    POST {cas}/v2/shards, {cas}/v1/shards    which chunks make which files

The token is signed, so that it needs no row; the key that it was made for has to be valid. Clients remember for weeks
which chunks a store has, by its address, also chunks that it refused. So each token has another address.
"""

import asyncio
import secrets
from dataclasses import dataclass

import msgspec
from starlette.types import Receive, Send

from modelyard import errors
from modelyard import xet as formats
from modelyard.auth import Auth
from modelyard.domain import Scope, Viewer
from modelyard.registry.repositories import OwnedRepositories
from modelyard.signing import Signature, Signer
from modelyard.store.uploads import Upload
from modelyard.uploads.commits import CommitUploads
from modelyard.web.api.presigned_uploads import receive_bytes
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import chunks, content_length
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response, send_bytes
from modelyard.web.urls import BaseOf

PREFIX = "/hf/cas/"
_PURPOSE = "xet"
_TOKEN_SECONDS = 3600
_TOKEN_CHARS_MAX = 512
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class XetHandler:
    """The handlers of the requests."""

    commit_uploads: CommitUploads
    repositories: OwnedRepositories
    auth: Auth
    signer: Signer
    caller_of: ViewerOf
    base_of: BaseOf

    def get_token(self, request: Request) -> Response:
        """Return a token that lets its bearer send chunks for one repository."""
        viewer = self.caller_of(request)
        namespace, name = request.path_parameters["namespace"], request.path_parameters["name"]
        repository = self.repositories.find(viewer, namespace, name)
        expires_at = self.signer.expiry(_TOKEN_SECONDS)
        scope = f"{viewer.key_fingerprint}.{repository.id}"
        query = self.signer.query(_PURPOSE, scope, "", expires_at)
        token = ".".join([scope, *(pair.partition("=")[2] for pair in query.split("&"))])
        url = f"{self.base_of(request)}{PREFIX}{secrets.token_hex(8)}"
        headers = (
            (b"x-xet-cas-url", url.encode()),
            (b"x-xet-token-expiration", b"%d" % expires_at),
            (b"x-xet-access-token", token.encode()),
        )
        body = _encode({"casUrl": url, "exp": expires_at, "accessToken": token})
        return Response(body, headers=headers, caching=UNSTORED)

    def _viewer_of_token(self, request: Request) -> Viewer:
        """Return the viewer of a token. Raises InvalidKey, InvalidSignature, LinkExpired or LinkRevoked."""
        token = request.headers.get(b"authorization", b"")[:_TOKEN_CHARS_MAX].decode("latin-1")
        parts = token.removeprefix("Bearer ").split(".")
        if len(parts) != 5:
            raise errors.InvalidKey
        self.signer.check(_PURPOSE, ".".join(parts[:2]), "", Signature(*parts[2:]))
        request.viewer = viewer = self.auth.viewer_of_link(parts[0], Scope.WRITE)
        return viewer

    async def refuse(self, request: Request, _receive: Receive, _send: Send) -> None:
        """Answer that no chunk is known, and that no other server takes xorbs."""
        self._viewer_of_token(request)
        raise errors.NotFound("not here; send the whole xorb to /v1/xorbs")

    async def put_xorb(self, request: Request, receive: Receive, send: Send) -> None:
        """Receive a xorb. A xorb that is here already stays as it is."""
        viewer = self._viewer_of_token(request)
        length_bytes = content_length(request)
        if not length_bytes:
            raise errors.InvalidValue("content-length: accepted: the size of the xorb", field="content-length")
        xorb = request.path_parameters["sha256"]
        upload = await asyncio.to_thread(self.commit_uploads.open_xorb, viewer, xorb, length_bytes)
        is_new = upload.received_at is None
        if is_new:
            await self._receive(receive, viewer, upload, length_bytes)
        else:
            async for _ in chunks(receive):
                pass
        await _send_json(request, send, b'{"was_inserted":%s}' % (b"true" if is_new else b"false"))

    async def _receive(self, receive: Receive, viewer: Viewer, upload: Upload, length_bytes: int) -> None:
        def refuse_revoked(_: list[bytes]) -> None:
            self.auth.viewer_of_link(viewer.key_fingerprint, Scope.WRITE)

        uploads = self.commit_uploads.uploads
        # Nobody needs the SHA-256 of a xorb. The files that are made of its chunks are hashed.
        await receive_bytes(uploads, upload.id, length_bytes, receive, refuse_revoked, is_hashed=False)

        def complete() -> None:
            with uploads.incoming.open(upload.id) as partial:
                formats.read_chunks(partial.descriptor)
            uploads.complete(upload, length_bytes)

        await asyncio.to_thread(complete)

    async def put_shard(self, request: Request, receive: Receive, send: Send) -> None:
        """Receive a shard. Its files are assembled and verified in the verifier's process."""
        viewer = self._viewer_of_token(request)
        limit = formats.SHARD_BYTES_MAX
        if (content_length(request) or 0) > limit:
            raise errors.TooLarge("the shard", limit)
        section = formats.FileSection()
        size_bytes = 0
        async for chunk in chunks(receive):
            size_bytes += len(chunk)
            if size_bytes > limit:
                raise errors.TooLarge("the shard", limit)
            section.feed(chunk)
        for file in section.files():
            await asyncio.to_thread(self.commit_uploads.add_file, viewer, file)
        is_stream = request.path.endswith("/v2/shards")
        await _send_json(request, send, b'{"type":"result","result":1}\n' if is_stream else b'{"result":1}')


async def _send_json(request: Request, send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *UNSTORED]
    await send_bytes(request, send, 200, headers, body)
