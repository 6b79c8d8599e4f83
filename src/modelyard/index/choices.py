"""Filters that take several values, and exclude some: the keys of their sets.

What a licence allows is one filter of a row, its *profile*, such as ``profile=image+rent/credit/derivatives/id``. There
are few profiles, so a value such as ``commercial=rent`` is the union of the profiles that have it. A part that the
licence does not tell is ``?``: so unknown is a value like another, and never taken for allowed.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import combinations, product

from modelyard.domain import COMMERCIAL_USES, UNKNOWN, Licence, fold, split_choice
from modelyard.index.segment import COMPLEMENT, Keys
from modelyard.index.terms import filter_key

_CREDIT: Mapping[bool | None, str] = {None: UNKNOWN, True: "not_required", False: "required"}
_DERIVATIVES: Mapping[bool | None, str] = {None: UNKNOWN, True: "allowed", False: "not_allowed"}
_NO_LICENCE = Licence()


def fold_licence(name: str) -> str:
    """Return a licence's id as filters compare it."""
    return fold(name).strip()


# A catalogue has a few dozen licences.
@lru_cache(maxsize=1024)
def licence_filters(licence: Licence | None) -> tuple[str, ...]:
    """Return the filters of a model's row that follow from its licence."""
    licence = licence or _NO_LICENCE
    uses = licence.allow_commercial
    allowed = None if uses is None else tuple(use for use in COMMERCIAL_USES if use in uses)
    name = fold_licence(licence.id or "")
    profile = _profile(allowed, licence.allow_no_credit, licence.allow_derivatives, bool(name))
    return (profile, f"licence={name}") if name else (profile,)


@lru_cache(maxsize=256)
def _profile(uses: tuple[str, ...] | None, no_credit: bool | None, derivatives: bool | None, has_id: bool) -> str:
    commercial = UNKNOWN if uses is None else "+".join(uses)
    return f"profile={commercial}/{_CREDIT[no_credit]}/{_DERIVATIVES[derivatives]}/{'id' if has_id else UNKNOWN}"


def _profiles() -> Iterator[tuple[str, Mapping[str, frozenset[str]]]]:
    """Yield every profile, with the values that it has for each filter of the API."""
    subsets = [uses for size in range(len(COMMERCIAL_USES) + 1) for uses in combinations(COMMERCIAL_USES, size)]
    for uses, no_credit, derivatives, has_id in product([None, *subsets], _CREDIT, _DERIVATIVES, (False, True)):
        yield (
            _profile(uses, no_credit, derivatives, has_id),
            {
                "commercial": frozenset((UNKNOWN,) if uses is None else uses),
                "credit": frozenset({_CREDIT[no_credit]}),
                "derivatives": frozenset({_DERIVATIVES[derivatives]}),
                "licence": frozenset() if has_id else frozenset({UNKNOWN}),
            },
        )


_PROFILES = tuple(_profiles())


@lru_cache(maxsize=4_096)
def chosen(field: str, values: frozenset[str]) -> tuple[Keys, ...]:
    """Return the sets that a row must be in: one of a value that is asked for, and none of an excluded value."""
    choice, excluded = split_choice(values)
    sets: list[Keys] = []
    if choice:
        sets.append(_keys(field, choice))
    if excluded:
        sets.append((COMPLEMENT, *_keys(field, excluded)))
    return tuple(sets)


def _keys(field: str, values: frozenset[str]) -> Keys:
    names = {profile for profile, by_field in _PROFILES if not values.isdisjoint(by_field.get(field, ()))}
    names |= {f"{field}={value}" for value in values}
    return tuple(sorted(map(filter_key, names)))
