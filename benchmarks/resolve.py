"""What it costs to say which models a workflow needs, at a million models.

    read        bytes of the workflow → needs
    match       needs → models of the catalogue that the team may see
    answer      models → JSON of the API

Every node of the workflow loads a model. Of ten, seven are named by their file, as workflows do; one has a hash beside
the name; two are not here, and the first ten of those are searched for by words. The median of the rounds is of CPU
time, one thread; each round asks a workflow that was never asked before. A new process also checks each block of the
index that it reads for the first time, so there are figures for a process that is in use as well.

    python -m benchmarks.scale --home FOLDER --build
    python -m benchmarks.resolve --home FOLDER

Corpus: the home that scale.py builds (synthesis.py, seeded). Last figures: docs/decide/benchmarks.md
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from benchmarks.scale import index_of
from benchmarks.search import VIEWER, machine
from modelyard import resolution, wire
from modelyard.catalog import Catalog
from modelyard.domain import ModelQuery, Offset
from modelyard.index import Index
from modelyard.workflows import read_needs

NODES = 300
MOST_MS = 20
_RECORDS_MAX = 100


class IndexAlone:
    """A catalogue of an index, without a store to look at."""

    def __init__(self, index: Index) -> None:
        self.search, self.look_up, self.count = index.search, index.look_up, index.count_of

    def refresh(self) -> None:
        """Nothing changes meanwhile."""


def draw_models(catalog: Catalog, count: int, seed: int) -> list[tuple[str, str]]:
    """Return file names and hashes of models from all over the order of popularity."""
    chance, total = random.Random(seed), catalog.count(VIEWER, ModelQuery())
    drawn: list[tuple[str, str]] = []
    while len(drawn) < count:
        start = Offset(chance.randrange(total - _RECORDS_MAX))
        page = catalog.search(VIEWER, ModelQuery(limit=_RECORDS_MAX, start=start))
        records = [json.loads(wire.fill_holes(record, lambda *_: "")) for record in page.records]
        drawn += [(record["sd_name"], record["hash_sha256"]) for record in chance.sample(records, 10)]
    chance.shuffle(drawn)
    return drawn[:count]


def make_workflow(models: Sequence[tuple[str, str]]) -> bytes:
    """Return a workflow as ComfyUI's page saves it."""
    nodes = []
    for number, (name, digest) in enumerate(models):
        node = {"id": number, "type": "LoraLoader", "mode": 0, "widgets_values": [name, 1, 1], "properties": {}}
        if number % 10 == 7:
            node["properties"] = {"models": [{"name": name, "hash": digest, "directory": "loras"}]}
        elif number % 10 > 7:
            node["widgets_values"] = [f"{name.partition('_')[0]} {number}.ckpt", 1, 1]
        nodes.append(node)
    return json.dumps({"nodes": nodes, "links": [], "version": 0.4}).encode()


def measure(catalog: Catalog, rounds: int, seed: int) -> dict[str, float]:
    """Return the milliseconds of each step, and the share that was found."""
    parts: dict[str, list[float]] = {name: [] for name in ("read", "match", "answer", "all", "found")}
    for number in range(rounds + 1):
        body = make_workflow(draw_models(catalog, NODES, seed + number))
        moments = [time.process_time()]
        needs = read_needs(body)
        moments.append(time.process_time())
        matches = resolution.resolve(catalog, VIEWER, needs)
        moments.append(time.process_time())
        resolution.join_matches(matches, needs)
        moments.append(time.process_time())
        if number:  # the first round maps the index
            for part, before, after in zip(parts, moments, moments[1:], strict=False):
                parts[part].append((after - before) * 1000)
            parts["all"].append((moments[-1] - moments[0]) * 1000)
            parts["found"].append(sum(match.is_found for match in matches) / len(matches))
    return {part: statistics.median(values) for part, values in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--before", type=int, default=300, help="workflows before those of the second column")
    options = parser.parse_args()
    catalog = cast(Catalog, IndexAlone(index_of(options.home)))
    total = catalog.count(VIEWER, ModelQuery())
    first = measure(catalog, options.rounds, 0)
    measure(catalog, options.before, 1_000_000)
    later = measure(catalog, options.rounds, 2_000_000)
    print(f"{machine()}; {total:,} models, a workflow of {NODES} nodes, {first['found']:.0%} found\n")
    print(f"| CPU | a new process | after {options.before} other workflows | Target |\n|---|---:|---:|---:|")
    for part in ("read", "match", "answer"):
        print(f"| {part} | {first[part]:.1f} ms | {later[part]:.1f} ms | – |")
    print(f"| together | {first['all']:.1f} ms | {later['all']:.1f} ms | ≤ {MOST_MS} ms |")


if __name__ == "__main__":
    main()
