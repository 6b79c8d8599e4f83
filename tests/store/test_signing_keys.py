"""The secrets that sign links, as rows: which one signs, when the others end, and when they are forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.store import Store, open_store, signing_keys

NOW = 1_700_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(f"sqlite:///{tmp_path}/modelyard.sqlite")
    yield store
    store.close()


def add(store: Store, secret: bytes, now: int, others_end_at: int) -> list[tuple[int, bytes, int, int | None]]:
    """Add a secret, and return all secrets, with times from NOW on."""
    with store.transaction() as transaction:
        signing_keys.add_signing_key(transaction.connection, secret, now, others_end_at=others_end_at)
        keys = signing_keys.signing_keys(transaction.connection)
    return [(key.id, key.secret, key.created_at - NOW, key.ends_at and key.ends_at - NOW) for key in keys]


def test_the_newest_signs_and_the_others_end_at_the_earliest_time_that_was_set(store: Store) -> None:
    assert [(1, b"a", 0, None)] == add(store, b"a", NOW, NOW + 5)
    assert [(1, b"a", 0, 100), (2, b"b", 10, None)] == add(store, b"b", NOW + 10, NOW + 100)
    assert [(1, b"a", 0, 100), (2, b"b", 10, 300), (3, b"c", 20, None)] == add(store, b"c", NOW + 20, NOW + 300)
    assert [(1, b"a", 0, 50), (2, b"b", 10, 50), (3, b"c", 20, 50), (4, b"d", 30, None)] == add(
        store, b"d", NOW + 30, NOW + 50
    )


def test_a_secret_is_forgotten_in_the_second_in_which_it_ends(store: Store) -> None:
    add(store, b"a", NOW, NOW)
    add(store, b"b", NOW, NOW + 10)

    assert [(1, b"a", 0, 10), (2, b"b", 0, 20), (3, b"c", 9, None)] == add(store, b"c", NOW + 9, NOW + 20)
    assert [(2, b"b", 0, 20), (3, b"c", 9, 30), (4, b"d", 10, None)] == add(store, b"d", NOW + 10, NOW + 30)


def test_an_end_at_once_forgets_the_others_and_gives_no_id_again(store: Store) -> None:
    add(store, b"a", NOW, NOW)

    assert [(2, b"b", 5, None)] == add(store, b"b", NOW + 5, NOW + 5)
    assert [(3, b"c", 6, None)] == add(store, b"c", NOW + 6, NOW + 6)
