"""The filters of the gallery, with how many versions each value has among the matches."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from modelyard import wire
from modelyard.catalog import Catalog
from modelyard.domain import (
    COMMERCIAL_USES,
    NOT,
    SIZE_CLASSES,
    TYPE_FAMILIES,
    UNKNOWN,
    ModelQuery,
    Source,
    Visibility,
    fold,
    fold_base,
)
from modelyard.index import Facets
from modelyard.web.pages.gallery_search import GallerySearch
from modelyard.web.pages.labels import SOURCE_LABELS, get_type_label

# A longer list of values gets a field that finds some of them.
CHOICES_MAX = 12
_FOUND_MAX = 40
(
    TYPES, BASE, SOURCE, TAGS, VISIBILITY, INPAINTING, LICENCE, COMMERCIAL, CREDIT, DERIVATIVES, SIZE, PUBLISHED,
) = (
    wire.NAMES[name]
    for name in (
        "types", "base_models", "sources", "tags", "visibility", "is_inpainting", "licences", "commercial", "credit",
        "derivatives", "sizes", "years",
    )
)  # fmt: skip # pairs of names
SIZE_LABELS = dict(zip(SIZE_CLASSES, ("Under 100 MB", "100–500 MB", "500 MB–2 GB", "2–8 GB", "Over 8 GB"), strict=True))
_USE_LABELS = {"image": "Images may be sold", "rent": "May be rented as a service", "sell": "May be sold"}
LICENCE_LABELS = {
    **{(COMMERCIAL, use): label for use, label in _USE_LABELS.items()},
    (CREDIT, "not_required"): "No credit required",
    (DERIVATIVES, "allowed"): "May be changed",
}
_FIELD_OF_QUERY = {
    TYPES: "types", BASE: "base_models", SOURCE: "sources", SIZE: "sizes", PUBLISHED: "years", COMMERCIAL: "commercial",
    CREDIT: "credit", DERIVATIVES: "derivatives",
}  # fmt: skip # pairs of names
_TITLES = {TYPES: "Type", BASE: "Base model", TAGS: "Tag"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a filter. Its link, ``address``, selects the value, or removes the selection.

    ``exclusion`` is the address of the search without models that have the value; empty if it cannot be excluded.
    """

    label: str
    count: int | None
    address: str
    is_selected: bool = False
    exclusion: str = ""
    is_excluded: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """The values of one filter. ``parameter`` is set if a field finds values that are not listed."""

    name: str
    title: str
    choices: list[Choice]
    is_open: bool = False
    parameter: str = ""
    find: str = ""

    @property
    def selected_count(self) -> int:
        """How many of the values are selected or excluded."""
        return sum(choice.is_selected or choice.is_excluded for choice in self.choices)

    @property
    def items(self) -> Markup:
        """The values as items of a list. A page has about fifty: the template language takes four times as long."""
        items = [_render_choice(f"{self.name}-{number}", choice) for number, choice in enumerate(self.choices, 1)]
        return Markup("\n").join(items)


def _render_choice(element_id: str, choice: Choice) -> Markup:
    label, address, exclusion = map(escape, (choice.label, choice.address, choice.exclusion))
    current = ' aria-current="true"'
    count = "" if choice.count is None else f"<b>{choice.count:,}</b>"
    link = (
        f'<a rel="nofollow" id="{element_id}" href="{address}"{current if choice.is_selected else ""}>'
        f"<span>{label}</span>{count}</a>"
    )
    if exclusion:
        link += (
            f'<a class="not" rel="nofollow" id="not-{element_id}" href="{exclusion}" title="Not {label}"'
            f'{current if choice.is_excluded else ""}><span class="unseen">Not {label}</span></a>'
        )
    style = ' class="excluded"' if choice.is_excluded else ""
    item = f"<li{style}>{link}</li>"
    return Markup(item)  # noqa: S704 # label and addresses are escaped above, the id is ours


