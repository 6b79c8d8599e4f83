"""Records of files, blobs, uploads, covers and keys, whole: what is put is read back, and each condition of a query.

Models are in test_store.py. Both databases answer the same statements there; here SQLite is enough.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from modelyard import errors
from modelyard.base_models import KNOWN
from modelyard.domain import OWN_ID_MIN, Hashes, Licence, Model, ModelType, Scope, Source, Status, Visibility
from modelyard.facts import Entry, Facts, Layer
from modelyard.fingerprint import Fingerprint
from modelyard.store import (
    Store,
    api_keys,
    blobs,
    covers,
    download_counts,
    files,
    lookup,
    open_store,
    schema,
    sqlite,
    uploads,
    version_groups,
)
from modelyard.store import rows as model_rows
from modelyard.store.blobs import Blob
from modelyard.store.files import Duplicates, FileRecord, FileState
from modelyard.store.uploads import Upload
from tests.databases import prepare, sqlite_url
from tests.processes import entry

A, B, C, D = "a" * 64, "b" * 64, "c" * 64, "d" * 64


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Store]:
    prepare(sqlite_url(tmp_path))
    opened = open_store(sqlite_url(tmp_path), clock=lambda: 1_000)
    yield opened
    opened.close()


def put(store: Store, *entries: Entry) -> None:
    with store.transaction() as transaction:
        transaction.put(entries)


def test_a_connection_has_limits_for_its_cache_and_its_log(tmp_path: Path) -> None:
    engine = sqlite.dialect(sa.make_url(sqlite_url(tmp_path))).engine

    with engine.connect() as connection:
        pragmas = ("journal_size_limit", "cache_size", "temp_store")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    engine.dispose()

    assert [64 << 20, -16_384, 2] == values


def test_the_base_models_of_a_new_database_are_these() -> None:
    lines = (
        (known.name, known.architecture or "-", "SDXL" if known.is_sdxl else "-", ", ".join(known.aliases) or "-")
        for known in KNOWN
    )

    assert Path(__file__).with_name("base_models.txt").read_text().splitlines() == [" | ".join(line) for line in lines]


# --- Models ---


@pytest.mark.parametrize("name", Hashes.__slots__)
def test_a_model_with_one_hash_keeps_it(disk: Store, name: str) -> None:
    put(disk, entry(1, hashes=Hashes(**{name: "F" * 8})))

    stored = disk.entry(1)
    assert stored is not None
    assert Hashes(**{name: "F" * 8}) == stored.model.hashes


def test_long_facts_have_a_row_of_their_own_from_900_characters_on(disk: Store) -> None:
    def rows_of(notes: int) -> list[int]:
        facts = Facts(name="v1", notes="n" * notes)
        put(disk, Entry(entry(1).model, {Layer.UPSTREAM: facts}))
        stored = disk.entry(1)
        assert stored is not None
        assert {Layer.UPSTREAM: facts} == stored.layers
        query = sa.select(schema.layers.c.layer).order_by(schema.layers.c.layer)
        with disk.reading() as connection:
            return list(connection.execute(query).scalars())

    name_and_braces = len('{"name":"v1"}') + len('{"notes":""}')
    assert [Layer.UPSTREAM] == rows_of(900 - name_and_braces)
    assert [Layer.UPSTREAM, Layer.UPSTREAM + 16] == rows_of(901 - name_and_braces)


def test_a_model_is_put_with_its_row_in_the_order_of_the_columns() -> None:
    model = Model(
        7,
        "n",
        "s",
        ModelType("t", "T"),
        Source.CIVITAI,
        Visibility.PRIVATE,
        "red",
        Status.UNAVAILABLE,
        licence=Licence("mit"),
    )

    row = dict(zip((column.name for column in schema.models.columns), model_rows.row_of(model, 9), strict=True))

    expected: dict[str, Any] = dict.fromkeys(row)
    expected |= {"id": 7, "name": "n", "sd_name": "s", "type_name": "t", "type_display_name": "T", "source": "civitai"}
    expected |= {"visibility": "private", "team": "red", "status": 0, "base_model": "", "base_model_type": ""}
    expected |= {"is_sdxl": False, "is_nsfw": False, "tags": "[]", "categories": "[]", "cover_url": "", "rank": 0}
    assert expected | {"licence": '{"id":"mit"}', "revision": 9} == row


def test_the_versions_of_a_group_are_those_that_the_team_may_see_the_newest_first(disk: Store) -> None:
    red: dict[str, Any] = {"team": "red", "visibility": Visibility.PRIVATE}
    put(
        disk,
        entry(1, version_group="g", published_at=5),
        entry(2, version_group="g", published_at=9),
        entry(3, version_group="g"),
        entry(4, version_group="g"),
        entry(5, version_group="g", published_at=7, **red),
        entry(6, version_group="other"),
    )
    with disk.reading() as connection:
        found = {
            team: [model.id for model in version_groups.versions(connection, "g", team)]
            for team in ("red", "blue", None)
        }

    assert {"red": [2, 5, 1, 4, 3], "blue": [2, 1, 4, 3], None: [2, 1, 4, 3]} == found


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("v1", [2, 1]),
        ("A title", [1]),
        ("D" * 64, [1]),
        ("ddDDDD", []),
        ("B" * 8, [1]),
        ("0xBBBBBBBB", [1]),
        ("blake3:" + "E" * 64, [1]),
        ("C" * 12, [1]),
        ("C" * 10, [1]),
        ("C" * 8, [1]),
        ("D" * 10, [1]),
        ("9" * 10, [2]),
        ("F" * 64, [2]),
        ("G" * 8, []),
        ("", []),
        ("1" * 18, []),
        ("²", []),
    ],
)
def test_a_model_is_looked_up_by_each_hash_and_name(disk: Store, text: str, ids: list[int]) -> None:
    hashes = Hashes("B" * 8, "C" * 64, "D" * 64, "E" * 64, "B" * 8)
    put(
        disk,
        entry(1, title="A title", hashes=hashes),
        entry(2, rank=1, hashes=Hashes(autov2="9" * 10), file_hashes=("F" * 64,)),
    )
    with disk.reading() as connection:
        assert ids == lookup.model_ids(connection, text)


def test_a_lookup_returns_twenty_models_at_most(disk: Store) -> None:
    put(disk, *(entry(id_) for id_ in range(25)))

    with disk.reading() as connection:
        assert [*range(24, 4, -1)] == lookup.model_ids(connection, "v1")
        assert [24, 23] == lookup.model_ids(connection, "v1", limit=2)


# --- Files ---

FILE = FileRecord(
    b"/m/\xff.pt",
    Fingerprint(7, 2, 1 << 63, 4),
    1 << 63,
    FileState.CHANGED,
    Source.TRAINING,
    Visibility.PRIVATE,
    "red",
    "s1",
    "clean",
    "fine",
    A,
    B,
    True,
    1,
    b"/m",
    "part",
    5,
)


def simple(path: str, sha256: str | None = None, **values: Any) -> FileRecord:
    return FileRecord(
        path.encode(),
        values.pop("fingerprint", Fingerprint(1, 1, 1, 1)),
        1,
        values.pop("state", FileState.PRESENT),
        Source.UPLOADING,
        values.pop("visibility", Visibility.PUBLIC),
        sha256=sha256,
        **values,
    )


def put_files(store: Store, *records: FileRecord) -> dict[bytes, FileRecord]:
    with store.transaction() as transaction:
        files.put(transaction.connection, [(record, None) for record in records])
    with store.reading() as connection:
        return files.below(connection, [b"/"])


def test_a_record_of_a_file_is_read_back_whole_and_replaced_by_its_id(disk: Store) -> None:
    put(disk, entry(1), entry(2))
    stored = put_files(disk, FILE)[FILE.path]
    assert replace(FILE, id=stored.id) == stored

    changed = replace(stored, reason="new", state=FileState.BROKEN, model_id=2)
    with disk.transaction() as transaction:
        files.put(transaction.connection, [(changed, "inspection")])
        files.put(transaction.connection, [(replace(changed, sidecars="s2"), None)])
        inspection = transaction.connection.execute(sa.select(schema.files.c.inspection)).scalar_one()

    with disk.reading() as connection:
        assert {FILE.path: replace(changed, sidecars="s2")} == files.at_paths(connection, [FILE.path, b"/x"])
    assert "inspection" == inspection


def test_files_below_a_folder_are_those_of_whole_names_and_the_folder_itself(disk: Store) -> None:
    put_files(disk, *(simple(path) for path in ("/m", "/m/a", "/m/b/c", "/m-old/a", "/m0", "/x")))

    with disk.reading() as connection:
        for root in (b"/m", b"/m/"):
            assert {b"/m/a", b"/m/b/c"} == files.below(connection, [root]).keys() - {b"/m"}
        assert {b"/m", b"/m/a", b"/m/b/c", b"/x"} == files.below(connection, [b"/m", b"/x"]).keys()


def test_pending_files_are_present_and_come_by_id(disk: Store) -> None:
    records = put_files(
        disk,
        simple("/m/a", hashes_pending=True),
        simple("/m/b"),
        simple("/m/c", hashes_pending=True, state=FileState.MISSING),
        simple("/m/d", hashes_pending=True),
        simple("/n/e", hashes_pending=True),
    )
    first = records[b"/m/a"].id or 0

    with disk.reading() as connection:
        assert [b"/m/a", b"/m/d", b"/n/e"] == [record.path for record in files.pending(connection, 9)]
        assert [b"/m/d"] == [record.path for record in files.pending(connection, 1, after=first)]
        assert (2, 3) == (files.pending_count(connection, [b"/m"]), files.pending_count(connection, [b"/m", b"/n"]))


def test_files_are_forgotten_moved_linked_and_made_visible(disk: Store) -> None:
    put(disk, entry(1), entry(2))
    records = put_files(disk, simple("/a", A, model_id=1), simple("/b", B, model_id=1), simple("/c", C, model_id=2))
    with disk.transaction() as transaction:
        connection = transaction.connection
        files.forget(connection, [records[b"/a"].id or 0])
        files.set_link(connection, records[b"/b"].id or 0, 2)
        files.set_visibility(connection, 2, Visibility.PRIVATE)
        files.move_to_model(connection, 1, 2)
        assert {2: [b"/b", b"/c"]} == {
            id_: [file.path for file in found] for id_, found in files.of_models(connection, [1, 2]).items()
        }
        assert [b"/c"] == [record.path for record in files.with_sha256(connection, [A, C])]

    with disk.reading() as connection:
        after = files.below(connection, [b"/"])
    b, c = records[b"/b"], records[b"/c"]
    assert {
        b"/b": replace(b, linked_id=2, model_id=2),
        b"/c": replace(c, visibility=Visibility.PRIVATE),
    } == after


def test_models_are_found_by_the_hashes_of_files(disk: Store) -> None:
    put(
        disk,
        entry(1, hashes=Hashes(sha256=A.upper())),
        entry(2, hashes=Hashes(autov2=B[:10].upper())),
        entry(3, hashes=Hashes(sha256=D.upper(), autov2=B[:10].upper())),
        entry(4, file_hashes=(C.upper(),)),
        entry(5, hashes=Hashes(autov3=A.upper())),
        entry(6, hashes=Hashes(autov3=B[:12].upper())),
    )
    with disk.reading() as connection:
        by_sha256 = files.models_by_hash(connection, [A, B, C])
        by_autov3 = files.models_by_hash(connection, [], [A, B])

    assert {A.upper(): [1], B[:10].upper(): [2], C.upper(): [4]} == by_sha256
    assert {A[:12].upper(): [5], B[:12].upper(): [6]} == by_autov3


def test_a_file_of_ours_matches_an_outside_model_with_its_bytes(disk: Store) -> None:
    own = [OWN_ID_MIN + number for number in range(7)]
    private: dict[str, Any] = {"team": "red", "visibility": Visibility.PRIVATE}
    put(
        disk,
        entry(3, hashes=Hashes(sha256=A.upper())),
        entry(2, hashes=Hashes(sha256=A.upper())),
        entry(4, hashes=Hashes(autov2=B[:10].upper())),
        entry(5, file_hashes=(C.upper(),)),
        entry(6, hashes=Hashes(sha256=D.upper()), **private),
        *(entry(id_) for id_ in own[:6]),
        entry(own[6], **private),
    )
    put_files(
        disk,
        simple("/0", A, model_id=own[0]),
        simple("/1", B, model_id=own[1]),
        simple("/2", C, model_id=own[2]),
        simple("/3", D, model_id=own[3]),
        simple("/4", A, model_id=own[4], state=FileState.MISSING),
        simple("/5", A, model_id=own[5], folder=b"/f", part="p"),
        simple("/6", A, model_id=own[6]),
        simple("/7", A, model_id=own[3], linked_id=0),
    )
    with disk.reading() as connection:
        assert {own[0]: 2, own[1]: 4, own[2]: 5} == files.matched_later(connection, OWN_ID_MIN)
        hashes = files.unmatched_sha256s(connection, OWN_ID_MIN)
    assert {A.upper(), B.upper(), C.upper(), D.upper()} == hashes


def test_duplicates_are_groups_of_same_bytes_or_tensors_the_largest_first(disk: Store) -> None:
    put(disk, entry(1))
    large = Fingerprint(9, 1, 1, 1)
    records = put_files(
        disk,
        simple("/a", A, model_id=1),
        simple("/b", A, model_id=1),
        simple("/c", B, model_id=1, fingerprint=large, autov3=D),
        simple("/d", C, model_id=1, fingerprint=large, autov3=D),
        simple("/e", A),
        simple("/f", A, model_id=1, state=FileState.MISSING),
        simple("/g", D, model_id=1, team="red", visibility=Visibility.PRIVATE),
        simple("/h", D, model_id=1, team="red", visibility=Visibility.PRIVATE),
    )

    def group(hash_: str, is_same_bytes: bool, *paths: str) -> Duplicates:
        return Duplicates(hash_, is_same_bytes, tuple(records[path.encode()] for path in paths))

    tensors, bytes_ = group(D, False, "/c", "/d"), group(A, True, "/a", "/b")
    with disk.reading() as connection:
        assert [tensors, bytes_] == files.duplicates(connection, None)
        assert [tensors, bytes_, group(D, True, "/g", "/h")] == files.duplicates(connection, "red")


# --- Blobs and uploads ---

UPLOAD = Upload("u1", "red", "put", {"name": "x"}, 1, 100, 5, A, B, None, None)


def test_a_blob_is_read_back_and_replaced(disk: Store) -> None:
    blob = Blob(A, 5, 1, "suspicious", "imports x", 9)
    with disk.transaction() as transaction:
        blobs.put(transaction.connection, replace(blob, reason="old"))
        blobs.put(transaction.connection, blob)
        assert (blob, None) == (blobs.find(transaction.connection, A), blobs.find(transaction.connection, B))
        blobs.remove_many(transaction.connection, [A])
        assert blobs.find(transaction.connection, A) is None
    assert [True, True, False, False] == [
        replace(blob, verdict=verdict).is_sound for verdict in ("clean", "suspicious", "error", "dangerous")
    ]


def test_blobs_that_nothing_points_at_are_unused_from_the_first_time_on(disk: Store) -> None:
    put(disk, entry(1, blob=A))
    with disk.transaction() as transaction:
        connection = transaction.connection
        for sha256 in (A, B, C, D):
            blobs.put(connection, Blob(sha256, 5, 1, "clean", ""))
        uploads.put(connection, UPLOAD)  # it has the bytes of B
        covers.put(connection, "c1", "1" * 64, {320: C}, 1)
        blobs.mark_unused(connection, 10)
        blobs.mark_unused(connection, 20)

        assert [replace(Blob(D, 5, 1, "clean", ""), unused_since=10)] == blobs.unused(connection, 10)
        assert [] == blobs.unused(connection, 9)
        uploads.remove(connection, "u1")
        blobs.mark_unused(connection, 30)
        uploads.put(connection, UPLOAD)
        assert [D] == [blob.sha256 for blob in blobs.unused(connection, 30)]
        blobs.mark_unused(connection, 40)
        used = blobs.find(connection, B)
    assert used is not None
    assert used.unused_since is None


def test_a_team_pays_for_each_blob_once_and_for_uploads_that_are_no_blob_yet(disk: Store) -> None:
    put(disk, entry(1, blob=A, team="red"), entry(2, blob=A, team="red"), entry(3, blob=B, team="blue"), entry(4))
    with disk.transaction() as transaction:
        connection = transaction.connection
        for sha256, size in ((A, 5), (B, 70)):
            blobs.put(connection, Blob(sha256, size, 1, "clean", ""))
        uploads.put(connection, replace(UPLOAD, sha256=None, length_bytes=300))
        uploads.put(connection, replace(UPLOAD, id="u2", sha256=A, length_bytes=5_000))
        uploads.put(connection, replace(UPLOAD, id="u3", team="blue", sha256=None, length_bytes=None))

        assert (305, 70, 0) == tuple(blobs.bytes_of_team(connection, team) for team in ("red", "blue", "green"))


def test_available_models_are_found_by_their_bytes_and_name_if_the_team_may_see_them(disk: Store) -> None:
    red: dict[str, Any] = {"team": "red", "visibility": Visibility.PRIVATE}
    put(
        disk,
        entry(1, blob=A, sd_name="x.pt"),
        entry(2, blob=A, sd_name="x.pt", **red),
        entry(3, blob=A, sd_name="x.pt", status=Status.UNAVAILABLE),
        entry(4, blob=A, sd_name="y.pt"),
        entry(5, name="mine", blob=A, team="red"),
        entry(6),
        entry(7),
    )
    put_files(
        disk,
        simple("/6", A, model_id=6),
        simple("/7", A, model_id=7, team="red", visibility=Visibility.PRIVATE),
    )
    with disk.reading() as connection:
        found = {team: list(blobs.models_named(connection, A, "x.pt", team)) for team in ("red", "blue", None)}
        of_team = [blobs.models_of_team(connection, A, "red", name) for name in ("mine", "v1", "x")]

    assert {"red": [1, 2, 6, 7], "blue": [1, 6], None: [1, 6]} == found
    assert [[5], [2], []] == of_team


def test_uploads_are_read_back_counted_and_expire_unless_they_have_a_job(disk: Store) -> None:
    put(disk, entry(1))
    complete = replace(UPLOAD, id="u2", received_at=3, model_id=1, expires_at=200, created_at=9, inspection="{}")
    with disk.transaction() as transaction:
        connection = transaction.connection
        for upload in (UPLOAD, complete, replace(UPLOAD, id="u3", kind="tus"), replace(UPLOAD, id="u0", created_at=5)):
            uploads.put(connection, upload)

        assert (UPLOAD, complete, None) == tuple(uploads.find(connection, id_) for id_ in ("u1", "u2", "u9"))
        assert (3, 0) == (uploads.open_count(connection, "red"), uploads.open_count(connection, "blue"))
        assert ["u0", "u1"] == [upload.id for upload in uploads.announced(connection, "red")]
        assert (complete, None) == (uploads.of_model(connection, 1), uploads.of_model(connection, 2))
        assert ["u0", "u1", "u3"] == sorted(upload.id for upload in uploads.expired(connection, 100))
        assert [] == uploads.expired(connection, 99)
        uploads.keep_until(connection, ["u1", "u3"], 300)
        assert ["u0", "u2"] == sorted(upload.id for upload in uploads.expired(connection, 200))
        assert {"u0", "u1", "u2", "u3"} == uploads.ids(connection)
        assert (True, False) == (uploads.remove(connection, "u1"), uploads.remove(connection, "u1"))


@pytest.mark.parametrize(
    ("changes", "is_found"),
    [
        ({}, True),
        ({"announced_sha256": None}, True),
        ({"sha256": None}, True),
        ({"announced_sha256": None, "sha256": None}, False),
        ({"kind": "put"}, False),
        ({"received_at": None}, False),
        ({"team": "blue"}, False),
    ],
)
def test_a_file_waits_for_a_commit_by_its_hash(disk: Store, changes: dict[str, Any], is_found: bool) -> None:
    upload = replace(UPLOAD, kind="hub", announced_sha256=A, sha256=A, received_at=2)
    with disk.transaction() as transaction:
        uploads.put(transaction.connection, replace(upload, id="u0", created_at=0))
        uploads.remove(transaction.connection, "u0")
        uploads.put(transaction.connection, replace(upload, **changes))
        found = uploads.for_commit(transaction.connection, "red", A)

    assert is_found == (found is not None)


# --- Covers, keys, downloads ---


def test_a_cover_has_a_file_for_each_width_and_the_stronger_origin_wins(disk: Store) -> None:
    put(disk, entry(1), entry(2))
    with disk.transaction() as transaction:
        connection = transaction.connection
        covers.put(connection, "c1", A, {320: B, 640: C}, 1)
        covers.put(connection, "c2", D, {320: B}, 1)
        assert ("c1", None) == (covers.with_sha256(connection, A), covers.with_sha256(connection, B))
        assert (B, C, None) == tuple(covers.picture(connection, "c1", width) for width in (320, 640, 1280))
        covers.give(connection, 1, covers.Origin.BESIDE, "c2")
        covers.give(connection, 1, covers.Origin.HEADER, "c1")
        assert {1: "c2"} == covers.of_models(connection, [1, 2])
        covers.give(connection, 1, covers.Origin.BESIDE, None)
        assert {1: "c1"} == covers.of_models(connection, [1, 2])


def test_outside_addresses_are_missing_until_they_are_fetched_or_failed_lately(disk: Store) -> None:
    put(
        disk,
        entry(1, cover_url="https://a", rank=1),
        entry(2, cover_url="https://a", rank=5),
        entry(3, cover_url="https://b", rank=3),
        entry(4, cover_url="/covers/c1/640.webp"),
        entry(5),
    )
    with disk.transaction() as transaction:
        connection = transaction.connection
        covers.put(connection, "c1", A, {320: B}, 1)
        assert [("https://a", [2, 1]), ("https://b", [3])] == [*covers.missing_covers(connection, range(9), 0).items()]
        covers.note_address(connection, "https://a", None, "status 404", 10)
        assert {"https://b": [3]} == covers.missing_covers(connection, range(9), 10)
        assert ["https://a", "https://b"] == [*covers.missing_covers(connection, range(9), 11)]
        assert {} == covers.at_addresses(connection, ["https://a"])
        covers.note_address(connection, "https://a", "c1", "", 10)
        assert {"https://a": "c1"} == covers.at_addresses(connection, ["https://a", "https://b"])


def test_covers_that_no_model_shows_are_collected_after_a_while(disk: Store) -> None:
    user = Facts(cover_url="/covers/of-user/640.webp")
    put(
        disk,
        entry(1, cover_url="/covers/shown/640.webp"),
        Entry(entry(2).model, {Layer.USER: user}),
        entry(3),
    )
    with disk.transaction() as transaction:
        connection = transaction.connection
        for number, name in enumerate(("shown", "of-user", "given", "old", "new")):
            covers.put(connection, name, str(number) * 64, {320: B}, 1)
        covers.give(connection, 3, covers.Origin.HEADER, "given")
        assert 2 == covers.collect(connection, 50, 50, dry_run=True)
        assert 0 == covers.collect(connection, 50, 49, dry_run=False)
        assert 0 == covers.collect(connection, 60, 49, dry_run=False)
        assert 2 == covers.collect(connection, 60, 50, dry_run=False)
        names = set(connection.execute(sa.select(schema.covers.c.name)).scalars())

    assert {"shown", "of-user", "given"} == names


def test_a_cover_that_is_shown_again_waits_anew(disk: Store) -> None:
    put(disk, entry(1))
    with disk.transaction() as transaction:
        connection = transaction.connection
        covers.put(connection, "c1", A, {320: B}, 1)
        covers.collect(connection, 10, 0, dry_run=False)
        covers.give(connection, 1, covers.Origin.HEADER, "c1")
        covers.collect(connection, 20, 0, dry_run=False)
        covers.give(connection, 1, covers.Origin.HEADER, None)
        covers.collect(connection, 30, 0, dry_run=False)

        assert (0, 1) == tuple(covers.collect(connection, 40, since, dry_run=True) for since in (29, 30))


def test_keys_are_read_back_revoked_once_and_their_last_use_only_grows(disk: Store) -> None:
    put(disk, entry(1, team="red"))
    scopes = frozenset({Scope.WRITE, Scope.READ})
    with disk.transaction() as transaction:
        connection = transaction.connection
        key = api_keys.add(connection, b"d" * 32, team="red", scopes=scopes, hint="sk_a", created_at=5, expires_at=9)
        assert api_keys.Key(key.id, "red", scopes, 5, 9, None, None, "sk_a") == key
        assert [(b"d" * 32, key)] == api_keys.keys_of(connection)
        api_keys.touch(connection, {key.id: 7})
        api_keys.touch(connection, {key.id: 6})
        assert replace(key, revoked_at=8, last_used_at=7) == api_keys.revoke(connection, key.id, 8)
        assert replace(key, revoked_at=8, last_used_at=7) == api_keys.revoke(connection, key.id, 9)
        assert api_keys.revoke(connection, key.id + 1, 9) is None


def test_an_ended_session_is_kept_until_its_cookie_expires(disk: Store) -> None:
    with disk.transaction() as transaction:
        connection = transaction.connection
        api_keys.end_session(connection, "a", 10, 1)
        api_keys.end_session(connection, "a", 10, 1)
        api_keys.end_session(connection, "b", 20, 9)
        assert {"a", "b"} == api_keys.ended_sessions(connection)
        api_keys.end_session(connection, "c", 30, 10)
        assert {"b", "c"} == api_keys.ended_sessions(connection)


def test_downloads_are_added_up(disk: Store) -> None:
    put(disk, entry(1), entry(2))
    with disk.transaction() as transaction:
        download_counts.add(transaction.connection, {1: 2, 2: 5})
        download_counts.add(transaction.connection, {1: 3})
        assert {1: 5, 2: 5} == download_counts.counts(transaction.connection, [1, 2, 3])
        assert {1: 5} == download_counts.counts(transaction.connection, [1])


@pytest.mark.parametrize("column", ["tags", "licence", "trigger_words"])
def test_a_model_with_a_damaged_list_is_a_damaged_database(disk: Store, tmp_path: Path, column: str) -> None:
    put(disk, entry(1))
    with sqlite3.connect(tmp_path / "modelyard.sqlite") as connection:
        connection.execute(f"UPDATE models SET {column} = '[\"a'")
    connection.close()

    with pytest.raises(errors.DatabaseDamaged, match="the database is damaged"):
        disk.entry(1)


def test_replicas_of_sqlite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="database_replica_url: only PostgreSQL has replicas"):
        open_store(sqlite_url(tmp_path), replicas=sqlite_url(tmp_path))
