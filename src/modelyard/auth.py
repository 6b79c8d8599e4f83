"""Who is calling: the Authorization header → Viewer; API keys and teams.

A key is ``sk_`` and 32 random bytes in URL-safe base64. Only its SHA-256 is kept. All keys are held in memory, by
digest, and read again when the store says that one was made or revoked, by whichever process: a revoked key stops with
the next request, and no request asks the database.
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

_KEY_BYTES = 32
# `Bearer`, spaces and a key are 54 characters. What is longer is no key, and is not hashed to find out.
_HEADER_CHARS_MAX = 256
_HINT_CHARS = 7
# Ten thousand years: beyond it dates cannot be shown.
_EXPIRES_IN_SECONDS_MAX = 10_000 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class _Known:
    digest: bytes
    key_id: int
    viewer: Viewer
    # Unix time from which on it is refused.
    ends_at: float


class Auth:
    """The keys of a store, ready to be looked up. Threads may share it."""

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
        self._known: dict[bytes, _Known] = {}
        self._known_by_id: dict[int, _Known] = {}
        self._revision = -1
        self._used_at: dict[int, int] = {}
        # Where the database is far, no caller waits for it.
        self._is_told = store.subscribe(self._catch_up)

    def viewer_of(self, authorization: str | None) -> Viewer:
        """Return who a request's Authorization header speaks for: ``Bearer KEY`` or the bare key.

        Raises InvalidKey for a key that is not good, whatever strangers may see, and MissingKey for none where
        strangers may see nothing. A few microseconds.
        """
        key = _key_of(authorization)
        if key is None:
            if self._anonymous:
                return ANONYMOUS
            raise errors.MissingKey
        return self._find(key).viewer

    def id_of(self, key: str) -> int:
        """Return the id of a key that is good now, as ``viewer_of_id`` takes it. Raises InvalidKey."""
        found = _key_of(key)
        if found is None:
            raise errors.InvalidKey
        return self._find(found).key_id

    def viewer_of_id(self, key_id: int) -> Viewer:
        """Return who a key speaks for, found by its id: it has been shown before. Raises InvalidKey."""
        self._refresh()
        known = self._known_by_id.get(key_id)
        now = self._clock()
        if known is None or now >= known.ends_at:
            raise errors.InvalidKey
        self._used_at[key_id] = int(now)
        return known.viewer

    def _find(self, key: bytes) -> _Known:
        self._refresh()
        digest = hashlib.sha256(key).digest()
        known = self._known.get(digest)
        now = self._clock()
        # The dictionary finds by a hash of the digest, which tells nothing of the key; the comparison that decides
        # takes the same time wherever two digests differ.
        if known is None or not hmac.compare_digest(known.digest, digest) or now >= known.ends_at:
            raise errors.InvalidKey
        self._used_at[known.key_id] = int(now)
        return known

    def create_key(
        self, team: str, scopes: Collection[Scope], expires_in_seconds: int | None = None
    ) -> tuple[str, Key]:
        """Make a key, and its team if that is new; return the key, which is shown only now, and its record."""
        refuse_team_name(team)
        if not scopes:
            raise errors.InvalidValue("scopes: a key needs at least one", field="scopes", allowed=[*Scope])
        if expires_in_seconds is not None and not 0 < expires_in_seconds <= _EXPIRES_IN_SECONDS_MAX:
            raise errors.InvalidValue(
                f"expires_in_seconds: {expires_in_seconds} is not accepted; accepted: 1 to {_EXPIRES_IN_SECONDS_MAX}",
                field="expires_in_seconds",
                given=expires_in_seconds,
                allowed=f"1 to {_EXPIRES_IN_SECONDS_MAX}",
            )
        key = "sk_" + base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).rstrip(b"=").decode()
        expires_at = None if expires_in_seconds is None else int(self._clock()) + expires_in_seconds
        with self._store.transaction() as writing:
            record = writing.add_key(
                hashlib.sha256(key.encode()).digest(),
                team=team,
                scopes=frozenset(scopes),
                hint=key[:_HINT_CHARS] + "…",
                expires_at=expires_at,
            )
        return key, record

    def list_keys(self, team: str | None = None) -> list[Key]:
        """Return the keys of a team, or all, oldest first, those revoked and expired included."""
        return [key for _, key in self._store.key_ring().keys if team is None or key.team == team]

    def revoke_key(self, hint_or_id: str) -> Key:
        """Revoke the key that is meant by its id, its beginning (``sk_abcd…``) or the whole of it, and return it.

        NotFound if there is none, Conflict if the beginning fits several. Revoking twice changes nothing.
        """
        key = self._meant(hint_or_id.strip())
        with self._store.transaction() as writing:
            revoked = writing.revoke_key(key.id)
        if revoked is None:
            raise errors.NotFound(f"no key {key.hint!r}", key=key.hint)
        return revoked

    def flush_last_used(self) -> None:
        """Write down when keys were last used, in one transaction; to be called every minute or so, and at the end."""
        used_at, self._used_at = self._used_at, {}
        if not used_at:
            return
        try:
            with self._store.transaction() as writing:
                writing.touch_keys(used_at)
        except errors.Unavailable:
            # Kept for the next time; what came in meanwhile is newer.
            self._used_at = used_at | self._used_at
            raise

    def _meant(self, hint_or_id: str) -> Key:
        ring = self._store.key_ring().keys
        digest = hashlib.sha256(hint_or_id.encode(errors="replace")).digest()
        beginning = hint_or_id.rstrip("….")
        meant = [key for stored, key in ring if str(key.id) == hint_or_id or stored == digest]
        if not meant and len(beginning) >= _HINT_CHARS:
            meant = [key for _, key in ring if key.hint == beginning[:_HINT_CHARS] + "…" == beginning + "…"]
        if not meant:
            raise errors.NotFound(f"no key {hint_or_id[:_HINT_CHARS]!r}; give its id", key=hint_or_id[:_HINT_CHARS])
        if len(meant) > 1:
            ids = [key.id for key in meant]
            raise errors.Conflict(f"several keys begin with {beginning!r}: ids {ids}; give the id", ids=ids)
        return meant[0]

    def load(self) -> None:
        """Read the keys now, so that callers are known from the first request on, whatever becomes of the database."""
        self._refresh()

    def _refresh(self) -> None:
        """See to it that the keys are those of the store. While that cannot be read, those known are what counts."""
        if self._store.keys_hint() > self._revision and not (self._is_told and self._revision >= 0):
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
                return  # another thread has loaded them meanwhile
            ring = self._store.key_ring()
            self._known = {
                digest: _Known(
                    digest,
                    key.id,
                    Viewer(key.team, key.scopes),
                    float("inf") if key.expires_at is None else key.expires_at,
                )
                for digest, key in ring.keys
                if key.revoked_at is None
            }
            self._known_by_id = {known.key_id: known for known in self._known.values()}
            self._revision = ring.revision


def _key_of(authorization: str | None) -> bytes | None:
    """Return the key of a header, None if it holds none; InvalidKey for what cannot be one."""
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
    return words[0].encode()
