"""The index that the application uses: an immutable snapshot of segments, and queries over it.

    oldest ─────────────────────────────────────────────► newest
    segments on disk (shared by all processes)  │  segments in memory (this process's, small)

A query reads the snapshot once and takes no lock. A change builds a small segment in memory, marks the rows that it
replaces as dead in the older segments, and swaps the snapshot. A segment in memory joins its newer neighbour when it is
less than ``MERGE_GROWTH`` times as large, so there are few segments, and each row moves a logarithmic number of times.
Segments that appear on disk replace the segments in memory that they cover.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

import numpy as np
from pyroaring import BitMap

from modelyard.domain import (
    POPULAR,
    Model,
    ModelQuery,
    Offset,
    Position,
    SortPosition,
    Viewer,
    Visibility,
    fold_file_name,
)
from modelyard.index import search
from modelyard.index.budget import KNOWN_UNITS, QUICK_UNITS, SUGGESTION_UNITS, Budget, OverBudgetError
from modelyard.index.builder import build
from modelyard.index.choices import chosen
from modelyard.index.estimates import keep_estimate, kept_estimate
from modelyard.index.facets import Facets, facets
from modelyard.index.filter_words import filters_named, filters_offered, tags_with
from modelyard.index.fulltext import views_of, with_hashes
from modelyard.index.key_lookup import KeyLookup, ranks
from modelyard.index.model_groups import Leads, Listing, count_groups, list_leads, list_models
from modelyard.index.rows import living_rows, row_of
from modelyard.index.search import Count, Dead, LiveSegment, Page
from modelyard.index.segment import ALL, All, Keys, Segment
from modelyard.index.segment_arrays import Array
from modelyard.index.segment_file import StoredSegment
from modelyard.index.set_cache import SetCache
from modelyard.index.sorted_pages import sorted_page
from modelyard.index.suggest import nearest, respell
from modelyard.index.terms import GRAM_MAX, file_name_key, filter_key, gram_keys, hash_key

MERGE_GROWTH = 4
ANSWERS_BYTES_MAX = 4 << 20
Render = Callable[[Model], bytes]
_NUMBER_BYTES = 100
_NO_IDS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The parts from the oldest to the newest, and the store's revision that they stand for.

    ``rows`` holds the parts that have rows; the others only remove models. ``answers`` caches counts by plan; a plan
    has the sets that its viewer may see, so viewers who may see different models share no answer.
    """

    parts: tuple[LiveSegment, ...]
    revision: int
    rows: tuple[LiveSegment, ...] = ()
    answers: SetCache = field(default_factory=lambda: SetCache(ANSWERS_BYTES_MAX), compare=False)


def plan_for(viewer: Viewer, query: ModelQuery) -> search.Plan:
    """Return the query as sets, limited to the rows that the viewer may see: public ones, and those of the own team."""
    unions = [_visible(viewer.team, query.visibility)]
    if query.types:
        unions += chosen("type", query.types)
    if query.sources:
        unions += chosen("source", query.sources)
    if query.is_sdxl is not None:
        unions.append(_SDXL[query.is_sdxl])
    if query.is_nsfw is not None:
        unions.append(_NSFW[query.is_nsfw])
    if query.is_inpainting:
        unions.append(_INPAINTING)
    if query.base_models:
        unions += chosen("base", query.base_models)
    for name, values in (
        ("licence", query.licences),
        ("commercial", query.commercial),
        ("credit", query.credit),
        ("derivatives", query.derivatives),
        ("size", query.sizes),
        ("year", query.years),
    ):
        if values:
            unions += chosen(name, values)
    unions += [(filter_key(f"tag={tag}"),) for tag in query.tags]
    short, grams, terms = _plan_terms(query.terms or query.words) if query.terms or query.words else _NO_TERMS
    unions += short
    return search.Plan(
        tuple(unions),
        grams,
        terms,
        query.id,
        hash_key(query.hash) if query.hash else None,
        is_impossible=not unions[0],
        words=query.words,
    )


_SDXL = {flag: (filter_key(f"sdxl={flag:d}"),) for flag in (False, True)}
_NSFW = {flag: (filter_key(f"nsfw={flag:d}"),) for flag in (False, True)}
_INPAINTING = (filter_key("inpainting"),)


