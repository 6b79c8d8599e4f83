"""What the dearest question costs that an ordinary key may ask, and what others feel of it.

An adversary searches for it: it begins with what is known to be dear (overlapping terms, single letters, terms whose
grams are everywhere and that are nowhere, deep offsets, misspelt words, values left out, other orders, the search of
all fields), measures each, and changes the dearest ones part by part. Every measurement begins with empty caches;
"again" is the same question right after it.

    python -m benchmarks.dearest --home FOLDER                 a home that scale.py has filled
    python -m benchmarks.dearest --home FOLDER --no-server     in process only

CPU is of the process, all threads. The server runs one worker; pages are asked one after the other, alone and beside
two clients who ask the dearest questions only, each a new one. Last figures: docs/decide/benchmarks.md
"""

import argparse
import http.client
import json
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from benchmarks import serving, synthesis
from benchmarks.scale import index_of
from benchmarks.search import machine
from modelyard.domain import ANONYMOUS, POPULAR, REVERSED, SORTS, ModelQuery, Offset, words_of
from modelyard.index import Budget, Index, OverBudgetError, prepare, question_budget, quick_budget
from modelyard.index import segment as segment_module
from modelyard.index.set_cache import SetCache
from tests.process_commands import serving as serve

TERMS_MAX = 16
ORDERS = (*SORTS[1:], *(REVERSED + sort for sort in SORTS))
# Values that most models lack, so that nearly all rows are left; and unions of nearly all values.
NEGATIONS: tuple[dict[str, Any], ...] = (
    {"types": frozenset({"!vae", "!upscaler"})},
    {"base_models": frozenset({"!flux.1 d", "!pony", "!sdxl 1.0"})},
    {"commercial": frozenset({"!rent", "!sell"}), "credit": frozenset({"!required"})},
    {"types": frozenset({"!controlnet"}), "base_models": frozenset({"!sd 3"}), "derivatives": frozenset({"!allowed"})},
)
NEGATIONS_FIELDS = ("types", "base_models", "commercial", "credit", "derivatives")
_SPAWNED = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Cost:
    """CPU of a question in ms, at the first time and again."""

    query: ModelQuery
    first: float
    again: float


Ask = Callable[[Index, ModelQuery], object]
BUDGETED: dict[str, Callable[[Index, ModelQuery, Budget], object]] = {
    "count": lambda index, query, budget: index.estimate(ANONYMOUS, query, budget),
    "facets": lambda index, query, budget: index.facets(ANONYMOUS, query, 20, budget),
    "page": lambda index, query, budget: index.search(ANONYMOUS, query, budget),
    "suggestion": lambda index, query, budget: index.suggestion(ANONYMOUS, query, budget),
}


def _with_budget(ask: Callable[[Index, ModelQuery, Budget], object]) -> Ask:
    return lambda index, query: ask(index, query, question_budget())


VERBS: dict[str, Ask] = {verb: _with_budget(ask) for verb, ask in BUDGETED.items()}


def cost(index: Index, ask: Ask, query: ModelQuery) -> Cost:
    """Measure a question whose answer nothing has in a cache."""
    for part in index.segments:
        part.segment.computed = SetCache(segment_module.COMPUTED_BYTES_MAX)
    index._snapshot = replace(index._snapshot, answers=SetCache(1 << 22))
    times = []
    for _ in range(2):
        started = time.process_time()
        ask(index, query)
        times.append((time.process_time() - started) * 1000)
    return Cost(query, *times)


# --- the adversary ---------------------------------------------------------------------------------------------------


