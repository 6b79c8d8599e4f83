"""The readiness of a node says by component what does not work."""

import json
import time
from pathlib import Path
from typing import Any, cast

from modelyard.blobs import open_storage
from modelyard.catalog import open_catalog
from modelyard.store import open_store
from modelyard.web.api.health import ReadyEndpoint
from tests.databases import sqlite_url
from tests.process_servers import PostgresServer, postgres_server
from tests.processes import wait_for


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


def test_a_file_store_that_does_not_work_is_named_with_the_reason(tmp_path: Path) -> None:
    catalog = open_catalog(open_store(sqlite_url(tmp_path)))
    nobody = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    away, local = (open_storage(url, tmp_path, nobody) for url in ("s3://bucket/files", ""))
    endpoints = [ReadyEndpoint(catalog, storage) for storage in (away, local)]

    waits = [endpoint.probe() for endpoint in endpoints]
    answers = [ask_readiness(endpoint) for endpoint in endpoints]
    catalog.close()

    assert waits[0] < waits[1]
    assert {"files": "the file store cannot be reached: nothing listens at its address"} == answers[0]["problems"]
    assert "problems" not in answers[1]


def test_a_folder_of_files_that_is_missing_is_created_or_is_a_problem(tmp_path: Path) -> None:
    catalog = open_catalog(open_store(sqlite_url(tmp_path)))
    problems = []
    # No folder can be made in /proc, as in a file system that the server may only read.
    for folder in (tmp_path / "new" / "files", Path("/proc/modelyard/files")):
        endpoint = ReadyEndpoint(catalog, open_storage(str(folder), tmp_path, {}))
        endpoint.probe()
        problems.append(ask_readiness(endpoint).get("problems", {}).get("files"))
    catalog.close()

    assert (tmp_path / "new" / "files").is_dir()
    assert [None, "the folder of the files cannot be created"] == problems


def test_a_database_that_went_away_is_named_with_the_reason(tmp_path: Path) -> None:
    with postgres_server(tmp_path) as server:
        catalog = open_catalog(open_store(server.url()))
        endpoint = ReadyEndpoint(catalog)
        assert "problems" not in ask_readiness(endpoint)
        server.kill()

        assert wait_for(lambda: "database" in ask_readiness(endpoint).get("problems", {}))
        reasons = ask_readiness(endpoint)["problems"]["database"]
        catalog.close()

    assert reasons.startswith("the database")
