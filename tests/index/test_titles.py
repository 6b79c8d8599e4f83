"""People type the title of a model: the recorded models are found by it, on the first page."""

from collections import defaultdict
from pathlib import Path
from urllib.parse import quote

from modelyard.civitai.dumps import read_paths
from modelyard.domain import ANONYMOUS
from modelyard.facts import Layer, Record
from modelyard.wire import parse_query
from tests.app_fixture import App

MODELS, FOUND_MIN = 1_000, 985


def most_downloaded(data_dir: Path) -> list[tuple[str, set[int]]]:
    """The title and the version ids of the most downloaded recorded models."""
    downloads: dict[int, int] = defaultdict(int)
    ids: dict[int, set[int]] = defaultdict(set)
    titles: dict[int, str] = {}
    for record in read_paths([data_dir / "civitai" / "models.jsonl.xz"]):
        if isinstance(record, Record) and record.layer is Layer.UPSTREAM and record.id is not None:
            number = record.facts.upstream_model_id or 0
            downloads[number] += record.facts.rank or 0
            ids[number].add(record.id)
            titles[number] = record.facts.title or ""
    numbers = sorted(downloads, key=lambda number: -downloads[number])[:MODELS]
    return [(titles[number], ids[number]) for number in numbers]


def test_the_most_downloaded_models_are_on_the_first_page_of_their_title(real_yard: App, data_dir: Path) -> None:
    missed = []
    for title, ids in most_downloaded(data_dir):
        query = parse_query(f"filter.search={quote(title)}".encode(), list).query
        records = real_yard.catalog.search(ANONYMOUS, query).records
        if ids.isdisjoint(int(record[len('{"id":') : record.index(b",")]) for record in records):
            missed.append(title)

    assert MODELS - len(missed) >= FOUND_MIN, missed
