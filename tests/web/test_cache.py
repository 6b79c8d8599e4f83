"""The caches: their limit in bytes, and values that are valid for one revision."""

from modelyard.web.cache import LRUCache, RevisionCache


def test_the_size_is_limited_and_the_most_recently_used_values_stay() -> None:
    cache: LRUCache[int, str] = LRUCache(100)
    for number in range(10):
        cache.put(number, str(number), 30)
        cache.get(0)
    cache.put(0, "replaced", 50)

    assert ["replaced", "9"] == [value for number in range(10) if (value := cache.get(number)) is not None]
    cache.put(99, "larger than all", 101)
    assert (None, "9") == (cache.get(99), cache.get(9))


def values_of(cache: LRUCache[str, int], keys: str) -> str:
    return "".join(key for key in keys if cache.get(key) is not None)


def test_a_cache_is_filled_to_its_last_byte() -> None:
    cache: LRUCache[str, int] = LRUCache(100)
    for key in "abcd":
        cache.put(key, 1, 25)
    assert "abcd" == values_of(cache, "abcd")

    cache.put("e", 1, 1)
    assert "bcde" == values_of(cache, "abcde")
    cache.put("f", 1, 100)
    assert "f" == values_of(cache, "abcdef")


def test_a_value_that_was_read_stays_longer() -> None:
    cache: LRUCache[str, int] = LRUCache(2)
    cache.put("a", 1, 1)
    cache.put("b", 1, 1)
    cache.get("a")
    cache.put("c", 1, 1)

    assert "ac" == values_of(cache, "abc")


class Source:
    """A value that changes with its revision, and a count of how often it was made."""

    def __init__(self) -> None:
        self.revision = 1
        self.count = 0

    def make(self) -> str:
        self.count += 1
        return f"value {self.count}"


def a_cache(source: Source) -> RevisionCache[str, str]:
    return RevisionCache(100, lambda: source.revision, lambda key, value: len(key) + len(value))


def test_a_value_is_made_once_for_a_revision() -> None:
    source = Source()
    cache = a_cache(source)

    assert ["value 1", "value 1"] == [cache.get_or_make("a", 1, source.make) for _ in range(2)]


def test_a_value_is_made_again_after_the_revision_changed() -> None:
    source = Source()
    cache = a_cache(source)
    cache.get_or_make("a", 1, source.make)
    source.revision = 2

    assert ["value 2", "value 2"] == [cache.get_or_make("a", 2, source.make) for _ in range(2)]


def test_a_value_is_not_stored_if_the_revision_changed_while_it_was_made() -> None:
    source = Source()
    cache = a_cache(source)

    def make() -> str:
        source.revision = 2
        return source.make()

    assert "value 1" == cache.get_or_make("a", 1, make)
    source.revision = 1
    assert "value 2" == cache.get_or_make("a", 1, source.make)


def test_a_value_that_is_larger_than_the_cache_is_not_stored() -> None:
    source = Source()
    cache = a_cache(source)
    key = 100 * "a"

    assert ["value 1", "value 2"] == [cache.get_or_make(key, 1, source.make) for _ in range(2)]
