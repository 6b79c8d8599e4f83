"""Keys: what a header says, what is refused, how long a key is good, and what is kept of it.

That routes ask for the right scope is in the tests of the routes.
"""

import hashlib
import multiprocessing
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard import errors
from modelyard.auth import Auth, Person
from modelyard.domain import ANONYMOUS, Scope, Viewer
from modelyard.store import Store
from tests import processes
from tests.databases import Open, sqlite_url
from tests.processes import wait_for

READ = frozenset({Scope.READ})
DAY = 86_400


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def on_file(tmp_path: Path, open_at: Open) -> Store:
    """A store for what has nothing to do with the kind of database."""
    return open_at(sqlite_url(tmp_path))


def refused(access: Auth, authorization: str) -> bool:
    try:
        access.viewer_of(authorization)
    except errors.InvalidKey:
        return True
    return False


# --- What a header says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}  ", "{}", "  {} ", "Bearer\t{}"])
def test_a_good_key_is_its_teams_viewer_however_it_is_sent(on_file: Store, form: str) -> None:
    access = Auth(on_file)
    secret, _ = access.create_key("acme", {Scope.READ, Scope.WRITE})

    assert Viewer("acme", frozenset({Scope.READ, Scope.WRITE})) == access.viewer_of(form.format(secret))


@pytest.mark.parametrize("header", [None, "", "   ", "Bearer", "bearer  "])
def test_no_key_is_missing_unless_strangers_may_list(on_file: Store, header: str | None) -> None:
    with pytest.raises(errors.MissingKey):
        Auth(on_file).viewer_of(header)
    assert ANONYMOUS == Auth(on_file, anonymous="public").viewer_of(header)


@pytest.mark.parametrize(
    "form",
    [
        "Bearer sk_unknown",
        "Bearer {}x",
        "Bearer x{}",
        "Bearer {} {}",
        "Basic {}",
        "Token {}",
        "Bearer Bearer {}",
        "Bearer:{}",
        "Bearer,{}",
        "undefined",
        "Bearer null",
        "Bearer ünïcödé",
        "Bearer \udcff",
        "{}" + " " * 300,
        "x" * 1_000_000,
    ],
)
@pytest.mark.parametrize("anonymous", ["none", "public"])
def test_a_key_that_is_not_good_is_invalid_whatever_strangers_may_see(
    on_file: Store, form: str, anonymous: str
) -> None:
    access = Auth(on_file, anonymous="public" if anonymous == "public" else "none")
    secret, _ = access.create_key("acme", READ)

    assert refused(access, form.replace("{}", secret))


def test_two_teams_keys_are_told_apart(on_file: Store) -> None:
    access = Auth(on_file)
    keys = {team: access.create_key(team, READ)[0] for team in ("red", "blue", "red-2")}

    assert {team: team for team in keys} == {team: access.viewer_of(key).team for team, key in keys.items()}


# --- How long a key is good ------------------------------------------------------------------------------------------


def test_a_key_is_good_until_the_second_it_expires(tmp_path: Path, open_at: Open) -> None:
    clock = Clock()
    access = Auth(open_at(sqlite_url(tmp_path)), clock=clock)
    secret, key = access.create_key("acme", READ, 60)
    assert 1_000_060 == key.expires_at

    clock.now = 1_000_059.9
    assert not refused(access, secret)
    clock.now = 1_000_060.0
    assert refused(access, secret)


def test_a_revoked_key_stops_with_the_next_request_in_every_process(tmp_path: Path, open_at: Open) -> None:
    """Two stores of one file are what two processes have: they share the counters and nothing else."""
    ours, theirs = Auth(open_at(sqlite_url(tmp_path))), Auth(open_at(sqlite_url(tmp_path)))
    secret, key = ours.create_key("acme", READ)
    kept, _ = ours.create_key("acme", READ)
    assert not refused(theirs, secret)

    revoked = ours.revoke_key(key.hint)

    assert revoked.revoked_at is not None
    assert refused(ours, secret)
    assert refused(theirs, secret)
    assert not refused(theirs, kept)


