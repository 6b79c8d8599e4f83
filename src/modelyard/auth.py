"""API keys: the Authorization header → Viewer.

A key is ``sk_`` and 32 random bytes in URL-safe base64; with ``hf_`` instead of ``sk_`` it is the same key. The
database has only its SHA-256. ``Auth`` holds all keys in memory, by digest, and reads them again when any process
creates or revokes one: a revoked key is refused from the next request on, and no request queries the database. The same
holds for sessions that ended.

The fingerprint of a key is the beginning of its digest. Unlike the id, it never stands for another key: a restored
database gives ids again.
"""

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from modelyard import errors
from modelyard.domain import ANONYMOUS, Scope, Viewer
from modelyard.store import Key, Store, refuse_team_name

__all__ = ["Auth", "Key"]

NAME_CHARS_MAX = 60
PURPOSE_CHARS_MAX = 200
_KEY_BYTES = 32
# `Bearer`, spaces and a key are 54 characters. A longer header is refused without hashing it.
_HEADER_CHARS_MAX = 256
_KEY_PREFIX = "sk_"
_HUB_PREFIX = "hf_"
_HINT_CHARS = 7
_FINGERPRINT_CHARS = 16
# A century. Python cannot format dates after the year 9999.
_EXPIRES_IN_SECONDS_MAX = 100 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class ActiveKey:
    """A key that was neither revoked nor, at its last check, expired."""

    digest: bytes
    key_id: int
    viewer: Viewer
    # Unix time from which on the key is refused.
    ends_at: float


