"""Two catalogues: one with recorded answers of Civitai, one with files and teams."""

from collections.abc import Iterator

import pytest

from modelyard.civitai import records
from modelyard.facts import Record
from tests.app_fixture import App, open_app
from tests.real_input import data_dir


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The recorded answers, imported."""
    answers = sorted((data_dir() / "civitai" / "answers").glob("*.json"))
    with open_app(tmp_path_factory.mktemp("recorded"), anonymous_access="public") as app:
        usable = [
            outcome for path in answers for outcome in records.convert(path.read_bytes()) if isinstance(outcome, Record)
        ]
        outcomes = list(app.catalog.register_many(usable))
        assert {"added"} == {outcome.result for outcome in outcomes}
        yield app