def test_a_revoked_key_stops_soon_in_processes_of_other_machines(url: str, open_at: Open) -> None:
    ours, theirs = Auth(open_at(url)), Auth(open_at(url))
    secret, key = ours.create_key("acme", READ)
    assert wait_for(lambda: not refused(theirs, secret))

    ours.revoke_key(str(key.id))

    assert refused(ours, secret)
    assert wait_for(lambda: refused(theirs, secret))


def test_a_key_that_another_process_made_is_good_at_once(tmp_path: Path, open_at: Open) -> None:
    access = Auth(open_at(sqlite_url(tmp_path)))
    assert refused(access, "sk_" + "A" * 43)

    spawned = multiprocessing.get_context("spawn")
    queue = spawned.Queue()
    process = spawned.Process(target=processes.make_key, args=(sqlite_url(tmp_path), "acme", queue))
    process.start()
    secret = queue.get()

    assert "acme" == access.viewer_of(secret).team
    process.join()


def test_revoking_twice_keeps_the_first_time(store: Store) -> None:
    access = Auth(store)
    _, key = access.create_key("acme", READ)

    first, second = access.revoke_key(str(key.id)), access.revoke_key(str(key.id))

    assert first == second


# --- Which key is meant ----------------------------------------------------------------------------------------------


def test_a_key_may_be_named_by_its_id_its_beginning_or_the_whole_of_it(on_file: Store) -> None:
    access = Auth(on_file)
    made = [access.create_key("acme", READ) for _ in range(4)]

    named = [str(made[0][1].id), made[1][1].hint, made[2][1].hint.rstrip("…"), made[3][0]]

    assert [key.id for _, key in made] == [access.revoke_key(name).id for name in named]


@pytest.mark.parametrize("name", ["", "0", "999", "sk_", "sk_AAAA", "acme", "…", "sk_\ud800", " "])
def test_a_name_of_no_key_is_said_to_be_none(on_file: Store, name: str) -> None:
    access = Auth(on_file)
    secret, _ = access.create_key("acme", READ)

    with pytest.raises(errors.NotFound):
        access.revoke_key(name)
    with pytest.raises(errors.NotFound):
        access.revoke_key(secret[:8])
    with pytest.raises(errors.NotFound):
        access.revoke_key(secret[:-1] + ("A" if secret[-1] != "A" else "B"))
    assert not refused(access, secret)


def test_a_shorter_beginning_revokes_the_only_key_that_has_it(store: Store) -> None:
    with store.transaction() as writing:
        writing.add_key(b"a" * 32, team="acme", scopes=READ, hint="sk_abcd…", expires_at=None)
        writing.add_key(b"b" * 32, team="acme", scopes=READ, hint="sk_abxy…", expires_at=None)
    access = Auth(store)

    with pytest.raises(errors.AmbiguousKey):
        access.revoke_key("sk_ab")
    revoked = access.revoke_key("sk_abx")

    assert "sk_abxy…" == revoked.hint


def test_a_beginning_that_fits_several_keys_revokes_none(store: Store) -> None:
    with store.transaction() as writing:
        for digest in (b"a" * 32, b"b" * 32):
            writing.add_key(digest, team="acme", scopes=READ, hint="sk_abcd…", expires_at=None)
    access = Auth(store)

    with pytest.raises(errors.AmbiguousKey) as several:
        access.revoke_key("sk_abcd…")

    assert [key.id for key in access.list_keys()] == several.value.facts["ids"]
    assert [None, None] == [key.revoked_at for key in access.list_keys()]


def test_keys_are_listed_by_team_oldest_first(store: Store) -> None:
    access = Auth(store)
    red, blue, red_too = (access.create_key(team, READ)[1] for team in ("red", "blue", "red"))

    assert [red, blue, red_too] == access.list_keys()
    assert [red, red_too] == access.list_keys("red")
    assert [] == access.list_keys("green")


def test_an_id_is_not_given_to_a_second_key(store: Store) -> None:
    access = Auth(store)

    ids = [access.create_key("acme", READ)[1].id for _ in range(3)]

    assert sorted(set(ids)) == ids


# --- What is made and kept -------------------------------------------------------------------------------------------


