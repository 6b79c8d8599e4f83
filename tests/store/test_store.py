"""The store's contract, the same for every database.

What only one kind of database does is in test_sqlite.py and test_postgresql.py; many processes in
test_store_processes.py.
"""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard import errors
from modelyard.base_models import KNOWN
from modelyard.domain import (
    OWN_ID_MAX,
    OWN_ID_MIN,
    BaseModel,
    Hashes,
    Licence,
    Model,
    ModelType,
    Source,
    Status,
    Visibility,
    fold_base,
)
from modelyard.facts import FACT_NAMES, Entry, Facts, Image, Layer, Recommended, Resource
from modelyard.store import Store, lookup, migrate, schema
from tests.databases import EVERY_ORDER, Open
from tests.processes import entry

INT64_MAX = 2**63 - 1


def private(id_: int, team: str, **given: Any) -> Entry:
    return entry(id_, visibility=Visibility.PRIVATE, team=team, **given)


def put(store: Store, *entries: Entry) -> int:
    with store.transaction() as writing:
        writing.put(entries)
    return writing.revision


def remove(store: Store, *ids: int) -> None:
    with store.transaction() as writing:
        writing.remove(ids)


def models_in(store: Store) -> dict[int, Model]:
    with store.snapshot() as snapshot:
        return {model.id: model for model in snapshot.models()}


# --- What is kept ----------------------------------------------------------------------------------------------------

EVERYTHING = Entry(
    Model(
        id=INT64_MAX,
        name="Ünïcödé 手 😀 \t\r\n 'quoted\" \\ %s :x \x7f \ufeff",
        sd_name="x.safetensors",
        type=ModelType("ünknown", "Ünknown"),
        source=Source.TRAINING,
        visibility=Visibility.PRIVATE,
        team="a-team_1",
        status=Status.UNAVAILABLE,
        base_model="SD 9",
        base_model_type="Inpainting",
        is_sdxl=True,
        is_nsfw=True,
        tags=("", "手描き", 'a"b', "a\\b", "a"),
        categories=("style", "tool"),
        cover_url="https://example.org/ü?a=b",
        rank=-INT64_MAX - 1,
        hashes=Hashes("A" * 8, "B" * 64, "C" * 64, "D" * 64, "E" * 8, "C" * 10),
        blob="c" * 64,
        file_hashes=("0" * 10, "F" * 64),
        title="手 \t😀",
        creator="Ünïcödé",
        trigger_words=("a", "\x00"),
        file_names=("手.safetensors",),
        published_at=0,
        updated_at=INT64_MAX,
        added_at=1,
        size_bytes=INT64_MAX,
        licence=Licence("x", "X", "https://x", (), False, True, None),
        version_group="a-team_1/手",
    ),
    {
        Layer.GUESS: Facts(),
        Layer.USER: Facts(
            name="",
            type=ModelType("x", "X"),
            is_nsfw=False,
            tags=(),
            rank=0,
            hashes=Hashes(crc32="E" * 8),
            size_bytes=2**70,
            licence=Licence(name="手", allow_commercial=("image",), allow_derivatives=False),
            images=(
                Image("x"),
                Image("y", 1, 2, False, "p\n", "", 2**70, "s", 0, 7.5, (Resource("手", weight=0.5), Resource())),
            ),
            recommended=Recommended(weight=0.8, clip_skip=2),
            trigger_words=("a", "\x00"),
            notes="手\n😀",
            evidence=("tensor a.b: 1 × 2",),
        ),
    },
)


def test_an_entry_is_read_back_as_it_was_put(store: Store) -> None:
    put(store, EVERYTHING, entry(0))

    assert EVERYTHING == store.entry(INT64_MAX)
    assert entry(0) == store.entry(0)
    assert {0: entry(0).model, INT64_MAX: EVERYTHING.model} == models_in(store)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
