"""What a segment keeps of earlier questions: how much, and what goes first."""

from pyroaring import BitMap

from modelyard.index.set_cache import ENTRY_BYTES, SetCache, size_of_rows


def keys_of(cache: SetCache, keys: str) -> str:
    return "".join(key for key in keys if cache.get(key) is not None)


def test_an_entry_counts_with_its_bookkeeping() -> None:
    cache = SetCache(10_000)
    cache.put("a", 1, 100)
    cache.put("b", 2, 0)

    assert (2, 2 * ENTRY_BYTES + 100) == (len(cache), cache.size_bytes)
    assert 400 == ENTRY_BYTES


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = SetCache(3 * (ENTRY_BYTES + 100))
    for key in "abc":
        cache.put(key, key, 100)
    assert cache.get("a") == "a"

    cache.put("d", "d", 100)
    assert "acd" == keys_of(cache, "abcd")
    cache.put("e", "e", 101)

    assert "de" == keys_of(cache, "abcde")
    assert 2 * ENTRY_BYTES + 201 == cache.size_bytes


def test_a_value_that_is_put_again_counts_once() -> None:
    cache = SetCache(10_000)
    for value in range(5):
        cache.put("a", value, 1_000)

    assert (4, 1, ENTRY_BYTES + 1_000) == (cache.get("a"), len(cache), cache.size_bytes)


def test_a_value_larger_than_the_cache_is_not_kept() -> None:
    cache = SetCache(1_000)
    cache.put("a", "a", 1_000 - ENTRY_BYTES)
    cache.put("b", "b", 1_001 - ENTRY_BYTES)

    assert "a" == keys_of(cache, "ab")


def test_rows_take_two_bytes_each_or_a_bit_of_all() -> None:
    assert [0, 20, 64, 189] == [
        size_of_rows(BitMap(range(count)), space) for count, space in ((0, 0), (10, 1_000), (100, 0), (1_000, 1_000))
    ]
