"""The parts of the URLs in responses: the address of this server, and the key that signs download links."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from modelyard.signing import SecretKey, Signer, fresh_secret
from modelyard.store import Store, signing_keys
from modelyard.web.requests import Request

LinkFor = Callable[[str, str], str]
LinksFor = Callable[[Request], LinkFor]
BaseOf = Callable[[Request], str]
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")


@dataclass(frozen=True, slots=True)
class UrlBuilder:
    """The address of this server. If ``public_url`` is empty, it is the one that the client used."""

    public_url: str = ""

    def base_of(self, request: Request) -> str:
        """Return the beginning of all URLs in the response to a request."""
        if self.public_url:
            return self.public_url
        host = request.headers.get(b"host", b"")
        if not _HOST.fullmatch(host):
            server = request.scope.get("server") or ("localhost", None)
            host = f"{server[0]}:{server[1]}".encode() if server[1] else server[0].encode()
        return f"{request.scope['scheme']}://{host.decode()}"

    def address_of(self, request: Request) -> str:
        """Return the beginning of URLs for other servers: never what a caller says in the header Host."""
        if self.public_url:
            return self.public_url
        host, port = request.scope.get("server") or ("localhost", None)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{port}" if port else f"http://{host}"


def open_signer(store: Store) -> Signer:
    """Return the signer of links. The first process to start makes the first key."""

    def read_keys() -> list[SecretKey]:
        with store.reading() as connection:
            keys = signing_keys.signing_keys(connection)
        return [SecretKey(key.id, key.secret, key.ends_at) for key in keys]

    if not read_keys():
        with store.transaction() as transaction:
            if not signing_keys.signing_keys(transaction.connection):
                signing_keys.add_signing_key(
                    transaction.connection, fresh_secret(), transaction.now, others_end_at=transaction.now
                )
    return Signer(read_keys, clock=store.now)
