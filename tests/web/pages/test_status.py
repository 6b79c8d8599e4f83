"""``/status`` as whole texts: the page of operators and the short one of others, and what must not be on the latter.

Durations end in minutes here, and the sizes of disks are replaced: they differ from run to run.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard import __version__
from modelyard.cli import run
from modelyard.domain import MODEL_TYPES, Scope
from modelyard.facts import Entry, Facts, Layer
from modelyard.store import blobs, jobs
from modelyard.store.blobs import Blob
from tests.app_fixture import App, a_model, a_private, open_app
from tests.web.pages.page_text import main_text
from tests.web.pages.test_pages import Browser, signed_in

OWN = 1_000_000_001
VAE = MODEL_TYPES["vae"]
SHORT = """
# Status
Server
Running
Models
{models}
Revision
{revision}
Operators also see disk, background work, failures and traffic here: the team in the setting operator_team,
    with a key of the scope admin.
"""
OPERATOR = """
# Status
Server
Running
Models
1
Revision
1
Index
1.5 kB
1 segment, 0 on disk
Files to check
4
1 given up: modelyard jobs
Version
VERSION
Uptime
less than a minute
Last backup
None
Make one with modelyard backup.
Request rate and latency appear ten seconds after the server starts.
## Disk
|Place|Used|Free|Size of the disk|Address
|Home|SIZE|SIZE|SIZE| HOME
|Model files|3.5 kB|SIZE|SIZE| HOME/blobs
## Background work
|Kind|Waiting|Running|Failed|Given up|Waiting for|Running for|Last run, ago|Next run, in|Last failure, ago
|check|2|1|1|1|6 days, 19:52|1:59|0:14|0:00|0:59
|fetch|0|0|0|0|||||
|mirror|0|0|0|0|||||
|send|0|0|0|0|||||
|webhook-planning|0|0|0|0|||||
|webhook|0|0|0|0|||||
|cleanup|0|1|0|0||0:00|||
|covers|0|0|0|0|||||
|cover-import|0|0|0|0|||||
|hashing|0|0|0|0|||||
|matching|0|0|0|0|||||
|indexing|0|0|0|0|||||
|replication|0|0|0|0|||||
|civitai|0|0|0|0|||||
## Failures
|Job|Kind|Attempts|Failed, ago|What follows|Reason
|1|check|1|0:59|given up|cannot be read
|2|check|1|1:29|again in 0:30|storage is away
modelyard jobs lists all jobs, and modelyard jobs retry runs them again.
## By type
VAE 100.0 1
## By source
Uploaded 100.0 1
## By base model
SD 1.5 100.0 1
"""


@pytest.fixture
def red(tmp_path: Path) -> Iterator[Browser]:
    """A team with one model, whose session may do everything."""
    with open_app(tmp_path, clock=lambda: 1_700_000_000) as yard:
        own = a_private(OWN, "red", name="own", sd_name="own.pt", type=VAE)
        with yard.store.transaction() as transaction:
            transaction.put([Entry(own, {Layer.USER: Facts(name="own", sd_name="own.pt", type=VAE)})])
        yield signed_in(yard)


def operator_text(browser: Browser, home: Path) -> str:
    """The operator's page without what differs from run to run."""
    text = main_text(browser.ask("/status").body).replace(str(home), "HOME").replace(__version__, "VERSION")
    # The lines of a text are broken at a width, so a long name of the test's folder is on a line of its own.
    text = re.sub(r"\|\n\s+HOME", "| HOME", text)
    text = re.sub(r"(\d:\d\d):\d\d", r"\1", text)
    text = re.sub(r"\|Home\|[\d.]+ [kM]B", "|Home|SIZE", text)
    return re.sub(r"(\|(?:Home|Model files)\|[^|]+)\|[\d.]+ [MG]B\|[\d.]+ [MG]B\|", r"\1|SIZE|SIZE|", text)


