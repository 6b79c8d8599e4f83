"""The keys of the index's sets, and distances of words, as tables."""

import pytest

from modelyard.index.suggest import edit_distance
from modelyard.index.terms import FILTER_KEY_MIN, filter_key, gram_keys, hash_key

ONE, TWO, THREE = 1 << 24, 2 << 24, 3 << 24


@pytest.mark.parametrize(
    ("term", "keys"),
    [
        (b"a", [ONE | 0x61]),
        (b"ab", [TWO | 0x6162]),
        (b"abc", [THREE | 0x616263]),
        (b"abcd", [THREE | 0x616263, THREE | 0x626364]),
        (b"aaaaa", [THREE | 0x616161]),
        ("夜".encode(), [THREE | 0xE5A49C]),
    ],
)
def test_a_term_has_the_keys_of_its_trigrams_or_of_itself(term: bytes, keys: list[int]) -> None:
    assert keys == gram_keys(term)


def test_keys_of_filters_are_above_all_others_and_differ() -> None:
    names = ["type=lora", "type=lorb", "tag=lora", "tag=anime", ""]
    keys = {filter_key(name) for name in names}

    assert len(names) == len(keys)
    assert all(FILTER_KEY_MIN <= key < 1 << 63 for key in keys)
    assert 4877585018649076898 == filter_key("type=lora")


def test_keys_of_hashes_come_from_all_digits_and_their_number() -> None:
    assert {hash_key("0"): 1, hash_key("1"): 2, hash_key("00"): 3} == {1: 1, 68: 2, 2: 3}
    assert 64 == hash_key("0" * 64)
    assert all(0 <= hash_key(digit * 64) < 2**61 for digit in "0123456789ABCDEF")
    assert 16 == len({hash_key(digit + "0" * 63) for digit in "0123456789ABCDEF"})


@pytest.mark.parametrize(
    ("one", "other", "allowed", "distance"),
    [
        ("harbour", "harbour", 2, 0),
        ("harbour", "harbor", 2, 1),
        ("harbour", "harbours", 2, 1),
        ("harbour", "harbuor", 2, 1),
        ("harbour", "hrabuor", 2, 2),
        ("harbour", "herbour", 2, 1),
        ("abc", "cab", 2, 2),
        ("ab", "ba", 1, 1),
        ("abcd", "badc", 2, 2),
        ("kitten", "sitting", 3, 3),
        ("kitten", "sitting", 2, 3),
        ("a", "abcd", 2, 3),
        ("", "ab", 2, 2),
        ("night", "light", 0, 1),
        ("night", "xxxxx", 2, 3),
    ],
)
def test_a_distance_counts_changes_and_stops_above_what_is_allowed(
    one: str, other: str, allowed: int, distance: int
) -> None:
    assert distance == edit_distance(one, other, allowed)
