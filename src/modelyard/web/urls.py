"""What links in our answers are made of: the address that this server is reached by, and the key that signs them."""

import re
from dataclasses import dataclass

from modelyard.signing import SecretKey, Signer, fresh_secret
from modelyard.store import Store, signing_keys
from modelyard.web.requests import Exchange

_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")


@dataclass(frozen=True, slots=True)
class Addresses:
    """How this server is reached: empty as each request was addressed; and what nginx before it calls the blobs."""

    public_url: str = ""
    accel_prefix: str = ""

    def base_of(self, exchange: Exchange) -> str:
        """Return what links in the answer to a request begin with."""
        if self.public_url:
            return self.public_url
        host = exchange.headers.get(b"host", b"")
        if not _HOST.fullmatch(host):
            server = exchange.scope.get("server") or ("localhost", None)
            host = f"{server[0]}:{server[1]}".encode() if server[1] else server[0].encode()
        return f"{exchange.scope['scheme']}://{host.decode()}"


def open_signer(store: Store) -> Signer:
    """Return what signs and checks links; the first one to come makes the first key."""

    def read() -> list[SecretKey]:
        with store.reading() as connection:
            keys = signing_keys.signing_keys(connection)
        return [SecretKey(key.id, key.secret, key.ends_at) for key in keys]

    if not read():
        with store.transaction() as writing:
            if not signing_keys.signing_keys(writing.connection):
                signing_keys.add_signing_key(writing.connection, fresh_secret(), writing.now, others_end_at=writing.now)
    return Signer(read)
