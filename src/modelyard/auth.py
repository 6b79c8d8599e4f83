"""API keys: the Authorization header → Viewer.

A key is ``sk_`` and 32 random bytes in URL-safe base64; with ``hf_`` instead of ``sk_`` it is the same key. The
database has only its SHA-256. ``Auth`` holds all keys in memory, by digest, and reads them again when any process
creates or revokes one: a revoked key is refused from the next request on, and no request queries the database. The same
holds for sessions that ended.

A person who signs in by a proxy or a provider of identities has a row among the keys, without a key: the row gives
sessions a team, scopes and a fingerprint, and revoking it ends them. No header can name it.

The fingerprint of a key is the beginning of its digest. Unlike the id, it never stands for another key: a restored
database gives ids again.
"""

import base64
import hashlib
import hmac
import logging
import secrets
import threading
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


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActiveKey:
    """A key that was neither revoked nor, at its last check, expired."""

    digest: bytes
    key_id: int
    viewer: Viewer
    # Unix time from which on the key is refused.
    ends_at: float
    # What the person signs in by who is meant; empty for a key.
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom a proxy or a provider of identities names: ``subject`` is unique there, ``name`` is for people."""

    provider: Literal["proxy", "oidc"]
    subject: str
    name: str
    team: str
    scopes: frozenset[Scope]

    @property
    def digest(self) -> bytes:
        """What their row has in place of the digest of a key. The fields before the last cannot hold a line feed."""
        return hashlib.sha256(f"person\n{self.provider}\n{self.team}\n{self.subject}".encode()).digest()

    def is_described_by(self, key: ActiveKey) -> bool:
        """Whether a row has what is true of this person now."""
        viewer = key.viewer
        same_name = viewer.user.casefold() == self.name.casefold()
        return same_name and (key.digest, viewer.scopes) == (self.digest, self.scopes)


class Auth:
    """The API keys of a store. Threads may share it."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] | None = None,
        anonymous: Literal["none", "public"] = "none",
        operator_team: str = "",
    ) -> None:
        """Take the team of the operators; if it is empty, it is the only team that has keys."""
        self._store = store
        self._operator_team = operator_team
        self._clock = clock or store.now
        self._anonymous = anonymous == "public"
        self._loading = threading.Lock()
        self._key_by_digest: dict[bytes, ActiveKey] = {}
        self._key_by_fingerprint: dict[str, ActiveKey] = {}
        self._revoked_ids: dict[str, int] = {}
        self._teams: frozenset[str | None] = frozenset()
        self._ended_sessions: frozenset[str] = frozenset()
        # Sessions that this process refuses and whose end is not stored yet: when they expire, and whose they are.
        self._refused_sessions: dict[str, tuple[int, Viewer]] = {}
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

    def is_operator(self, viewer: Viewer) -> bool:
        """Whether the viewer runs the server: a key of the operators' team with the scope admin.

        Where no team is set and several teams have or had keys, nobody is: a customer's admin must not see others'
        work.
        """
        if viewer.team is None or not viewer.may(Scope.ADMIN):
            return False
        if self._operator_team:
            return viewer.team == self._operator_team
        self._refresh()
        return self._teams <= {viewer.team}

    def fingerprint_of(self, key: str) -> str:
        """Return the fingerprint of a valid key, for ``find``. Raises InvalidKey."""
        secret = _key_of(key)
        if secret is None:
            raise errors.InvalidKey
        return self._find(secret).viewer.key_fingerprint

    def find(self, fingerprint: str, *, is_new: bool = False) -> ActiveKey:
        """Return a key by its fingerprint, for a caller who has shown the key before.

        Raises InvalidKey if the key was revoked or has expired. A key may be so new that no notice of it came yet.
        """
        self._refresh()
        key = self._key_by_fingerprint.get(fingerprint)
        if key is None and is_new and fingerprint not in self._revoked_ids:
            # A person who has just signed in at another node, whose notice is still on its way.
            self._load(is_due=True)
            key = self._key_by_fingerprint.get(fingerprint)
        now = self._clock()
        if key is None or now >= key.ends_at:
            raise errors.InvalidKey
        self._used_at[key.key_id] = int(now)
        return key

    def has_ended(self, session: str) -> bool:
        """Whether a session ended."""
        return session in self._refused_sessions or session in self._ended_sessions

    def refuse_session(self, session: str, expires_at: int, viewer: Viewer) -> None:
        """End a session in this process at once; ``store_refused_sessions`` ends it everywhere."""
        self._refused_sessions[session] = expires_at, viewer

    def store_refused_sessions(self) -> None:
        """End the refused sessions everywhere. If the database is away, ``flush_last_used`` stores them later."""
        for session, (expires_at, viewer) in list(self._refused_sessions.items()):
            if expires_at > self._clock():
                self.end_session(session, expires_at, viewer)
            else:
                self._refused_sessions.pop(session, None)

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

    def begin_session(self, fingerprint: str, session: str) -> None:
        """Record in the audit that a browser signed in. While the database is away, it signs in without a record."""
        viewer = self.find(fingerprint, is_new=True).viewer
        try:
            with self._store.transaction() as transaction:
                transaction.audit.note("session.start", session, viewer.team, viewer)
        except errors.Unavailable as problem:
            log.warning("a sign-in is not in the audit: %s", problem.message)

    def end_session(self, session: str, expires_at: int, viewer: Viewer | None = None) -> None:
        """End a session on every worker of every node. Its cookie expires at ``expires_at``.

        With the ``viewer`` whose session it was, the audit has a row of it.
        """
        with self._store.transaction() as transaction:
            if transaction.end_session(session, expires_at) and viewer is not None:
                transaction.audit.note("session.end", session, viewer.team, viewer)

    def use_once(self, nonce: str, expires_at: int) -> None:
        """Remember on every node, until it expires, that something was used. Raises InvalidKey the second time."""
        self._refresh()
        if nonce in self._ended_sessions:
            raise errors.InvalidKey
        # Another process or thread may use it at the same time.
        with self._store.transaction() as transaction:
            is_first = transaction.end_session(nonce, expires_at)
        if not is_first:
            raise errors.InvalidKey

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
        key = _random_key()
        expires_at = None if expires_in_seconds is None else int(self._clock()) + expires_in_seconds
        with self._store.transaction() as transaction:
            record = transaction.add_key(
                hashlib.sha256(key.encode()).digest(),
                team=team,
                scopes=frozenset(scopes),
                hint=_hint_of(key),
                expires_at=expires_at,
                name=name,
                purpose=purpose,
            )
        return key, record

    def admit(self, person: Person) -> ActiveKey:
        """Return the row of a person, made at their first sign-in, and changed when their name or scopes change.

        Raises SignInRefused if the row was revoked.
        """
        self._refresh()
        fingerprint = _fingerprint(person.digest)
        if fingerprint in self._revoked_ids:
            raise _refusal(person, self._revoked_ids[fingerprint])
        key = self._key_by_fingerprint.get(fingerprint)
        if key is not None and person.is_described_by(key):
            return key
        with self._store.transaction() as transaction:
            record = transaction.put_person(
                person.digest, team=person.team, scopes=person.scopes, name=person.name, provider=person.provider
            )
        if record.revoked_at is not None:
            raise _refusal(person, record.id)
        return _activate(person.digest, record)

    def restore_person(self, key_id: int) -> Key:
        """Let a person whose access was revoked sign in again. Raises NotFound for the id of a key, or of nothing."""
        with self._store.transaction() as transaction:
            restored = transaction.restore_person(key_id)
        if restored is None:
            raise errors.NotFound(
                f"{key_id} is no person; accepted: an id that `modelyard key list` shows with (proxy) or (oidc)"
            )
        return restored

    def rotate_key(self, hint_or_id: str, overlap_seconds: int) -> tuple[str, Key, Key]:
        """Create a key that takes the place of another, which ends after the overlap. Return key, record and the other.

        The new key has the team, scopes, name, purpose and length of life of the other. Raises what ``revoke_key``
        raises, and Conflict for a key that is not valid any more, that was rotated before, or for a person.
        """
        other, now = self._record_of(hint_or_id.strip()), int(self._clock())
        if other.provider:
            raise errors.Conflict(f"{other.name} signs in without a key, so there is none to rotate")
        if other.revoked_at is not None or (other.expires_at is not None and other.expires_at <= now):
            raise errors.Conflict(f"key {other.id} was revoked or has expired; make one with `modelyard key create`")
        if other.replaced_by is not None:
            raise errors.Conflict(f"key {other.id} was rotated before: key {other.replaced_by} takes its place")
        key = _random_key()
        lifetime_seconds = None if other.expires_at is None else other.expires_at - other.created_at
        with self._store.transaction() as transaction:
            record = transaction.add_key(
                hashlib.sha256(key.encode()).digest(),
                team=other.team,
                scopes=other.scopes,
                hint=_hint_of(key),
                expires_at=None if lifetime_seconds is None else now + lifetime_seconds,
                name=other.name,
                purpose=other.purpose,
            )
            ending = transaction.replace_key(other.id, now + overlap_seconds, record.id)
            if ending is None:
                raise errors.Conflict(f"key {other.id} was revoked or rotated meanwhile; look at `modelyard key list`")
        return key, record, ending

    def list_keys(self, team: str | None = None) -> list[Key]:
        """Return the keys of a team, or all keys, oldest first, with revoked and expired ones."""
        return [key for _, key in self._store.key_ring().keys if team is None or key.team == team]

    def key_labels(self, teams: Collection[str]) -> dict[str, str]:
        """Return what people call the keys of teams, by fingerprint: the name, or how the key begins."""
        keys = self._store.key_ring().keys
        return {_fingerprint(digest): key.name or key.hint for digest, key in keys if key.team in teams}

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
        self.store_refused_sessions()
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

    def _load(self, *, is_due: bool = False) -> None:
        with self._loading:
            if not is_due and self._store.keys_hint() <= self._revision:
                return  # another thread has read them meanwhile
            ring = self._store.key_ring()
            if ring.revision < self._revision:
                return  # a database that is behind: what was revoked stays revoked
            active = [_activate(digest, key) for digest, key in ring.keys if key.revoked_at is None]
            self._key_by_digest = {key.digest: key for key in active if not key.provider}
            self._key_by_fingerprint = {key.viewer.key_fingerprint: key for key in active}
            self._revoked_ids = {_fingerprint(digest): key.id for digest, key in ring.keys if key.revoked_at}
            # A team whose keys are revoked is not gone: another one's admin must not become the operator by that.
            self._teams = frozenset(key.team for _, key in ring.keys)
            self._ended_sessions = ring.ended_sessions
            for session in ring.ended_sessions & self._refused_sessions.keys():
                self._refused_sessions.pop(session, None)
            self._revision = ring.revision


def _refusal(person: Person, id_: int) -> errors.SignInRefused:
    return errors.SignInRefused(
        f"{person.name} may not sign in here any more: an administrator revoked the access. "
        f"`modelyard key restore {id_}` gives it back."
    )


def _random_key() -> str:
    return _KEY_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).rstrip(b"=").decode()


def _hint_of(key: str) -> str:
    return key[:_HINT_CHARS] + "…"


def _activate(digest: bytes, key: Key) -> ActiveKey:
    viewer = Viewer(key.team, key.scopes, _fingerprint(digest), key.name if key.provider else "")
    ends_at = float("inf") if key.expires_at is None else key.expires_at
    return ActiveKey(digest, key.id, viewer, ends_at, key.provider)


def _fingerprint(digest: bytes) -> str:
    return digest.hex()[:_FINGERPRINT_CHARS]


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
