"""Words of a question that name a base model or a type: the filters that they stand for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from modelyard.domain import TYPE_FAMILIES, ModelQuery, squeeze
from modelyard.index.search import LiveSegment

# The longest name that is looked for, in words, such as "Flux.1 Kontext dev".
_WORDS_MAX = 4
_FIELDS = ("base", "type")


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


def _with_filter(query: ModelQuery, field: str, value: str, words: tuple[str, ...]) -> ModelQuery:
    if field == "base":
        return replace(query, words=words, base_models=frozenset({value}))
    return replace(query, words=words, types=TYPE_FAMILIES.get(value, frozenset({value})))


def _names(parts: Sequence[LiveSegment], field: str) -> Mapping[str, str]:
    """Return the values of a field by their letters, without what separates words."""
    names: dict[str, str] = {}
    for part in parts:
        known = part.segment.computed.get(("names", field))
        if known is None:
            known = {squeeze(value.name): value.name for value in part.segment.filters.values(field) if value.name}
            part.segment.computed.put(("names", field), known, sum(200 + len(name) for name in known))
        names |= known
    return names
