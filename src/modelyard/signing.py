"""Signed links: the bearer may download or upload one file until the link expires. Checking one needs no database.

    /files/<sha256>/<label>?key=<id>&expires=<unix time>&signature=<…>

The signature is HMAC-SHA-256 over purpose, subject, label and time, cut to 128 bits, in URL-safe base64. The signer
rounds the time up to the hour, so that a link stays the same for an hour and caches and interrupted downloads can reuse
it. The signer accepts links of a replaced key until they expire.
"""

import base64
import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from modelyard import errors

SECRET_BYTES = 32
_SIGNATURE_BYTES = 16
ROUND_SECONDS = 3600
# An unknown key id makes the signer read the keys again at most this often, so that forged links cause few queries.
_READ_AGAIN_SECONDS = 1.0
_CACHED_LINKS = 20_000


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A secret and its id. ``ends_at`` is None for one that still signs."""

    id: int
    secret: bytes
    ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """The query parameters of a signed link, as text."""

    key: str
    expires: str
    signature: str


def fresh_secret() -> bytes:
    """Return a secret that nobody can guess."""
    return secrets.token_bytes(SECRET_BYTES)


class Signer:
    """Signs and checks links. Threads may share it. ``read_keys`` returns the keys, oldest first; the newest signs."""

    def __init__(self, read_keys: Callable[[], Sequence[SecretKey]], *, clock: Callable[[], float] = time.time) -> None:
        self._read = read_keys
        self.clock = clock
        self._keys = {key.id: key for key in read_keys()}
        self._read_at = clock()
        self._sign = lru_cache(maxsize=_CACHED_LINKS)(self._signed)

    def refresh(self) -> None:
        """Read the keys again. The server calls this now and then, so that a replaced key stops signing."""
        self._keys = {key.id: key for key in self._read()}
        self._read_at = self.clock()

    def expiry(self, ttl_seconds: int) -> int:
        """Return when a link made now expires: after ``ttl_seconds`` at least, rounded up so that links repeat."""
        step = min(ROUND_SECONDS, ttl_seconds)
        return (math.floor(self.clock()) // step + 1) * step + ttl_seconds

    def query(self, purpose: str, subject: str, label: str, expires_at: int) -> str:
        """Return the query string that lets its bearer do ``purpose`` with ``subject``, under ``label``, until then."""
        newest = max(self._keys)
        return f"key={newest}&expires={expires_at}&signature={self._sign(newest, purpose, subject, label, expires_at)}"

    def check(self, purpose: str, subject: str, label: str, signature: Signature) -> int:
        """Return when a link expires.

        Raises InvalidSignature for a link that this signer did not make, LinkExpired for one that has expired.

        It compares the signature first, in constant time, so that only bearers of our links learn that one expired.
        """
        if not (_is_number(signature.key) and _is_number(signature.expires)):
            raise errors.InvalidSignature
        key_id, expires_at = int(signature.key), int(signature.expires)
        key = self._key(key_id)
        if key is None:
            raise errors.InvalidSignature
        expected = _text_of(_mac(key.secret, purpose, subject, label, expires_at))
        # Compare text: base64 has several texts for the same bytes, and the signer makes only one of them.
        if not hmac.compare_digest(expected.encode(), signature.signature.encode(errors="replace")):
            raise errors.InvalidSignature
        ends_at = expires_at if key.ends_at is None else min(expires_at, key.ends_at)
        if self.clock() >= ends_at:
            raise errors.LinkExpired(ends_at)
        return ends_at

    def _key(self, key_id: int) -> SecretKey | None:
        key = self._keys.get(key_id)
        if key is None and self.clock() >= self._read_at + _READ_AGAIN_SECONDS:
            # Another process may have added the key a moment ago.
            self.refresh()
            key = self._keys.get(key_id)
        return key

    def _signed(self, key_id: int, purpose: str, subject: str, label: str, expires_at: int) -> str:
        return _text_of(_mac(self._keys[key_id].secret, purpose, subject, label, expires_at))


def _mac(secret: bytes, purpose: str, subject: str, label: str, expires_at: int) -> bytes:
    # Line feeds separate the fields: the first two cannot hold one, and the label comes last.
    message = f"{purpose}\n{subject}\n{expires_at}\n{label}".encode()
    return hmac.digest(secret, message, hashlib.sha256)[:_SIGNATURE_BYTES]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _text_of(mac: bytes) -> str:
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