class GalleryFilters:
    """Lists the filters of one search."""

    def __init__(self, catalog: Catalog, search: GallerySearch, base_labels: Mapping[str, str]) -> None:
        self._catalog, self._search, self._base_labels = catalog, search, base_labels
        # The values of the address as it spells them, the first spelling of each, by name and folded value.
        self._spellings: dict[str, dict[str, str]] = {}
        for name, value in search.pairs:
            self._spellings.setdefault(name, {}).setdefault(_fold_value(name, value), value)
        self.facets = self._count(search.query)

    def list_groups(self) -> list[Group]:
        """Return the filters that have values."""
        groups = [
            self._list_visibilities(),
            self._list_types(),
            self._list_base_models(),
            self._list_tags(),
            self._list_licences(),
            self._list_sizes(),
            self._list_years(),
            self._list_sources(),
            self._list_others(),
        ]
        return [group for group in groups if group.choices or group.find]

    def _count(self, query: ModelQuery, fields: Sequence[str] | None = None) -> Facets:
        """Return the counts of the matches by field; the index caches them."""
        return self._catalog.facets(
            self._search.viewer, query, budget=self._search.budget, others=("size", "year", "profile"), fields=fields
        )

    def _facets_without(self, field: str, *names: str) -> Facets:
        """Return the counts of a field of the index without the selection of some filters: they are for selecting one
        more value."""
        unselected: dict[str, frozenset[str]] = {_FIELD_OF_QUERY[name]: frozenset() for name in names}
        if not any(getattr(self._search.query, field) for field in unselected):
            return self.facets
        return self._count(replace(self._search.query, **unselected), [field])  # type: ignore[arg-type] # these fields are sets

    def _list_types(self) -> Group:
        counts = dict(self._facets_without("type", TYPES).types)
        family = TYPE_FAMILIES["lora"]
        pairs = [("lora", sum(counts.get(name, 0) for name in family))] if family & counts.keys() else []
        pairs += [(name, count) for name, count in counts.items() if name not in family]
        return self._make_group("types", TYPES, sorted(pairs, key=lambda pair: -pair[1]), is_open=True)

    def _list_base_models(self) -> Group:
        pairs = [(name, count) for name, count in self._facets_without("base", BASE).base_models if name]
        find = fold_base(self._search.finds.get(BASE, ""))
        names = {self._base_labels.get(name, name): count for name, count in pairs if find in name}
        return self._make_group("base_models", BASE, [*names.items()], is_open=True)

    def _list_sources(self) -> Group:
        pairs = self._facets_without("source", SOURCE).sources
        group = self._make_group("sources", SOURCE, pairs)
        return group if len(pairs) > 1 or group.selected_count else replace(group, choices=[])

    def _list_tags(self) -> Group:
        selection = {fold(value).strip(): value for name, value in self._search.pairs if name == TAGS}
        find = self._search.finds.get(TAGS, "")
        if find:
            counts = dict(self._catalog.find_tags(self._search.viewer, self._search.query, find, _FOUND_MAX))
        else:
            counts = {tag: count for tag, count in self.facets.tags if tag}
        pairs = [(value, self.facets.total) for value in selection.values()]
        pairs += [(tag, count) for tag, count in counts.items() if tag not in selection]
        return self._make_group("tags", TAGS, pairs, is_long=True, may_exclude=False)

    def _list_licences(self) -> Group:
        names = (COMMERCIAL, CREDIT, DERIVATIVES)
        counts = count_permissions(self._facets_without("profile", *names).others["profile"])
        choices = [
            self._make_choice(name, value, label, counts[name, value])
            for (name, value), label in LICENCE_LABELS.items()
            if counts[name, value] or self._is_active(name, value)
        ]
        return Group("licence", "Licence", choices, any(c.is_selected or c.is_excluded for c in choices))

    def _list_sizes(self) -> Group:
        counts = dict(self._facets_without("size", SIZE).others["size"])
        return self._make_group("size", SIZE, [(name, counts[name]) for name in SIZE_CLASSES if name in counts])

    def _list_years(self) -> Group:
        pairs = [pair for pair in self._facets_without("year", PUBLISHED).others["year"] if pair[0] != UNKNOWN]
        return self._make_group("published", PUBLISHED, sorted(pairs, reverse=True))

    def _list_visibilities(self) -> Group:
        team = self._search.viewer.team
        values = ((Visibility.PUBLIC, "Public"), (Visibility.PRIVATE, f"Private to {team}"))
        choices = [self._make_choice(VISIBILITY, value.value, label, None, alone=True) for value, label in values]
        return Group("visibility", "Visibility", choices if team else [], is_open=True)

    def _list_others(self) -> Group:
        choice = self._make_choice(INPAINTING, "true", "For inpainting", None, alone=True)
        return Group("other", "Other", [choice], choice.is_selected)

    def _make_group(
        self,
        name: str,
        parameter: str,
        pairs: Sequence[tuple[str, int]],
        *,
        is_open: bool = False,
        is_long: bool = False,
        may_exclude: bool = True,
    ) -> Group:
        """Return a filter with its most frequent values, and those that are selected."""
        find = self._search.finds.get(parameter, "")
        maximum = _FOUND_MAX if find else CHOICES_MAX
        choices = [
            self._make_choice(
                parameter, value, label_value(parameter, value, self._base_labels), count, not may_exclude
            )
            for number, (value, count) in enumerate(pairs)
            if number < maximum or self._is_active(parameter, value)
        ]
        title = {"size": "Size", "published": "Published", "sources": "Source", "tags": "Tags"}.get(
            name, _TITLES.get(parameter, "")
        )
        is_active = any(choice.is_selected or choice.is_excluded for choice in choices)
        is_findable = is_long or len(pairs) > CHOICES_MAX or bool(find)
        return Group(name, title, choices, is_open or is_active or bool(find), parameter if is_findable else "", find)

    def _is_active(self, name: str, value: str) -> bool:
        return name in self._spellings and any(self._spelling(name, sign + value) for sign in ("", NOT))

    def _spelling(self, name: str, value: str) -> str | None:
        """Return a selected value as the address spells it; None if it is not selected."""
        spellings = self._spellings.get(name)
        return spellings.get(_fold_value(name, value)) if spellings else None

    def _make_choice(
        self, name: str, value: str, label: str, count: int | None, is_plain: bool = False, *, alone: bool = False
    ) -> Choice:
        search, excluded = self._search, NOT + value
        selected, exclusion = self._spelling(name, value), self._spelling(name, excluded)
        if selected:
            address = search.without(name, value=selected)
        else:
            address = search.with_pair(name, value, alone=alone, instead=exclusion)
        if is_plain or alone:
            return Choice(label, count, address, bool(selected))
        if exclusion:
            without = search.without(name, value=exclusion)
        else:
            without = search.with_pair(name, excluded, instead=selected)
        return Choice(label, count, address, bool(selected), without, bool(exclusion))