def test_operators_see_disk_work_failures_version_uptime_and_backup(red: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "index" / "segment"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(bytes(1_000))
    (folder.parent / "b").write_bytes(bytes(500))
    (tmp_path / "blobs" / "incoming").mkdir(parents=True)
    (tmp_path / "blobs" / "incoming" / "half").write_bytes(bytes(500))
    add_jobs(red.yard)

    text = operator_text(red, tmp_path)

    assert OPERATOR.strip() == text


def add_jobs(yard: App) -> None:
    """Add a file of 3,000 bytes, and jobs in all states: some wait, run, have failed, or were given up."""
    now = int(time.time()) + 30
    with yard.store.transaction() as transaction:
        connection = transaction.connection
        blobs.put(connection, Blob("ab" * 32, 3_000, now, "clean", ""))
        for number, subject in enumerate(("one", "two", "three", "four", "five")):
            jobs.add(connection, jobs.CHECK, subject, now - 600_000 + 10_000 * number, team="blue")
        # A clock of another machine may be ahead.
        jobs.add(connection, "cleanup", "", now)
        ahead = jobs.take(connection, "cleanup", "nobody", now + 5_000, 10**6)
        assert ahead
        one, two, three, _ = [jobs.take(connection, jobs.CHECK, "nobody", now - 7_200, 10**6) for _ in range(4)]
        assert one
        assert two
        assert three
        jobs.bury(connection, one, "cannot be read", now=now - 3_600)
        jobs.postpone(connection, two, "storage is away", now + 1_800, now=now - 5_400)
        jobs.rest(connection, three, now - 900, now + 86_400)


@pytest.mark.parametrize("scopes", [(Scope.READ,), (Scope.READ, Scope.WRITE)])
def test_other_keys_see_a_short_page_without_version_paths_and_reasons(
    red: Browser, tmp_path: Path, scopes: tuple[Scope, ...]
) -> None:
    add_jobs(red.yard)
    page = signed_in(red.yard, "red", *scopes).ask("/status").body

    assert SHORT.format(models=1, revision=1).strip() == main_text(page)
    for secret in (__version__, str(tmp_path), "cannot be read", "uptime"):
        assert secret not in page.decode()


@pytest.mark.parametrize(
    ("operator_team", "sees"), [("red", {"red": True, "blue": False}), ("", {"red": False, "blue": False})]
)
def test_with_several_teams_only_the_team_of_the_setting_has_operators(
    tmp_path: Path, operator_team: str, sees: dict[str, bool]
) -> None:
    with open_app(tmp_path, operator_team=operator_team, metrics_access="admin") as yard:
        keys = {team: yard.key(team, Scope.ADMIN) for team in sees}
        pages = {team: signed_in(yard, team, Scope.ADMIN).ask("/status").body.decode() for team in sees}
        metrics = {team: yard.ask("/metrics", None, authorization=f"Bearer {key}").status for team, key in keys.items()}

    assert sees == {team: "Background work" in page for team, page in pages.items()}
    assert sees == {team: status == 200 for team, status in metrics.items()}


def test_the_key_of_another_team_ends_that_the_only_team_has_operators(red: Browser) -> None:
    assert "Background work" in red.ask("/status").body.decode()
    red.yard.access.create_key("blue", [Scope.READ])

    assert "Background work" not in red.ask("/status").body.decode()


def test_visitors_without_a_key_see_the_short_page_with_the_models_that_they_may_see(tmp_path: Path) -> None:
    with open_app(tmp_path, anonymous_access="public") as yard:
        yard.put(a_private(OWN, "red", name="own"), a_model(7))

        page = yard.ask("/status", None).body

    assert SHORT.format(models=1, revision=1).strip() == main_text(page)


def test_without_anonymous_access_a_visitor_has_to_sign_in_for_the_status_page(red: Browser) -> None:
    reply = red.yard.ask("/status", None)

    assert (303, "/sign-in?to=%2Fstatus") == (reply.status, reply.headers["location"])


def test_the_status_page_shows_the_time_of_a_backup(red: Browser, tmp_path: Path) -> None:
    assert 0 == run(["backup", "--quiet", "--home", str(tmp_path), str(tmp_path / "monday")])

    text = main_text(red.ask("/status").body)

    assert re.search(r"Last backup\nless than a minute ago\n\d{4}-\d\d-\d\d \d\d:\d\d UTC\n", text)


def test_the_status_page_lists_the_last_50_failures_and_counts_the_others(red: Browser) -> None:
    with red.yard.store.transaction() as transaction:
        for number in range(52):
            jobs.add(transaction.connection, jobs.CHECK, f"subject{number}", 0)
            job = jobs.take(transaction.connection, jobs.CHECK, "nobody", 1, 60)
            assert job
            jobs.bury(transaction.connection, job, f"<b>reason{number}</b>", now=1_000 + number)

    lines = main_text(red.ask("/status").body).splitlines()

    rows = [line for line in lines if "reason" in line]
    assert [f"<b>reason{number}</b>" for number in range(51, 1, -1)] == [row.rpartition("|")[2] for row in rows]
    assert "2 more are not shown. modelyard jobs lists all jobs, and modelyard jobs retry runs them again." in lines


@pytest.mark.parametrize(("others", "line"), [(1, "1 other 8.33 1"), (3, "3 others 25.0 3")])
def test_the_status_page_adds_up_the_rare_values(red: Browser, others: int, line: str) -> None:
    with red.yard.store.transaction() as transaction:
        ids = iter(range(1, 200))
        models = [
            a_model(next(ids), base_model=f"Base {place:02}", type=VAE)
            for place in range(12 + others)
            for _ in range(max(1, 12 - place))
        ]
        transaction.remove([OWN])
        transaction.put([Entry(model, {}) for model in models])

    lines = main_text(red.ask("/status").body).splitlines()

    start = lines.index("## By base model")
    assert ["base 00 100.0 12", "base 01 91.67 11"] == lines[start + 1 : start + 3]
    assert ["base 11 8.33 1", line] == lines[start + 12 : start + 14]