some_facts = st.fixed_dictionaries(
    {},
    optional={
        "name": texts,
        "tags": st.lists(texts, max_size=3).map(tuple),
        "rank": st.integers(),
        "is_nsfw": st.booleans(),
        "hashes": st.builds(Hashes, sha256=st.none() | texts),
        "type": st.builds(ModelType, texts, texts),
    },
).map(lambda said: Facts(**said))
some_entries = st.builds(
    lambda name, tags, rank, flags, autov2, layers: Entry(
        replace(
            entry(1).model,
            name=name,
            tags=tuple(tags),
            rank=rank,
            is_sdxl=flags[0],
            is_nsfw=flags[1],
            hashes=Hashes(autov2=autov2),
        ),
        layers,
    ),
    texts,
    st.lists(texts, max_size=3),
    st.integers(-INT64_MAX - 1, INT64_MAX),
    st.tuples(st.booleans(), st.booleans()),
    st.none() | texts.filter(bool),
    st.dictionaries(st.sampled_from(Layer), some_facts, max_size=5),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_entry=some_entries)
def test_any_entry_replaces_the_one_before_it_whole(store: Store, given_entry: Entry) -> None:
    put(store, given_entry)

    assert given_entry == store.entry(1)
    assert {1: given_entry.model} == models_in(store)


def test_the_everything_entry_speaks_of_every_column_and_fact() -> None:
    """So that a field that is added to the domain and forgotten here is noticed."""
    silent = {name for name in FACT_NAMES if getattr(EVERYTHING.layers[Layer.USER], name) is None}
    model = EVERYTHING.model
    columns = {c.name for c in schema.models.columns} - {"revision", "type_name", "type_display_name"}
    columns -= set(Hashes.__dataclass_fields__)

    assert {"sd_name", "base_model", "base_model_type", "categories", "cover_url"} <= silent
    assert {name for name in Model.__dataclass_fields__ if name not in ("type", "hashes")} == columns
    assert all(getattr(model, name) not in ("", (), None) for name in columns - {"status"})


@pytest.mark.parametrize("count", [1, 49, 50, 3_000])
def test_many_are_put_at_once_over_others_that_are_there(store: Store, count: int) -> None:
    put(store, *(entry(id_) for id_ in range(0, count, 2)))
    renewed = [replace(entry(id_), model=replace(entry(id_).model, name="v2")) for id_ in range(count)]

    put(store, *renewed)

    assert {e.model.id: e.model for e in renewed} == models_in(store)
    with store.transaction() as writing:
        assert {e.model.id: e for e in renewed} == writing.entries(range(-5, count + 5))


def test_the_last_of_two_entries_with_one_id_is_kept(store: Store) -> None:
    put(store, entry(1, name="first"), entry(1, name="last"))

    assert entry(1, name="last") == store.entry(1)


def test_an_absent_model_is_none(store: Store) -> None:
    for id_ in (0, 1, -1, INT64_MAX, INT64_MAX + 1, -(2**70)):
        assert store.entry(id_) is None


def test_a_writer_sees_what_it_has_put(store: Store) -> None:
    with store.transaction() as writing:
        writing.put([entry(1), entry(2)])
        writing.remove([2])

        assert {1: entry(1)} == writing.entries([1, 2, 3])


# --- What is refused -------------------------------------------------------------------------------------------------


