"""A provider of identities that answers wrongly as a test wants; what a right one does is tested with a real one."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwk, jwt

CLIENT_ID, SECRET = "modelyard", "a-secret-of-tests"


@dataclass
class Provider:
    """``token`` makes an ID token of claims; ``metadata``, ``claims`` and ``answer`` replace what a right one sends."""

    url: str = ""
    key: Any = field(default_factory=lambda: jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    metadata: dict[str, object] = field(default_factory=dict)
    claims: dict[str, object] = field(default_factory=dict)
    token_status: int = 200
    token: str = ""
    nonce: str = ""
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return {"issuer": self.url, **{name: f"{self.url}/{path}" for name, path in names.items()}} | self.metadata

    def all_claims(self) -> dict[str, object]:
        now = int(time.time())
        own = {"iss": self.url, "aud": CLIENT_ID, "sub": "7", "iat": now, "exp": now + 60, "nonce": self.nonce}
        merged = own | {"preferred_username": "anna", "groups": ["artists"]} | self.claims
        return {name: value for name, value in merged.items() if value is not None}

    def sign(self, algorithm: str = "RS256", key: Any = None) -> str:
        return jwt.encode({"alg": algorithm, "kid": "one"}, self.all_claims(), key or self.key, [algorithm])

    def unsigned(self) -> str:
        parts = (json.dumps(part).encode() for part in ({"alg": "none", "kid": "one"}, self.all_claims()))
        return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."

    def answer(self, path: str) -> tuple[int, object]:
        if path == "/.well-known/openid-configuration":
            return 200, self.document()
        if path == "/keys":
            return 200, {"keys": [self.key.as_dict(private=False)]}
        if path == "/token":
            if self.token_status != 200:
                return self.token_status, {"error": "invalid_grant"}
            return 200, {"id_token": self.token or self.sign(), "access_token": "at", "token_type": "Bearer"}
        return 404, {}


@contextmanager
def serving() -> Iterator[Provider]:
    """Serve a provider on a port of its own."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.respond()

        def do_POST(self) -> None:
            self.respond()

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            provider.paths.append(self.path)
            if body:
                provider.forms.append(parse_qs(body.decode()))
                provider.authorizations.append(self.headers.get("Authorization", ""))
            status, document = provider.answer(self.path)
            text = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