@lru_cache(maxsize=4_096)
def _visible(team: str | None, visibility: Visibility | None) -> Keys:
    """Return the keys of the rows that a team may see and the query includes; none if there are no such rows."""
    public = (filter_key("public"),) if visibility is not Visibility.PRIVATE else ()
    own = (filter_key(f"team={team}"),) if visibility is not Visibility.PUBLIC and team is not None else ()
    return public + own


_NO_TERMS: tuple[tuple[tuple[int, ...], ...], tuple[int, ...], tuple[bytes, ...]] = ((), (), ())


@lru_cache(maxsize=4_096)
def _plan_terms(terms: tuple[str, ...]) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...], tuple[bytes, ...]]:
    """Return the keys of short terms, the keys of the grams of the others, and the others, which have to be verified.

    A text that holds a term holds every part of it, so a term within another one is left out.
    """
    texts = [term.encode() for term in terms if not any(term in other for other in terms if other != term)]
    # The gram of a short term is the term: nothing is left to verify.
    short = tuple(tuple(gram_keys(text)) for text in texts if len(text) <= GRAM_MAX)
    longer = tuple(text for text in texts if len(text) > GRAM_MAX)
    return short, tuple(dict.fromkeys(key for text in longer for key in gram_keys(text))), longer


class Index:
    """Holds the current snapshot, answers queries from it, and replaces it. Page costs: benchmarks/search.py."""

    def __init__(self, render: Render, summarise: Render = lambda _: b"") -> None:
        """``render`` makes the record of a model, ``summarise`` its summary."""
        self.render, self.summarise = render, summarise
        self._snapshot = Snapshot((), 0)

    @property
    def revision(self) -> int:
        """The store's revision that answers stand for."""
        return self._snapshot.revision

    @property
    def segments(self) -> tuple[LiveSegment, ...]:
        """The parts of the current snapshot, oldest first."""
        return self._snapshot.parts

    # --- questions

    def search(
        self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None, *, has_summaries: bool = False
    ) -> Page:
        """Return the page of a query, with only the models that the viewer may see."""
        plan, start = plan_for(viewer, query), query.start
        plan = plan._replace(has_summaries=True) if has_summaries else plan
        parts = _parts_for(self._snapshot, plan)
        if query.sort == POPULAR:
            assert not isinstance(start, SortPosition), "the parser refuses a position of another order"
            return search.page(parts, plan, start, query.limit, budget)
        assert not isinstance(start, Position), "the parser refuses a position of another order"
        return sorted_page(parts, plan, query.sort, start, query.limit, budget)

    def count_of(self, viewer: Viewer, query: ModelQuery) -> int:
        """Return how many models match; ``limit`` and ``start`` have no effect."""
        return self.estimate(viewer, query, Budget()).number

    def estimate(self, viewer: Viewer, query: ModelQuery, budget: Budget) -> Count:
        """Return how many models match, or at least how many if the budget does not reach."""
        snapshot, plan = self._snapshot, plan_for(viewer, query)
        count: Count | None = snapshot.answers.get(plan) or kept_estimate(snapshot.answers, plan, budget)
        if count is None:
            count = search.count(_parts_for(snapshot, plan), plan, budget)
            _keep(snapshot, plan, count, budget, _size_of(plan))
        return count

    def list_models(
        self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None, *, is_grouped: bool
    ) -> Listing:
        """Return the page of a query for people; ``is_grouped``: one entry for each version group."""
        snapshot, plan = self._snapshot, plan_for(viewer, query)
        return list_models(
            _parts_for(snapshot, plan),
            plan,
            plan_for(viewer, ModelQuery()),
            query.sort,
            query.start,
            query.limit,
            budget,
            is_grouped=is_grouped,
        )

    def list_leads(self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None) -> Leads:
        """Return the entries of ``list_models`` in groups, by their ids. The query does not start at an offset."""
        snapshot, plan, start = self._snapshot, plan_for(viewer, query), query.start
        assert not isinstance(start, Offset), "only lists for people start at an offset"
        visible = plan_for(viewer, ModelQuery())
        return list_leads(_parts_for(snapshot, plan), plan, visible, query.sort, start, query.limit, budget)

    def count_groups(self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None) -> Count:
        """Return how many entries ``list_models`` has in groups, without the query's limit and start."""
        snapshot, plan, budget = self._snapshot, plan_for(viewer, query), budget or Budget()
        key = ("groups", plan)
        count: Count | None = snapshot.answers.get(key) or kept_estimate(snapshot.answers, key, budget)
        if count is None:
            count = count_groups(_parts_for(snapshot, plan), plan, budget)
            _keep(snapshot, key, count, budget, _size_of(plan))
        return count

    def facets(
        self,
        viewer: Viewer,
        query: ModelQuery,
        tags_max: int,
        budget: Budget | None = None,
        others: Sequence[str] = (),
        fields: Sequence[str] | None = None,
    ) -> Facets:
        """Return how many matches each type, source, base model, the most frequent tags, and further fields have.

        With ``fields``, return the counts of these fields only.
        """
        snapshot, plan, budget = self._snapshot, plan_for(viewer, query), budget or Budget()
        key = (tags_max, *others, plan) if fields is None else ("fields", *fields, plan)
        answer: Facets | None = snapshot.answers.get(key) or kept_estimate(snapshot.answers, key, budget)
        if answer is None:
            answer = facets(_parts_for(snapshot, plan), plan, tags_max, budget, others, fields)
            numbers = 4 + len(answer.types) + len(answer.base_models) + len(answer.tags)
            numbers += sum(map(len, answer.others.values()))
            _keep(snapshot, key, answer, budget, _size_of(plan) + _NUMBER_BYTES * numbers)
            if answer.is_exact:
                snapshot.answers.put(plan, Count(answer.total), _size_of(plan))
        return answer

    def suggestion(self, viewer: Viewer, query: ModelQuery, budget: Budget | None = None) -> str | None:
        """Return the terms with near words for those that match nothing, so that some model matches; None without."""
        snapshot, terms = self._snapshot, query.terms or query.words
        # The plan has the sets that the viewer may see; terms within others are not in it.
        key = ("suggestion", terms, plan_for(viewer, query))
        answer: tuple[str | None] | None = snapshot.answers.get(key)
        if answer is None:
            visible, work = plan_for(viewer, ModelQuery()), Budget(SUGGESTION_UNITS, is_quick=True)

            def is_known(term: str) -> bool:
                looking = Budget(KNOWN_UNITS, is_quick=True)
                is_there = matches(ModelQuery(), [term], looking)
                work.used += looking.used
                work.limit += looking.used
                return is_there

            def matches(base: ModelQuery, terms: Sequence[str], work: Budget) -> bool:
                asked = replace(base, words=tuple(terms)) if query.words else replace(base, terms=tuple(terms))
                with suppress(OverBudgetError):
                    return bool(self.search(viewer, replace(asked, start=None, limit=1, sort=POPULAR), work).records)
                return False

            answer = (
                respell(
                    terms,
                    is_known=is_known,
                    matches=lambda some: matches(query, some, work),
                    nearest=lambda term: nearest(snapshot.rows, visible, term),
                ),
            )
            if budget is not None:
                budget.used += work.used
            snapshot.answers.put(key, answer, _size_of(key[2]) + sum(map(len, terms)))
        return answer[0]

    def named_filters(self, viewer: Viewer, query: ModelQuery) -> list[tuple[str, str, int]]:
        """Return the filters (``base`` or ``type``, and the value) that words of the query name, with the number of
        models that the viewer sees with the filter instead of the words. At most one of each field."""
        named: dict[str, tuple[str, str, int]] = {}
        for field_name, value, filtered in filters_named(self._snapshot.rows, query):
            if field_name not in named:
                count = self.estimate(viewer, replace(filtered, start=None), Budget(QUICK_UNITS))
                if count.number:
                    named[field_name] = field_name, value, count.number
        return [*named.values()]

    def offer_filters(self, viewer: Viewer, query: ModelQuery, limit: int) -> list[tuple[str, str, int]]:
        """Return the same for base models, types and tags (``tag``) that the words name, or begin to name."""
        counts: dict[tuple[str, str], int] = {}
        budget = Budget(QUICK_UNITS)
        for field_name, value, filtered in filters_offered(self._snapshot.rows, query):
            if (field_name, value) not in counts:
                counts[field_name, value] = self.estimate(viewer, replace(filtered, start=None), budget).number
            if len(counts) >= 4 * limit or sum(map(bool, counts.values())) >= limit:
                break
        return [(*pair, count) for pair, count in counts.items() if count]

    def find_tags(self, viewer: Viewer, query: ModelQuery, text: str, limit: int) -> list[tuple[str, int]]:
        """Return frequent tags that have a text, with the number of matches that have each, the most first."""
        budget, counts = Budget(QUICK_UNITS), {}
        for tag in islice(tags_with(self._snapshot.rows, text), limit):
            tagged = replace(query, tags=(*query.tags, tag), start=None)
            counts[tag] = self.estimate(viewer, tagged, budget).number
        return sorted(((tag, count) for tag, count in counts.items() if count), key=lambda pair: (-pair[1], pair[0]))

    def find_by_hash(self, viewer: Viewer, hashes: Iterable[str]) -> tuple[dict[str, list[int]], dict[int, bytes]]:
        """Return the ids of the models that have each hash, best first, and the record of each model by id."""
        return self._find_by_keys(viewer, ((digits, hash_key(digits)) for digits in hashes))

    def look_up(self, viewer: Viewer, hashes: Iterable[str], file_names: Iterable[str]) -> KeyLookup:
        """Return the models that the viewer may see of hashes and of names of files. Cost: about 5 µs a text.

        Names are compared without their folders, and whatever their case.
        """
        keys = {digits: hash_key(digits) for digits in hashes}
        keys |= {name: file_name_key(fold_file_name(name)) for name in file_names}
        return KeyLookup(self._snapshot.rows, lambda types: plan_for(viewer, ModelQuery(types=types)), keys)

    def _find_by_keys(
        self, viewer: Viewer, keys: Iterable[tuple[str, int]]
    ) -> tuple[dict[str, list[int]], dict[int, bytes]]:
        parts, visible = self._snapshot.rows, plan_for(viewer, ModelQuery())
        ids: dict[str, list[int]] = {}
        records: dict[int, bytes] = {}
        for text, key in keys:
            plan = visible._replace(hash_key=key)
            found = sorted(
                (*part.segment.order(row), number, row)
                for number, part in enumerate(parts)
                for row in search.matches_by_hash(part, plan)
            )
            ids[text] = [-neg_id for _, neg_id, _, _ in found]
            for _, neg_id, number, row in found:
                records[-neg_id] = records.get(-neg_id) or parts[number].segment.records((row,))[0]
        return ids, records

    def ranks_of(self, ids: Sequence[int]) -> dict[int, int]:
        """Return the ranks of models, by id."""
        return ranks(self._snapshot.rows, ids)

    def type_names(self, viewer: Viewer) -> set[str]:
        """Return the types that some model the viewer may see has."""
        parts = self._snapshot.rows
        visible = plan_for(viewer, ModelQuery()).unions
        names = {name for part in parts for name in part.segment.filters.values("type").names}
        return {
            name
            for name in names
            if search.page(parts, search.Plan(unions=(*visible, (filter_key(f"type={name}"),))), None, 1).records
        }

    # --- changes

    def load(self, models: Iterable[Model], revision: int) -> None:
        """Replace the snapshot by one segment in memory with all models of the store."""
        segment = build(row_of(model, self.render(model), self.summarise(model)) for model in models)
        self._swap([_fresh(segment, revision, _NO_IDS)], revision)

    def open_segments(self, stored: Sequence[StoredSegment], revision: int) -> None:
        """Use these segments on disk, which stand for ``revision``, and the newer segments in memory."""
        before = self._snapshot
        part_by_segment = {id(part.segment): part for part in before.parts}
        disk: list[LiveSegment] = []
        for stored_segment in stored:
            part = part_by_segment.get(id(stored_segment.segment))
            if part is None:
                part = _fresh(stored_segment.segment, stored_segment.manifest.revision, stored_segment.removed)
                part = replace(part, deleted_on_disk=part.deleted)
            disk.append(part)
        # Segments that were open already hide the rows that the other open ones replace; a new one hides none yet.
        latest_stored = max((part.revision for part in before.parts if part.is_stored), default=-1)
        memory = [part for part in before.parts if not part.is_stored and part.revision > revision]
        parts: list[LiveSegment] = []
        for at, part in enumerate(disk):
            latest = latest_stored if id(part.segment) in part_by_segment else -1
            dead = part.deleted_on_disk or ()
            for newer in disk[at + 1 :]:
                if newer.revision > latest:
                    dead = with_dead(part.segment, dead, newer.segment.arrays.sorted_ids, newer.removed)
            # A part in memory may cover revisions that are on disk by now, and then hides rows there that it only
            # repeats. ``deleted_on_disk`` leaves those out, so the rows are alive again when the part goes.
            part = replace(part, deleted_on_disk=dead, deleted=dead)
            for newer in memory:
                part = without(part, newer.segment.arrays.sorted_ids, newer.removed)
            parts.append(part)
        self._swap([*parts, *memory], max(revision, before.revision))

    def apply(self, changed: Sequence[Model], removed: Collection[int], revision: int) -> None:
        """Apply the changes that the store made since this snapshot's revision."""
        rows = [row_of(model, self.render(model), self.summarise(model)) for model in changed]
        gone = np.fromiter(removed, np.int64, len(removed))
        ids = np.fromiter((row.id for row in rows), np.int64, len(rows))
        parts = [without(part, ids, gone) for part in self._snapshot.parts]
        while parts and not parts[-1].is_stored and _weight(parts[-1]) < MERGE_GROWTH * (len(rows) + len(gone)):
            older = parts.pop()
            rows += living_rows(older)
            gone = np.concatenate((gone, older.removed))
        segment = build(rows)
        parts.append(_fresh(segment, revision, gone))
        self._swap(parts, revision)

    def _swap(self, parts: list[LiveSegment], revision: int) -> None:
        self._snapshot = Snapshot(tuple(parts), revision, tuple(part for part in parts if part.segment.count))