def with_facts(**facts: Any) -> Entry:
    return replace(entry(2), layers={Layer.USER: Facts(**facts)})


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (entry(2, name="a\0"), "NUL"),
        (entry(2, tags=("ok", "\0")), "NUL"),
        (entry(2, categories=("a\0b",)), "NUL"),
        (entry(2, hashes=Hashes(crc32="\0")), "NUL"),
        (entry(2, sd_name="\ud800.pt"), "surrogate"),
        (entry(2, cover_url="手\udfff"), "surrogate"),
        (entry(2, type=ModelType("x", "\udc80")), "surrogate"),
        (with_facts(notes="\ud800"), "surrogate"),
        (with_facts(tags=("a", "\ud800")), "surrogate"),
        (entry(-1), "outside 0 to"),
        (entry(INT64_MAX + 1), "outside 0 to"),
        (entry(2, rank=INT64_MAX + 1), "64 bits"),
        (entry(2, rank=-INT64_MAX - 2), "64 bits"),
        (entry(2, visibility=Visibility.PRIVATE), "no team"),
        (private(2, ""), "team"),
        (private(2, "Acme"), "team"),
        (private(2, "-acme"), "team"),
        (private(2, "acme\n"), "team"),
        (private(2, "a" * 64), "team"),
        (private(2, "\ud800"), "team"),
    ],
)
def test_what_a_database_cannot_keep_is_refused_before_anything_is_written(
    store: Store, bad: Entry, problem: str
) -> None:
    with store.transaction() as writing:
        with pytest.raises(errors.InvalidValue, match=problem):
            writing.put([entry(1), bad])
        writing.put([entry(3)])

    assert {3} == models_in(store).keys()


def test_a_refusal_can_be_shown_to_the_caller(store: Store) -> None:
    """Its facts are text that can be encoded, whatever was refused."""
    with pytest.raises(errors.InvalidValue) as refused:
        put(store, private(2, "\ud800"))

    str(refused.value.facts).encode()


# --- Revisions and following -----------------------------------------------------------------------------------------


def test_every_transaction_that_changes_models_takes_the_next_revision(store: Store) -> None:
    assert 0 == store.revision()

    assert 1 == put(store, entry(1), entry(2))
    assert 2 == put(store, entry(1))
    remove(store, 2)

    assert 3 == store.revision()
    assert 3 == store.revision_hint()


def test_a_transaction_that_changes_no_model_takes_no_revision(store: Store) -> None:
    put(store, entry(1))
    with store.transaction() as writing:
        writing.put([])
        writing.remove([])
        writing.remove([7])
        writing.next_own_id()
        writing.remember("a", "b")
        writing.put_base_model(BaseModel("New", "", is_sdxl=False))
        writing.add_key(b"d" * 32, team="acme", scopes=frozenset(), hint="sk_", expires_at=None)

    assert 1 == store.revision()
    assert 2 == put(store, entry(2))


def test_the_last_id_that_clients_can_hold_is_given_and_none_after_it(store: Store) -> None:
    """Clients in other languages keep ids in 32 bits."""
    with store.transaction() as transaction:
        transaction.connection.execute(
            sa.update(schema.counters).where(schema.counters.c.name == schema.NEXT_OWN_ID).values(value=2**31 - 1)
        )

    with store.transaction() as transaction:
        last = transaction.next_own_id()
        with pytest.raises(errors.Unavailable, match="all ids"):
            transaction.next_own_id()

    assert 2_147_483_647 == last


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    put(store, entry(1))

    def fail() -> None:
        with store.transaction() as writing:
            writing.put([entry(2), private(3, "new-team")])
            writing.remove([1])
            own_ids.append(writing.next_own_id())
            writing.remember("a", "b")
            raise ZeroDivisionError

    own_ids: list[int] = []
    with pytest.raises(ZeroDivisionError):
        fail()

    assert {1} == models_in(store).keys()
    assert (1, 1) == (store.revision(), store.revision_hint())
    assert [] == store.teams()
    assert store.get_property("a") is None
    with store.transaction() as writing:
        assert own_ids == [writing.next_own_id()]


def test_a_follower_gets_what_changed_after_its_revision_and_no_more(store: Store) -> None:
    put(store, entry(1), entry(2), entry(3))
    put(store, entry(4))
    remove(store, 1)
    put(store, entry(2, name="v2"))

    def following(after: int) -> tuple[int, set[str], list[int]]:
        changes = store.changes(after)
        return changes.revision, {f"{model.id} {model.name}" for model in changes.models}, changes.removed

    assert (4, {"2 v2", "3 v1", "4 v1"}, [1]) == following(0)
    assert (4, {"2 v2", "4 v1"}, [1]) == following(1)
    assert (4, {"2 v2"}, [1]) == following(2)
    assert (4, {"2 v2"}, []) == following(3)
    assert (4, set(), []) == following(4)
    assert (3, 1, 0) == (store.changed_count(0), store.changed_count(2), store.changed_count(4))


