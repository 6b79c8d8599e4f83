"""Signed links: who has one may fetch one file, or send one, until a time. Nothing is asked of a database to check one.

    /files/<sha256>/<label>?key=<id>&expires=<unix time>&signature=<…>

The signature is HMAC-SHA-256 over purpose, subject, label and time, cut to 128 bits, in URL-safe base64. The time is
rounded up to the hour, so that the same link is made all hour long and what caches and interrupted downloads know of
it stays true. A key that was replaced goes on checking until what it signed has expired.
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
# How often an unknown key makes the others be read again: forged links must not become questions to the database.
_READ_AGAIN_SECONDS = 1.0
_CACHED_LINKS = 20_000


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A secret by its id. ``ends_at`` is None for one that still signs."""

    id: int
    secret: bytes
    ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What a link says of itself, as text."""

    key: str
    expires: str
    signature: str


def fresh_secret() -> bytes:
    """Return a secret that nobody can guess."""
    return secrets.token_bytes(SECRET_BYTES)


class Signer:
    """Signs and checks links. Threads may share it. ``read`` gives the keys, oldest first; the newest one signs."""

    def __init__(self, read: Callable[[], Sequence[SecretKey]], *, clock: Callable[[], float] = time.time) -> None:
        self._read = read
        self._clock = clock
        self._keys = {key.id: key for key in read()}
        self._read_at = clock()
        self._sign = lru_cache(maxsize=_CACHED_LINKS)(self._signed)

    def refresh(self) -> None:
        """Read the keys again; to be called now and then, so that a key that was replaced stops signing here."""
        self._keys = {key.id: key for key in self._read()}
        self._read_at = self._clock()

    def expiry(self, ttl_seconds: int) -> int:
        """Return until when a link made now is good: ``ttl_seconds`` at least, rounded up so that it repeats."""
        step = min(ROUND_SECONDS, ttl_seconds)
        return (math.floor(self._clock()) // step + 1) * step + ttl_seconds

    def query(self, purpose: str, subject: str, label: str, expires_at: int) -> str:
        """Return the query string that lets its bearer do ``purpose`` with ``subject``, under ``label``, until then."""
        newest = max(self._keys)
        return f"key={newest}&expires={expires_at}&signature={self._sign(newest, purpose, subject, label, expires_at)}"

    def check(self, purpose: str, subject: str, label: str, given: Signature) -> int:
        """Return until when a link is good.

        Raises InvalidSignature for one we did not make so, LinkExpired after its time.

        The signature is compared first, in a time that tells nothing: only our own links are told that they expired.
        """
        if not (_is_number(given.key) and _is_number(given.expires)):
            raise errors.InvalidSignature
        key_id, expires_at = int(given.key), int(given.expires)
        key = self._key(key_id)
        if key is None:
            raise errors.InvalidSignature
        expected = _text_of(_mac(key.secret, purpose, subject, label, expires_at))
        # As text: base64 has several texts for the same bytes, and only one of them is ours.
        if not hmac.compare_digest(expected.encode(), given.signature.encode(errors="replace")):
            raise errors.InvalidSignature
        ends_at = expires_at if key.ends_at is None else min(expires_at, key.ends_at)
        if self._clock() >= ends_at:
            raise errors.LinkExpired(ends_at)
        return ends_at

    def _key(self, key_id: int) -> SecretKey | None:
        key = self._keys.get(key_id)
        if key is None and self._clock() >= self._read_at + _READ_AGAIN_SECONDS:
            # Another process may have made it a moment ago.
            self.refresh()
            key = self._keys.get(key_id)
        return key

    def _signed(self, key_id: int, purpose: str, subject: str, label: str, expires_at: int) -> str:
        return _text_of(_mac(self._keys[key_id].secret, purpose, subject, label, expires_at))


def _mac(secret: bytes, purpose: str, subject: str, label: str, expires_at: int) -> bytes:
    # A line feed divides: none of the first two can hold one, and the label comes last.
    message = f"{purpose}\n{subject}\n{expires_at}\n{label}".encode()
    return hmac.digest(secret, message, hashlib.sha256)[:_SIGNATURE_BYTES]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _text_of(mac: bytes) -> str:
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