def _keep(snapshot: Snapshot, key: Hashable, answer: Count | Facets, budget: Budget, size_bytes: int) -> None:
    if answer.is_exact:
        snapshot.answers.put(key, answer, size_bytes)
    else:
        keep_estimate(snapshot.answers, key, answer, budget, size_bytes)


def _size_of(plan: search.Plan) -> int:
    """Return about how many bytes a plan takes."""
    return 500 + 100 * (len(plan.unions) + len(plan.terms)) + 8 * len(plan.grams)


def _parts_for(snapshot: Snapshot, plan: search.Plan) -> Sequence[LiveSegment]:
    """Return the parts that a plan is asked of."""
    if not plan.words:
        return snapshot.rows
    views: tuple[LiveSegment, ...] | None = snapshot.answers.get("views")
    if views is None:
        views = views_of(snapshot.rows)
        snapshot.answers.put("views", views, _NUMBER_BYTES * len(views))
    return with_hashes(views, plan)


def _weight(part: LiveSegment) -> int:
    return part.segment.count + len(part.removed)


def without(part: LiveSegment, *gone: Array) -> LiveSegment:
    """Return the part with the rows of these ids marked as dead."""
    dead = with_dead(part.segment, part.deleted, *gone)
    return part if dead is part.deleted else replace(part, deleted=dead)


def with_dead(segment: Segment, dead: Dead, *gone: Array) -> Dead:
    """Return the dead rows of a segment with the rows of these ids added."""
    rows = np.sort(np.concatenate([segment.rows_of_ids(ids) for ids in gone]))
    if not len(rows):
        return dead
    more: list[BitMap | All | None] = []
    cuts = np.searchsorted(rows, segment.bounds)
    for tier, before in enumerate(dead):
        new = rows[cuts[tier] : cuts[tier + 1]]
        if before is ALL or not len(new):
            more.append(before)
            continue
        joined = BitMap(new.tolist())
        if isinstance(before, BitMap):
            joined |= before
        more.append(ALL if len(joined) == segment.bounds[tier + 1] - segment.bounds[tier] else joined)
    return tuple(more)


def _fresh(segment: Segment, revision: int, removed: Array) -> LiveSegment:
    """Return a part without dead rows."""
    return LiveSegment(segment, (None,) * len(segment.tiers), revision, removed)