def _fold_value(name: str, value: str) -> str:
    return fold_base(value) if name == BASE else fold(value)


def count_permissions(profiles: Iterable[tuple[str, int]]) -> Counter[tuple[str, str]]:
    """Return how many matches allow each use, from the profiles of licences such as ``image+rent/required/allowed/id``.

    ``index.choices`` describes them.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for profile, count in profiles:
        uses, credit, derivatives, _ = profile.split("/")
        for use in uses.split("+"):
            if use in COMMERCIAL_USES:
                counts[COMMERCIAL, use] += count
        counts[CREDIT, credit] += count
        counts[DERIVATIVES, derivatives] += count
    return counts


def label_value(name: str, value: str, base_labels: Mapping[str, str]) -> str:
    """Return the label of a filter's value."""
    if value.startswith(NOT) and name != TAGS:
        return f"not {label_value(name, value.removeprefix(NOT), base_labels)}"
    if name == TYPES:
        return "LoRA family" if value == "lora" else get_type_label(value)
    if name == BASE:
        return base_labels.get(fold_base(value), value)
    if name == SOURCE:
        return SOURCE_LABELS[Source(value)]
    if name == TAGS:
        return f"#{value}"
    if name == SIZE:
        return SIZE_LABELS.get(value, "Unknown size")
    if name == PUBLISHED:
        return value if value != UNKNOWN else "Unknown date"
    return LICENCE_LABELS.get((name, value)) or f"{name.rpartition('.')[2].replace('_', ' ')}: {value}"


def describe_filter(name: str) -> str:
    """Return the name of a filter that the search box offers."""
    return _TITLES[name]