def test_a_model_that_comes_back_is_not_told_as_removed(store: Store) -> None:
    put(store, entry(1))
    remove(store, 1)
    put(store, entry(1))

    changes = store.changes(0)

    assert ([entry(1).model], []) == (changes.models, changes.removed)


def test_a_model_that_came_and_went_is_told_as_removed_by_its_last_revision(store: Store) -> None:
    put(store, entry(1))
    remove(store, 1)
    put(store, entry(1))
    remove(store, 1)

    assert [1] == store.changes(3).removed
    assert [] == store.changes(4).removed


def test_one_transaction_may_put_and_remove_the_same_model(store: Store) -> None:
    with store.transaction() as writing:
        writing.put([entry(1)])
        writing.remove([1])
        writing.put([entry(1, name="v2")])

    changes = store.changes(0)

    assert (["v2"], []) == ([model.name for model in changes.models], changes.removed)


def test_a_snapshot_stays_as_it_was_while_others_write(store: Store) -> None:
    put(store, *(entry(id_) for id_ in range(1_200)))

    with store.snapshot() as snapshot:
        models = snapshot.models()
        seen = {next(models).id}
        put(store, *(entry(id_, name="v2") for id_ in range(600, 1_800)))
        remove(store, 0, 1)
        seen |= {model.id for model in models if model.name == "v1"}

        assert set(range(1_200)) == seen
        assert (1, 1_200) == (snapshot.revision, snapshot.count)
    assert 1_798 == len(models_in(store))


def test_reading_does_not_wait_for_a_writer(store: Store) -> None:
    put(store, entry(1))

    with store.transaction() as writing:
        writing.put([entry(1, name="v2"), entry(2)])

        assert entry(1) == store.entry(1)
        assert {1} == models_in(store).keys()
        assert (1, 1) == (store.revision(), store.revision_hint())
    assert (2, 2) == (store.revision(), store.revision_hint())


