"""Words of a question that name a base model, a type or a tag: the filters that they stand for."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from modelyard.domain import TYPE_FAMILIES, ModelQuery, squeeze
from modelyard.index.search import LiveSegment
from modelyard.index.segment import Segment

# The longest name that is looked for, in words, such as "Flux.1 Kontext dev".
_WORDS_MAX = 4
_FIELDS = ("base", "type")
# The last word of a question may be the beginning of a name, if it has so many letters.
_BEGINNING_MIN = 2


def filters_named(parts: Sequence[LiveSegment], query: ModelQuery) -> Iterator[tuple[str, str, ModelQuery]]:
    """Yield a field (``base`` or ``type``), the value that words of the query name, and the query with that filter
    instead of the words. The longest names come first."""
    words = query.words
    for field in _FIELDS:
        names = _names(parts, field)
        for size in range(min(_WORDS_MAX, len(words)), 0, -1):
            for at in range(len(words) - size + 1):
                value = names.get("".join(words[at : at + size]))
                if value is not None:
                    yield field, value, _with_filter(query, field, value, words[:at] + words[at + size :])


def filters_offered(parts: Sequence[LiveSegment], query: ModelQuery) -> Iterator[tuple[str, str, ModelQuery]]:
    """Yield the same for base models, types and tags, also if the last words are only the beginning of a name."""
    words = query.words
    yield from filters_named(parts, query)
    for size in range(min(_WORDS_MAX, len(words)), 0, -1):
        beginning, rest = "".join(words[-size:]), words[:-size]
        if len(beginning) < _BEGINNING_MIN:
            continue
        for field in _FIELDS:
            for name, value in _names(parts, field).items():
                if name.startswith(beginning):
                    yield field, value, _with_filter(query, field, value, rest)
        for tag in _tags_beginning(parts, beginning):
            yield "tag", tag, replace(query, words=rest, tags=(*query.tags, tag))


def tags_with(parts: Sequence[LiveSegment], text: str) -> Iterator[str]:
    """Yield the frequent tags that have a text, the most frequent ones of each segment first, each once."""
    tags = (tag for part in parts for tag in part.segment.filters.tag_names[0] if text in tag)
    yield from dict.fromkeys(tags)


def _tags_beginning(parts: Sequence[LiveSegment], beginning: str) -> Iterator[str]:
    """Yield for each segment its most frequent tag that begins so, and the tag of exactly these letters."""
    for part in parts:
        names, letters = part.segment.filters.tag_names
        low = bisect_left(letters, (beginning, 0))
        high = bisect_left(letters, (beginning + "\U0010ffff", 0))
        places = [at for name, at in letters[low:high] if name == beginning]
        if low < high:
            places.append(min(at for _, at in letters[low:high]))
        yield from (names[at] for at in places)


def _with_filter(query: ModelQuery, field: str, value: str, words: tuple[str, ...]) -> ModelQuery:
    if field == "base":
        return replace(query, words=words, base_models=frozenset({value}))
    return replace(query, words=words, types=TYPE_FAMILIES.get(value, frozenset({value})))


def _names(parts: Sequence[LiveSegment], field: str) -> Mapping[str, str]:
    """Return the values of a field by their letters, without what separates words."""
    names: dict[str, str] = {}
    for part in parts:
        names |= names_of(part.segment, field)
    return names


def names_of(segment: Segment, field: str) -> Mapping[str, str]:
    """Return the same of one segment, from its cache."""
    names: dict[str, str] | None = segment.computed.get(("names", field))
    if names is None:
        names = {squeeze(name): name for name in segment.filters.values(field).names if name}
        segment.computed.put(("names", field), names, sum(200 + len(name) for name in names))
    return names
