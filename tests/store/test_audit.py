"""The audit of write transactions, on both databases."""

import time

import pytest

from modelyard import errors
from modelyard.domain import Scope
from modelyard.facts import Entry
from modelyard.store import Store, audit
from modelyard.store.audit import AuditQuery, AuditRow
from tests.app_fixture import a_model, a_private


def read(store: Store, **query: object) -> list[AuditRow]:
    """The rows, the oldest first."""
    with store.reading() as connection:
        return audit.read_rows(connection, AuditQuery(**query), None, 1000)[::-1]  # type: ignore[arg-type] # a test chooses


def put(store: Store, *ids: int, team: str | None = "red") -> int:
    with store.transaction() as transaction:
        transaction.put([Entry(a_private(id_, team) if team else a_model(id_), {}) for id_ in ids])
    return store.revision()


def test_each_change_of_a_model_has_a_row_with_its_revisions(store: Store) -> None:
    first = put(store, 1)
    put(store, 2, team=None)
    second = put(store, 1)
    with store.transaction() as transaction:
        transaction.remove([1, 2, 3])

    assert [
        ("model.create", 1, "red", None, first),
        ("model.create", 2, None, None, first + 1),
        ("model.edit", 1, "red", first, second),
        ("model.delete", 1, "red", second, None),
        ("model.delete", 2, None, first + 1, None),
    ] == [
        (row.verb, row.model_id, row.team, row.revision_before, row.revision_after)
        for row in sorted(read(store), key=lambda row: (row.revision_after or second + 1, row.model_id))
    ]


def test_a_model_that_changes_twice_in_a_transaction_has_one_row(store: Store) -> None:
    first = put(store, 1)
    with store.transaction() as transaction:
        transaction.put([Entry(a_private(1, "red"), {})])
        transaction.put([Entry(a_private(1, "red", rank=5), {}), Entry(a_private(2, "red"), {})])
        transaction.remove([2])

    assert [("model.create", 1, None), ("model.edit", 1, first)] == [
        (row.verb, row.model_id, row.revision_before) for row in read(store)
    ]


def test_texts_of_users_are_no_sql(store: Store) -> None:
    text = "it's \\'; DROP TABLE audit; -- $$ %s %(name)s E'\\n' \\\\' ü \U0001f600 ';COMMIT;"
    with store.transaction() as transaction:
        transaction.audit.note("webhook.create", text, "red")

    assert [text] == [row.subject for row in read(store)]


@pytest.mark.parametrize("problem", [errors.Rollback, RuntimeError])
def test_an_undone_transaction_has_no_row(store: Store, problem: type[Exception]) -> None:
    try:
        with store.transaction() as transaction:
            transaction.put([Entry(a_model(1), {})])
            transaction.audit.note("webhook.create", "x", "red")
            raise problem
    except RuntimeError:
        pass

    assert [] == read(store)


def test_many_models_have_a_row_for_each_team_and_verb(store: Store) -> None:
    count = audit.MODEL_ROWS_MAX + 1
    with store.transaction() as transaction:
        reds = [Entry(a_private(id_, "red"), {}) for id_ in range(count)]
        transaction.put([*reds, Entry(a_private(1000, "blue"), {})])

    assert {("red", None, count), ("blue", 1000, 1)} == {(row.team, row.model_id, row.models) for row in read(store)}


def test_a_change_that_moves_no_model_has_its_row(store: Store) -> None:
    with store.transaction() as transaction:
        key = transaction.add_key(b"0" * 32, team="red", scopes=frozenset({Scope.READ}), hint="sk_a…", expires_at=None)
        transaction.audit.note("webhook.create", "id", "red")
    with store.transaction() as transaction:
        transaction.revoke_key(key.id)

    assert [("key.create", "sk_a…"), ("webhook.create", "id"), ("key.revoke", "sk_a…")] == [
        (row.verb, row.subject) for row in read(store)
    ]
    assert ["key.create", "key.revoke"] == [row.verb for row in read(store, verb="key")]


def test_rows_from_before_a_time_are_pruned(store: Store) -> None:
    put(store, 1)
    (row,) = read(store)
    with store.transaction() as transaction:
        assert 0 == audit.prune(transaction.connection, row.at)
        assert 1 == audit.prune(transaction.connection, row.at + 1)

    assert [] == read(store)
    assert abs(time.time() - row.at) < 3600