class Auth:
    """The API keys of a store. Threads may share it."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
        anonymous: Literal["none", "public"] = "none",
    ) -> None:
        self._store = store
        self._clock = clock
        self._anonymous = anonymous == "public"
        self._loading = threading.Lock()
        self._key_by_digest: dict[bytes, ActiveKey] = {}
        self._key_by_fingerprint: dict[str, ActiveKey] = {}
        self._ended_sessions: frozenset[str] = frozenset()
        self._revision = -1
        self._used_at: dict[int, int] = {}
        # With PostgreSQL the store calls when keys change, so that no request waits for the database.
        self._is_notified = store.subscribe(self._catch_up)

    def viewer_of(self, authorization: str | None) -> Viewer:
        """Return the viewer of an Authorization header: ``Bearer KEY`` or the bare key.

        Raises InvalidKey for an invalid key, and MissingKey for no key if anonymous access is off. Takes a few
        microseconds.
        """
        key = _key_of(authorization)
        if key is None:
            if self._anonymous:
                return ANONYMOUS
            raise errors.MissingKey
        return self._find(key).viewer

    def fingerprint_of(self, key: str) -> str:
        """Return the fingerprint of a valid key, for ``find``. Raises InvalidKey."""
        secret = _key_of(key)
        if secret is None:
            raise errors.InvalidKey
        return self._find(secret).viewer.key_fingerprint

    def find(self, fingerprint: str, session: str = "") -> ActiveKey:
        """Return a key by its fingerprint, for a caller who has shown the key before, and the id of their session.

        Raises InvalidKey if the key was revoked or has expired, or if the session ended.
        """
        self._refresh()
        key = self._key_by_fingerprint.get(fingerprint)
        now = self._clock()
        if key is None or now >= key.ends_at or session in self._ended_sessions:
            raise errors.InvalidKey
        self._used_at[key.key_id] = int(now)
        return key

    def viewer_of_link(self, fingerprint: str, scope: Scope) -> Viewer:
        """Return the viewer that a signed link was made for: that of a key, or of the public if there is no key.

        Raises LinkRevoked if the key has no access of this ``scope`` any more, or the public has none.
        """
        try:
            viewer = self.find(fingerprint).viewer if fingerprint else self.viewer_of(None)
        except errors.Unauthenticated:
            raise errors.LinkRevoked from None
        if not viewer.may(scope):
            raise errors.LinkRevoked
        return viewer

    def end_session(self, session: str, expires_at: int) -> None:
        """End a session on every worker of every node. Its cookie expires at ``expires_at``."""
        with self._store.transaction() as transaction:
            transaction.end_session(session, expires_at)

    def _find(self, secret: bytes) -> ActiveKey:
        self._refresh()
        digest = hashlib.sha256(secret).digest()
        key = self._key_by_digest.get(digest)
        now = self._clock()
        # The dictionary compares hashes of digests, whose timing reveals nothing of a key. The comparison that decides
        # takes the same time wherever two digests differ.
        if key is None or not hmac.compare_digest(key.digest, digest) or now >= key.ends_at:
            raise errors.InvalidKey
        self._used_at[key.key_id] = int(now)
        return key

    def create_key(
        self,
        team: str,
        scopes: Collection[Scope],
        expires_in_seconds: int | None = None,
        *,
        name: str = "",
        purpose: str = "",
    ) -> tuple[str, Key]:
        """Create a key, and its team if that is new. Return the key, which nobody can read later, and its record.

        ``name`` and ``purpose`` are for people, and may be empty.
        """
        refuse_team_name(team)
        name = _check_line("name", name, NAME_CHARS_MAX)
        purpose = _check_line("purpose", purpose, PURPOSE_CHARS_MAX)
        if not scopes:
            raise errors.InvalidValue("scopes: a key needs at least one", field="scopes", allowed=[*Scope])
        if expires_in_seconds is not None and not 0 < expires_in_seconds <= _EXPIRES_IN_SECONDS_MAX:
            raise errors.InvalidValue(
                f"expires_in_seconds: {expires_in_seconds} is not accepted; accepted: 1 to {_EXPIRES_IN_SECONDS_MAX}",
                field="expires_in_seconds",
                given=expires_in_seconds,
                allowed=f"1 to {_EXPIRES_IN_SECONDS_MAX}",
            )
        key = _KEY_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).rstrip(b"=").decode()
        expires_at = None if expires_in_seconds is None else int(self._clock()) + expires_in_seconds
        with self._store.transaction() as transaction:
            record = transaction.add_key(
                hashlib.sha256(key.encode()).digest(),
                team=team,
                scopes=frozenset(scopes),
                hint=key[:_HINT_CHARS] + "…",
                expires_at=expires_at,
                name=name,
                purpose=purpose,
            )
        return key, record

    def list_keys(self, team: str | None = None) -> list[Key]:
        """Return the keys of a team, or all keys, oldest first, with revoked and expired ones."""
        return [key for _, key in self._store.key_ring().keys if team is None or key.team == team]

    def revoke_key(self, hint_or_id: str) -> Key:
        """Revoke a key by its id, the key itself, or a beginning (``sk_ab``, ``sk_abcd…``), and return its record.

        Raises NotFound if there is none, AmbiguousKey if the beginning fits several. Revoking twice changes nothing.
        """
        key = self._record_of(hint_or_id.strip())
        with self._store.transaction() as transaction:
            revoked = transaction.revoke_key(key.id)
        if revoked is None:
            raise errors.NotFound(f"no key {key.hint!r}", key=key.hint)
        return revoked

    def flush_last_used(self) -> None:
        """Store when keys were last used, in one transaction. Call it about once a minute, and at the end."""
        used_at, self._used_at = self._used_at, {}
        if not used_at:
            return
        try:
            with self._store.transaction() as transaction:
                transaction.touch_keys(used_at)
        except errors.Unavailable:
            # The next call stores them. Times noted meanwhile are newer.
            self._used_at = used_at | self._used_at
            raise

    def _record_of(self, hint_or_id: str) -> Key:
        ring = self._store.key_ring().keys
        digest = hashlib.sha256(hint_or_id.encode(errors="replace")).digest()
        beginning = hint_or_id.rstrip("….")
        matches = [key for stored, key in ring if str(key.id) == hint_or_id or stored == digest]
        if not matches and len(beginning) > len(_KEY_PREFIX):
            matches = [key for _, key in ring if key.hint.rstrip("…").startswith(beginning)]
        if not matches:
            shown = hint_or_id[:_HINT_CHARS]
            raise errors.NotFound(
                f"no key {shown!r}; accepted: an id, the beginning that `modelyard key list` shows "
                f"({len(_KEY_PREFIX) + 1} to {_HINT_CHARS} characters), or the whole key",
                key=shown,
            )
        if len(matches) > 1:
            raise errors.AmbiguousKey(beginning, [key.id for key in matches])
        return matches[0]

    def load(self) -> None:
        """Read the keys now, so that requests can be answered even if the database goes away right after."""
        self._refresh()

    def _refresh(self) -> None:
        """Read the keys again if they changed. While the database does not answer, the keys in memory count."""
        if self._store.keys_hint() > self._revision and not (self._is_notified and self._revision >= 0):
            try:
                self._load()
            except errors.Unavailable:
                if self._revision < 0:
                    raise

    def _catch_up(self) -> bool:
        if self._revision >= 0 and self._store.keys_hint() > self._revision:
            self._load()
        return True

    def _load(self) -> None:
        with self._loading:
            if self._store.keys_hint() <= self._revision:
                return  # another thread has read them meanwhile
            ring = self._store.key_ring()
            self._key_by_digest = {
                digest: ActiveKey(
                    digest,
                    key.id,
                    Viewer(key.team, key.scopes, digest.hex()[:_FINGERPRINT_CHARS]),
                    float("inf") if key.expires_at is None else key.expires_at,
                )
                for digest, key in ring.keys
                if key.revoked_at is None
            }
            self._key_by_fingerprint = {key.viewer.key_fingerprint: key for key in self._key_by_digest.values()}
            self._ended_sessions = ring.ended_sessions
            self._revision = ring.revision


def _check_line(field: str, text: str, chars_max: int) -> str:
    """Return a text without surrounding spaces. Raises InvalidValue unless it is one short line."""
    text = text.strip()
    if not text.isprintable() or len(text) > chars_max:
        allowed = f"up to {chars_max} characters in one line"
        raise errors.InvalidValue(
            f"{field}: {text[:64]!r} is not accepted; accepted: {allowed}",
            field=field,
            given=text[:64],
            allowed=allowed,
        )
    return text


def _key_of(authorization: str | None) -> bytes | None:
    """Return the key in a header; None if it has none. Raises InvalidKey for a value that cannot be a key."""
    if authorization is None:
        return None
    if len(authorization) > _HEADER_CHARS_MAX or not authorization.isascii():
        raise errors.InvalidKey
    words = authorization.split()
    if words and words[0].lower() == "bearer":
        words = words[1:]
    if not words:
        return None
    if len(words) > 1:
        raise errors.InvalidKey
    word = words[0]
    # JavaScript's client of the Hugging Face Hub refuses keys with another beginning.
    return (_KEY_PREFIX + word.removeprefix(_HUB_PREFIX) if word.startswith(_HUB_PREFIX) else word).encode()