def test_writers_of_one_process_take_turns(store: Store) -> None:
    """Sixteen threads, one model each a transaction: every revision is taken once, and none is lost."""
    taken: list[int] = []

    def write(first_id: int) -> None:
        taken.extend(put(store, entry(id_)) for id_ in range(first_id, first_id + 5))

    threads = [threading.Thread(target=write, args=(number * 100,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(1, 81)) == sorted(taken)
    assert 80 == len(models_in(store))
    assert 80 == store.revision_hint()


# --- Ids, names, notes -----------------------------------------------------------------------------------------------


def test_ids_of_ours_are_never_given_twice(store: Store) -> None:
    with store.transaction() as writing:
        first, second = writing.next_own_id(), writing.next_own_id()
        writing.put([entry(first), entry(second)])
    remove(store, second)

    with store.transaction() as writing:
        assert [OWN_ID_MIN, OWN_ID_MIN + 1, OWN_ID_MIN + 2] == [first, second, writing.next_own_id()]


def test_an_id_of_ours_that_came_from_elsewhere_is_not_given_again(store: Store) -> None:
    put(store, entry(OWN_ID_MIN + 41))
    put(store, entry(OWN_ID_MIN + 7), entry(OWN_ID_MAX + 1))
    remove(store, OWN_ID_MIN + 41)

    with store.transaction() as writing:
        assert OWN_ID_MIN + 42 == writing.next_own_id()


def test_the_last_id_of_ours_is_given_and_none_after_it(store: Store) -> None:
    put(store, entry(OWN_ID_MAX - 1))

    with store.transaction() as writing:
        last = writing.next_own_id()
    with pytest.raises(errors.Unavailable, match="all ids"), store.transaction() as writing:
        writing.next_own_id()

    assert OWN_ID_MAX == last


def test_when_all_ids_of_ours_are_taken_it_is_said(store: Store) -> None:
    put(store, entry(OWN_ID_MAX))

    with pytest.raises(errors.Unavailable, match="all ids"), store.transaction() as writing:
        writing.next_own_id()


@pytest.mark.parametrize(
    ("sd_name", "team", "besides", "taken"),
    [
        ("public", None, None, True),
        ("public", None, 1, False),
        ("public", "red", None, True),
        ("red's", "red", None, True),
        ("red's", "red", 2, False),
        ("red's", "blue", None, False),
        ("red's", None, None, True),
        ("Public", None, None, False),
        ("nobody's", None, None, False),
    ],
)
def test_a_name_is_taken_if_another_model_that_the_team_can_see_has_it(
    store: Store, sd_name: str, team: str | None, besides: int | None, taken: bool
) -> None:
    put(store, entry(1, sd_name="public"), private(2, "red", sd_name="red's"))

    with store.transaction() as writing:
        assert taken == writing.sd_name_taken(sd_name, team, besides)


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ("7", [7]),
        ("99", [9]),  # no such id, and a model of that name
        ("9223372036854775808", []),  # one more than any database's integer
        ("9" * 30, []),
        ("night", [8, 7]),  # the most popular first
        ("100%", [9]),
        ("n_ght", []),
        ("AB" * 32, [7]),
        ("sha256:" + "ab" * 32, [7]),
        (" 0xABABABABAB", [7]),
    ],
)
def test_a_model_is_found_by_id_name_or_hash_as_a_person_writes_it(store: Store, wanted: str, ids: list[int]) -> None:
    put(
        store,
        entry(7, sd_name="night.pt", rank=1, hashes=Hashes(sha256="AB" * 32)),
        entry(8, sd_name="night.safetensors", rank=2),
        entry(9, sd_name="100%.safetensors", name="99"),
        entry(10, sd_name="100 nights.safetensors"),
        entry(11, sd_name="100%x.safetensors"),
    )

    with store.reading() as connection:
        assert ids == lookup.model_ids(connection, wanted)


@EVERY_ORDER
def test_teams_come_into_being_with_what_names_them(store: Store) -> None:
    put(store, private(1, "red"), entry(2, team="blue"), entry(3))
    put(store, private(4, "red"))

    assert ["blue", "red"] == store.teams()


@EVERY_ORDER
def test_names_come_in_the_order_of_their_bytes_whatever_the_locale_of_the_database(store: Store) -> None:
    names = ["a-b", "aa", "b"]
    with store.transaction() as writing:
        for number, name in enumerate(reversed(names)):
            writing.add_key(bytes([number]), team=name, scopes=frozenset(), hint="", expires_at=None)

    assert names == store.teams()


def test_notes_are_kept_replaced_and_forgotten(store: Store) -> None:
    with store.transaction() as writing:
        writing.remember("a", "1")
        writing.remember("b", "2")
        writing.remember("a", "手")
        writing.remember("b", None)
        writing.remember("c", None)

    assert ("手", None, None) == (store.get_property("a"), store.get_property("b"), store.get_property("c"))


def test_a_database_has_an_identity_that_stays(url: str, open_at: Open) -> None:
    identity = open_at(url).identity

    assert 32 == len(identity)
    assert identity == open_at(url).identity


# --- Base models -----------------------------------------------------------------------------------------------------

SDXL_NAMES = {
    *("SDXL 0.9", "SDXL 1.0", "SDXL 1.0 LCM", "SDXL Turbo", "SDXL Lightning", "SDXL Hyper", "SDXL Distilled"),
    *("Pony", "Illustrious", "NoobAI"),
}