class Adversary:
    """Invents dear questions from the texts of the catalogue."""

    def __init__(self, index: Index, seed: int) -> None:
        self._chance = random.Random(seed)
        (part, *_) = index.segments
        rows = self._chance.sample(range(part.segment.count), min(part.segment.count, 400))
        self._texts = [part.segment.text(row).decode() for row in rows]
        self._depth = part.segment.count
        self._frequent = [synthesis.tag(rank).split()[0].lower() for rank in range(1, 40)]

    def part(self, text: str | None = None) -> str:
        """Return some letters of a text."""
        text = text or self._chance.choice(self._texts)
        words = [word for word in text.split() if len(word) > 3] or ["safetensors"]
        word = self._chance.choice(words)
        size = self._chance.randint(4, max(4, min(14, len(word))))
        at = self._chance.randint(0, max(0, len(word) - size))
        return word[at : at + size]

    def joined(self) -> str:
        """Return a term that is nowhere, though its grams are in most rows."""
        name = "abc.safetensors"
        pieces = (name[at : at + self._chance.randint(4, 8)] for at in (5, 4, 6, 3))
        return "".join(islice(pieces, self._chance.randint(2, 3)))

    def misspelt(self) -> str:
        """Return a frequent word with a letter too much."""
        word = self._chance.choice(self._frequent)
        at = self._chance.randint(1, len(word))
        return word[:at] + self._chance.choice("qxzj") + word[at:]

    def first(self) -> Iterator[ModelQuery]:
        """Yield what is known to be dear."""
        overlaps = tuple("abc.safetensors"[at : at + 6] for at in range(3, 10))
        letters = tuple("aeiortnslcdmupgh")
        for terms in (
            ("safetensors",),
            ("style",),
            ("anime", "style"),
            overlaps,
            letters,
            (*letters[:9], *overlaps),
            tuple(self._frequent[:TERMS_MAX]),
            ("v1.0", ".safetensors"),
            ("1.safetensors",),
            (self.joined(),),
            (self.misspelt(),),
        ):
            yield ModelQuery(terms=terms)
            yield ModelQuery(terms=terms, start=Offset(self._chance.randint(1_500, self._depth)), limit=100)
        yield ModelQuery()
        yield ModelQuery(is_nsfw=False, is_sdxl=True)
        yield ModelQuery(tags=tuple(self._frequent[:12]))
        for negation in NEGATIONS:
            yield ModelQuery(**negation)
            yield ModelQuery(**negation, terms=("safetensors",), start=Offset(self._depth // 2))
        for sort in ORDERS:
            yield ModelQuery(terms=("safetensors",), sort=sort, limit=100)
            yield ModelQuery(terms=("style",), sort=sort, start=Offset(self._depth // 10), limit=100)
        for words in (("safetensors",), ("style", "anime"), ("e",), words_of(self.joined())):
            yield ModelQuery(words=words)
            yield ModelQuery(words=words, start=Offset(self._depth // 2), sort=self._chance.choice(ORDERS))

    def change(self, query: ModelQuery) -> ModelQuery:
        """Return a question like this one."""
        if self._chance.random() < 0.4:
            return self._change_kind(query)
        terms = list(query.terms or query.words)
        term = self._chance.choice((self.part, partial(self.part, "e.safetensors"), self.joined, self.misspelt))()
        chance = self._chance.random()
        if chance < 0.5 and len(terms) < TERMS_MAX:
            terms.append(term)
        elif terms and chance < 0.8:
            terms[self._chance.randrange(len(terms))] = term
        elif len(terms) > 1:
            terms.pop(self._chance.randrange(len(terms)))
        start = Offset(self._chance.randint(0, self._depth)) if self._chance.random() < 0.5 else None
        query = replace(query, start=start, limit=self._chance.choice((1, 20, 100)))
        if query.words:
            return replace(query, words=words_of(" ".join(terms)))
        return replace(query, terms=tuple(dict.fromkeys(terms)))

    def _change_kind(self, query: ModelQuery) -> ModelQuery:
        """Return a question in another order, with other values left out, or in the other text."""
        chance = self._chance.random()
        if chance < 0.4:
            return replace(query, sort=self._chance.choice((POPULAR, *ORDERS)))
        if chance < 0.7:
            return replace(query, **self._chance.choice(NEGATIONS))
        if query.words:
            return replace(query, terms=query.words, words=())
        return replace(query, words=words_of(" ".join(query.terms)), terms=())


def search(index: Index, ask: Ask, adversary: Adversary, rounds: int) -> list[Cost]:
    """Return the dearest questions that were found, the dearest first."""
    found = [cost(index, ask, query) for query in adversary.first()]
    for _ in range(rounds):
        found.sort(key=lambda one: -one.first)
        del found[12:]
        found += [cost(index, ask, adversary.change(one.query)) for one in found[:6]]
    return sorted(found, key=lambda one: -one.first)


def longest_on_the_loop(index: Index, ask: Callable[[Index, ModelQuery, Budget], object], adversary: Adversary) -> Cost:
    """Return the question that keeps the event loop longest: until it ends, or is over its quick budget.

    "again" is the same with the sets loaded, and with empty caches of answers.
    """
    queries = [*adversary.first()]
    queries += [adversary.change(query) for query in queries]

    def try_quickly(index: Index, query: ModelQuery) -> None:
        with suppress(OverBudgetError):
            ask(index, query, quick_budget())

    rounds = [[cost(index, try_quickly, query) for query in queries] for _ in range(2)]
    dearest = max(rounds[0], key=lambda one: one.first)
    return replace(dearest, again=max(one.first for one in rounds[1]))


# --- a server --------------------------------------------------------------------------------------------------------


def _request(connection: http.client.HTTPConnection, target: str, key: str, *, exact: bool) -> float:
    started = time.perf_counter()
    headers = {"Authorization": f"Bearer {key}"} | ({"Prefer": "count=exact"} if exact else {})
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    response.read()
    assert response.status == 200, (response.status, target)
    return (time.perf_counter() - started) * 1000


def _ask_the_dearest(port: int, key: str, queries: list[ModelQuery], seed: int, ended: Any, asked: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    chance = random.Random(seed)
    while not ended.is_set():
        query = chance.choice(queries)
        # Other filters make it another question, so that no cache has the answer.
        target = serving.target_of(replace(query, is_nsfw=chance.choice((None, False, True))))
        _request(connection, f"/v3/model?{target}&x={chance.random()}", key, exact=True)
        asked.value += 1


def _page_latencies(port: int, key: str, queries: list[ModelQuery], seconds: float) -> tuple[list[float], list[float]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    pages, healths = [], []
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        target = serving.target_of(queries[number % len(queries)])
        pages.append(_request(connection, f"/v3/model?{target}&x={number}", key, exact=False))
        healths.append(_request(connection, "/healthz", key, exact=False))
        number += 1
        time.sleep(0.002)
    return sorted(pages), sorted(healths)


def others(home: Path, dearest: list[ModelQuery], seconds: float) -> Iterator[tuple[str, float, str]]:
    """Measure pages alone, and beside two clients who ask the dearest questions only."""
    key = serving.key_of(home)
    mix = [query for kind, query in synthesis.query_mix(0, 4) if not kind.startswith("miss")]
    with serve(home, 1, key) as server:
        _page_latencies(server.port, key, mix, 3)
        idle, idle_health = _page_latencies(server.port, key, mix, seconds)
        ended, asked = _SPAWNED.Event(), _SPAWNED.Value("q", 0)
        clients = [
            _SPAWNED.Process(target=_ask_the_dearest, args=(server.port, key, dearest, seed, ended, asked))
            for seed in (1, 2)
        ]
        for client in clients:
            client.start()
        time.sleep(2)
        busy, busy_health = _page_latencies(server.port, key, mix, seconds)
        ended.set()
        for client in clients:
            client.join()
    for what, before, during in (("page", idle, busy), ("/healthz", idle_health, busy_health)):
        yield f"{what}: median alone, beside", statistics.median(before), f"{statistics.median(during):.2f}"
        p99 = (before[int(len(before) * 0.99)], during[int(len(during) * 0.99)])
        yield f"{what}: p99 alone, beside", p99[0], f"{p99[1]:.2f}, {p99[1] / p99[0]:.1f} times"
        yield f"{what}: longest alone, beside", before[-1], f"{during[-1]:.2f}"
    yield "dear questions answered meanwhile", asked.value, ""


# --- memory ----------------------------------------------------------------------------------------------------------


def memory(index: Index, adversary: Adversary, questions: int) -> tuple[int, int]:
    """Ask many distinct questions; return the bytes that the caches count, and those that the process has more."""
    before = serving.private_bytes(multiprocessing.current_process().pid or 0)
    for number in range(questions):
        index.estimate(ANONYMOUS, ModelQuery(terms=(adversary.part(), f"{number % 997}")), question_budget())
        if not number % 10:
            index.facets(ANONYMOUS, ModelQuery(terms=(adversary.part(),)), 20, question_budget())
    counted = sum(part.segment.computed.size_bytes for part in index.segments) + index._snapshot.answers.size_bytes
    return counted, serving.private_bytes(multiprocessing.current_process().pid or 0) - before


def shown(query: ModelQuery) -> str:
    """Return a question in a few words."""
    start = f" at {query.start.matches:,}" if isinstance(query.start, Offset) else ""
    terms = " ".join(query.terms or query.words)
    field = "search" if query.words else "query"
    order = f" by {query.sort}" if query.sort != POPULAR else ""
    left_out = sorted(value for name in NEGATIONS_FIELDS for value in getattr(query, name))
    return f"{field} `{terms[:60]}{'…' if len(terms) > 60 else ''}`{start}{order} {' '.join(left_out)}".rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--questions", type=int, default=20_000, help="distinct questions for the memory of the caches")
    parser.add_argument("--no-server", action="store_true")
    options = parser.parse_args()
    index = index_of(options.home)
    adversary = Adversary(index, options.seed)
    models = sum(part.segment.count for part in index.segments)
    for part in index.segments:
        # What a worker does when it starts, and no question has to.
        for _ in chain(part.segment.check_blocks(), prepare(part.segment)):
            pass
    print(f"{models:,} models, {machine()}; CPU in ms\n\n| | first | again | dearest question |\n|---|---:|---:|---|")
    dearest: list[Cost] = []
    for verb, ask in VERBS.items():
        found = search(index, ask, adversary, options.rounds)
        dearest += found[:6] if verb != "suggestion" else []
        again = max(one.again for one in found)
        print(f"| {verb} | {found[0].first:.1f} | {again:.1f} | {shown(found[0].query)} |", flush=True)
    print("\nlongest on the event loop, CPU:")
    for verb, budgeted in BUDGETED.items():
        longest = longest_on_the_loop(index, budgeted, adversary)
        print(
            f"{verb}: {longest.first:.1f}, with its sets loaded {longest.again:.1f}; {shown(longest.query)}", flush=True
        )
    counted, grown = memory(index, adversary, options.questions)
    print(f"\ncaches after {options.questions:,} distinct questions: {counted / 1e6:.1f} MB counted,")
    print(f"{grown / 1e6:.1f} MB more private memory\n")
    if not options.no_server:
        for what, value, more in others(options.home, [one.query for one in dearest], options.seconds):
            print(json.dumps([what, round(value, 2), more], ensure_ascii=False))


if __name__ == "__main__":
    main()
