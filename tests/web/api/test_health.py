"""The readiness of a node says by component what does not work."""

import json
import time
from typing import Any, cast

from modelyard.catalog import open_catalog
from modelyard.store import open_store
from modelyard.web.api.health import ReadyEndpoint
from tests.process_servers import PostgresServer


def ask_readiness(endpoint: ReadyEndpoint) -> dict[str, Any]:
    endpoint.accepting = True
    answer: dict[str, Any] = json.loads(endpoint.get(cast("Any", None)).body)
    return answer


def test_a_node_whose_clock_is_wrong_says_so(postgres: PostgresServer) -> None:
    with_right, with_wrong = postgres.make_database(), postgres.make_database()
    answers = []
    for url, shift in ((with_right, 0), (with_wrong, 172_800)):
        catalog = open_catalog(open_store(url, clock=lambda seconds=shift: time.time() + seconds))
        answers.append(ask_readiness(ReadyEndpoint(catalog)))
        catalog.close()
    right, wrong = answers

    assert ("ready", "ready") == (right["status"], wrong["status"])
    assert "problems" not in right
    assert ["clock"] == list(wrong["problems"])
    assert wrong["problems"]["clock"].endswith(" s ahead of the database's")