def test_a_key_is_random_and_kept_only_as_its_digest(tmp_path: Path, open_at: Open) -> None:
    store = open_at(sqlite_url(tmp_path))
    secret, key = Auth(store).create_key("acme", READ)
    store.close()

    assert re.fullmatch(r"sk_[A-Za-z0-9_-]{43}", secret)
    assert secret[:7] + "…" == key.hint
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"acme" in kept
    assert secret.encode() not in kept
    assert secret[7:].encode() not in kept


@pytest.mark.parametrize("team", ["", "Acme", "a b", "-a", "_a", "ü", "a" * 64, "a/b", "a\n", "a\0"])
def test_a_team_has_a_plain_name(on_file: Store, team: str) -> None:
    with pytest.raises(errors.InvalidValue, match="team"):
        Auth(on_file).create_key(team, READ)
    assert [] == on_file.teams()


@pytest.mark.parametrize("seconds", [0, -1, 10**12])
def test_a_key_expires_in_the_future_and_not_beyond_the_calendar(on_file: Store, seconds: int) -> None:
    access = Auth(on_file)

    with pytest.raises(errors.InvalidValue, match="expires_in_seconds"):
        access.create_key("acme", READ, seconds)
    assert [] == access.list_keys()


def test_a_key_without_scopes_is_not_made(on_file: Store) -> None:
    with pytest.raises(errors.InvalidValue, match="scopes"):
        Auth(on_file).create_key("acme", [])


# --- When a key was last used ----------------------------------------------------------------------------------------


def test_last_use_is_written_when_flushed_and_moves_nothing_else(store: Store) -> None:
    clock = Clock()
    access = Auth(store, clock=clock)
    (secret, _), (unused, _) = access.create_key("acme", READ), access.create_key("acme", READ)
    access.viewer_of(secret)
    clock.now += 30.5
    access.viewer_of(secret)
    before = (store.revision(), store.keys_hint())
    assert [None, None] == [key.last_used_at for key in access.list_keys()]

    access.flush_last_used()
    access.flush_last_used()

    assert [1_000_030, None] == [key.last_used_at for key in access.list_keys()]
    assert before == (store.revision(), store.keys_hint())
    assert not refused(access, unused)


def test_an_older_use_does_not_replace_a_newer_one(url: str, open_at: Open) -> None:
    """Processes flush in any order."""
    early, late = Auth(open_at(url), clock=Clock(1_000.0)), Auth(open_at(url), clock=Clock(2_000.0))
    secret, _ = early.create_key("acme", READ)
    early.viewer_of(secret)
    assert wait_for(lambda: not refused(late, secret))

    late.flush_last_used()
    early.flush_last_used()

    assert [2_000] == [key.last_used_at for key in early.list_keys()]


def test_a_refused_key_is_not_used(on_file: Store) -> None:
    access = Auth(on_file)
    secret, key = access.create_key("acme", READ)
    access.revoke_key(str(key.id))

    assert refused(access, secret)
    access.flush_last_used()

    assert [None] == [key.last_used_at for key in access.list_keys()]