@EVERY_ORDER
def test_the_known_base_models_are_there_and_say_what_is_sdxl(store: Store) -> None:
    found = {base_model.name: base_model for base_model in store.base_models()}

    assert {known.name: known for known in KNOWN} == found
    assert SDXL_NAMES == {name for name, base_model in found.items() if base_model.is_sdxl}
    assert "AuraFlow" == found["Pony V7"].architecture


def test_no_spelling_means_two_base_models() -> None:
    spellings = [fold_base(spelling) for known in KNOWN for spelling in {known.name, *known.aliases}]

    assert len(spellings) == len(set(spellings))


def test_a_base_model_is_added_and_replaced_by_its_name(store: Store) -> None:
    with store.transaction() as writing:
        writing.put_base_model(BaseModel("New 1", "", is_sdxl=False))
        writing.put_base_model(BaseModel("New 1", "New", is_sdxl=True, aliases=("n1", "ü")))

    found = {base_model.name: base_model for base_model in store.base_models()}
    assert BaseModel("New 1", "New", is_sdxl=True, aliases=("n1", "ü")) == found["New 1"]
    assert len(KNOWN) + 1 == len(found)


def test_every_name_that_civitai_uses_is_known(data_dir: Path) -> None:
    """The names of the whole site's statistics, but for the two that mean "none of these"."""
    rows = (data_dir / "stats" / "whole-site-2025-11").glob("17_*.csv")
    names = {line.partition(",")[0] for path in rows for line in path.read_text().splitlines()[1:]}

    assert len(names) > 60
    assert {"NULL/unknown"} == names - {known.name for known in KNOWN}


# --- Opening ---------------------------------------------------------------------------------------------------------


def test_what_was_committed_is_there_after_opening_again(url: str, open_at: Open) -> None:
    first = open_at(url)
    put(first, EVERYTHING)
    first.close()

    second = open_at(url)

    assert EVERYTHING == second.entry(INT64_MAX)
    assert (1, 1) == (second.revision(), second.revision_hint())


def test_the_migrations_make_what_the_schema_says(url: str, store: Store) -> None:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": migrate.VERSION_TABLE, "compare_server_default": True}
        )
        differences = compare_metadata(context, schema.metadata)
        checks = {
            check["name"] for table in ("models",) for check in sa.inspect(connection).get_check_constraints(table)
        }
    engine.dispose()

    assert [] == differences
    assert {"ck_models_private_has_team", "ck_models_status"} == checks


def test_a_database_of_a_newer_version_is_left_alone(url: str, store: Store, open_at: Open) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'"))
        # One that says that it still serves this version is worked with: test_upgrades.py.
        connection.execute(sa.text(f"UPDATE notes SET value = '9999' WHERE key = '{migrate.SERVES_NOTE}'"))
    engine.dispose()

    with pytest.raises(errors.ConfigurationError, match=r"newer version of Modelyard.*9999.*upgrade"):
        open_at(url)


def test_a_database_of_another_program_is_left_alone(url: str, open_at: Open) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE models (x INTEGER)"))

    with pytest.raises(errors.ConfigurationError, match=r"another program \(models\)"):
        open_at(url)
    with engine.connect() as connection:
        assert {"models"} == set(sa.inspect(connection).get_table_names())
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "not a database URL"),
        ("modelyard.sqlite", "not a database URL"),
        ("mysql://localhost/x", "'mysql' is not supported"),
        ("sqlite://", "plain path"),
        ("sqlite:///:memory:", "plain path"),
        ("sqlite:////nowhere/at/all/x.sqlite", "the folder /nowhere/at/all does not exist"),
    ],
)
def test_a_url_that_names_no_database_is_refused(url: str, problem: str, open_at: Open) -> None:
    with pytest.raises(errors.ConfigurationError, match=problem):
        open_at(url)


def test_the_shown_url_has_no_password(open_at: Open) -> None:
    with pytest.raises(errors.ConfigurationError) as refused:
        open_at("postgresql://me:secret@127.0.0.1:1/x")

    assert "secret" not in refused.value.message
    assert "me:***@127.0.0.1:1/x" in refused.value.message