def test_a_use_that_could_not_be_written_is_written_later_unless_there_is_a_newer_one(
    on_file: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(1_000.0)
    access = Auth(on_file, clock=clock)
    (often, first), (once, second) = access.create_key("acme", READ), access.create_key("acme", READ)
    access.viewer_of(often)
    access.viewer_of(once)

    def away() -> None:
        # Used once more while the database is found to be away.
        clock.now = 2_000.0
        access.viewer_of(often)
        raise errors.Unavailable("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(on_file, "transaction", away)
        with pytest.raises(errors.Unavailable):
            access.flush_last_used()
    access.flush_last_used()

    assert {first.id: 2_000, second.id: 1_000} == {key.id: key.last_used_at for key in access.list_keys()}


# --- While the database is away --------------------------------------------------------------------------------------


def test_keys_that_were_never_read_are_not_called_bad_while_the_database_is_away(
    on_file: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = Auth(on_file).create_key("acme", READ)
    access = Auth(on_file)
    with monkeypatch.context() as patched:
        patched.setattr(on_file, "key_ring", away)
        for ask in (lambda: access.viewer_of(secret), lambda: access.find("0" * 16), access.load):
            with pytest.raises(errors.Unavailable):
                ask()

    assert "acme" == access.viewer_of(secret).team


def test_keys_that_were_read_go_on_counting_while_the_database_is_away(
    on_file: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    access, other = Auth(on_file), Auth(on_file)
    secret, _ = access.create_key("acme", READ)
    access.load()
    newer, _ = other.create_key("acme", READ)
    with monkeypatch.context() as patched:
        patched.setattr(on_file, "key_ring", away)
        assert "acme" == access.viewer_of(secret).team
        assert refused(access, newer)

    assert "acme" == access.viewer_of(newer).team


def away() -> None:
    raise errors.Unavailable("the database is away")


# --- Who a session speaks for ----------------------------------------------------------------------------------------


def test_the_fingerprint_of_a_key_speaks_for_its_team_until_the_key_expires_or_is_revoked(on_file: Store) -> None:
    clock = Clock()
    access = Auth(on_file, clock=clock)
    secret, brief = access.create_key("acme", READ, 60)
    lasting_secret, lasting = access.create_key("acme", READ)
    first, second = access.fingerprint_of(secret), access.fingerprint_of(f"Bearer {lasting_secret}")

    assert hashlib.sha256(secret.encode()).hexdigest()[:16] == first
    assert [brief.id, lasting.id] == [access.find(fingerprint).key_id for fingerprint in (first, second)]
    assert [first, second] == [access.viewer_of(key).key_fingerprint for key in (secret, lasting_secret)]
    clock.now += 59.9
    assert Viewer("acme", READ) == access.find(first).viewer
    clock.now = 1_000_060.0
    with pytest.raises(errors.InvalidKey):
        access.find(first)
    with pytest.raises(errors.InvalidKey):
        access.fingerprint_of(secret)
    access.revoke_key(str(lasting.id))
    for fingerprint in (second, "", "0" * 16):
        with pytest.raises(errors.InvalidKey):
            access.find(fingerprint)


def test_a_session_that_ended_is_ended_for_every_process_and_forgotten_when_its_cookie_has_expired(
    store: Store,
) -> None:
    access, other = Auth(store), Auth(store)
    secret, _ = access.create_key("acme", READ)
    fingerprint = access.fingerprint_of(secret)
    assert not other.has_ended("first")

    access.end_session("first", 1)
    access.end_session("first", 1)

    for process in (access, other):
        assert "acme" == process.find(fingerprint).viewer.team  # as each request of a session does
        assert (True, False) == (process.has_ended("first"), process.has_ended("second"))
    access.end_session("second", 10**10)
    assert frozenset({"second"}) == store.key_ring().ended_sessions


def test_what_works_once_is_accepted_once_by_threads_that_ask_at_the_same_time(store: Store) -> None:
    access = Auth(store)
    results: list[str] = []

    def use() -> None:
        try:
            access.use_once("state", 10**10)
        except errors.InvalidKey:
            results.append("refused")
        else:
            results.append("accepted")

    threads = [threading.Thread(target=use) for _ in range(4)]
    with store.transaction():  # all of them wait to write
        for thread in threads:
            thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join(30)

    assert ["accepted", *3 * ["refused"]] == sorted(results)


@pytest.mark.parametrize("text", ["", "  ", "Bearer", "sk_unknown"])
def test_what_is_no_key_has_no_fingerprint(on_file: Store, text: str) -> None:
    with pytest.raises(errors.InvalidKey):
        Auth(on_file, anonymous="public").fingerprint_of(text)


def test_a_link_is_good_while_its_key_may_do_what_it_is_for(on_file: Store) -> None:
    public, closed = Auth(on_file, anonymous="public"), Auth(on_file)
    reader, _ = public.create_key("acme", READ)
    fingerprint = public.fingerprint_of(reader)

    assert Viewer("acme", READ) == public.viewer_of_link(fingerprint, Scope.READ)
    assert ANONYMOUS == public.viewer_of_link("", Scope.READ)
    for access, key, scope in (
        (public, fingerprint, Scope.WRITE),
        (public, "0" * 16, Scope.READ),
        (public, "", Scope.WRITE),
        (closed, "", Scope.READ),
    ):
        with pytest.raises(errors.LinkRevoked):
            access.viewer_of_link(key, scope)


# --- Rotation


def test_a_rotated_key_has_what_the_old_one_had_and_both_work_until_the_overlap_ends(
    tmp_path: Path, open_at: Open
) -> None:
    waited = [0]
    access = Auth(open_at(sqlite_url(tmp_path)), clock=lambda: time.time() + waited[0])
    old, first = access.create_key("red", [Scope.WRITE], 90 * DAY, name="laptop", purpose="backup")
    waited[0] += DAY

    key, record, ending = access.rotate_key(old, DAY)

    assert ("red", {Scope.WRITE}, "laptop", "backup") == (record.team, record.scopes, record.name, record.purpose)
    assert first.id == ending.id
    # The database has its own clock.
    assert [2, 91] == [round(((each.expires_at or 0) - time.time()) / DAY) for each in (ending, record)]
    assert ["red", "red"] == [access.viewer_of(secret).team for secret in (old, key)]
    waited[0] += DAY + 2
    assert "red" == access.viewer_of(key).team
    with pytest.raises(errors.InvalidKey):
        access.viewer_of(old)


def test_an_overlap_does_not_make_a_key_valid_for_longer(store: Store) -> None:
    access = Auth(store)
    old, first = access.create_key("red", [Scope.READ], 60)

    assert first.expires_at == access.rotate_key(old, DAY)[2].expires_at


def test_a_key_is_rotated_once(store: Store) -> None:
    access = Auth(store)
    old, _ = access.create_key("red", [Scope.READ])
    _, record, ending = access.rotate_key(old, DAY)
    assert record.id == ending.replaced_by

    with pytest.raises(errors.Conflict, match=f"key 1 was rotated before: key {record.id} takes its place"):
        access.rotate_key(old, DAY)
    assert 2 == len(access.list_keys())
    assert record.id == access.rotate_key(str(record.id), DAY)[2].id


def test_only_a_valid_key_is_rotated(store: Store) -> None:
    access = Auth(store)
    access.create_key("red", [Scope.READ])
    access.revoke_key("1")
    access.admit(Person("proxy", "anna", "anna", "red", frozenset({Scope.READ})))

    for key_id, problem in (("1", "was revoked or has expired"), ("2", "signs in without a key")):
        with pytest.raises(errors.Conflict, match=problem):
            access.rotate_key(key_id, DAY)


def test_no_header_can_be_the_key_of_a_person(store: Store) -> None:
    access = Auth(store)
    person = Person("proxy", "anna", "anna", "red", frozenset({Scope.READ}))
    access.admit(person)

    for header in ("person\nproxy\nred\nanna", person.digest.hex(), person.digest.hex()[:16]):
        with pytest.raises(errors.InvalidKey):
            access.viewer_of(header)


def test_a_team_whose_keys_are_revoked_is_still_a_team(on_file: Store) -> None:
    """Or the admin of another team becomes the operator as soon as its last key is revoked."""
    access = Auth(on_file)
    _, operators = access.create_key("red", {Scope.ADMIN})
    admin = access.viewer_of(access.create_key("blue", {Scope.ADMIN})[0])
    access.revoke_key(str(operators.id))

    assert not access.is_operator(admin)


def test_a_database_that_is_behind_brings_no_revoked_key_back(on_file: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Auth(on_file)
    key, record = access.create_key("red", {Scope.READ})
    behind = on_file.key_ring()
    access.revoke_key(str(record.id))
    assert refused(access, key)
    monkeypatch.setattr(on_file, "key_ring", lambda: behind)
    with pytest.raises(errors.InvalidKey):
        access.find("of nobody yet", is_new=True)

    assert refused(access, key)


def test_a_key_that_is_revoked_while_it_is_rotated_has_no_successor(
    on_file: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Auth(on_file)
    _, record = access.create_key("red", {Scope.READ})
    before = on_file.key_ring()
    access.revoke_key(str(record.id))
    monkeypatch.setattr(on_file, "key_ring", lambda: before)

    with pytest.raises(errors.Conflict, match="was revoked or rotated meanwhile"):
        access.rotate_key(str(record.id), 60)
    monkeypatch.undo()
    assert [record.id] == [key.id for key in access.list_keys()]
