"""Walking Civitai's live list, against a local server that replays recorded models and fails as told.

Not here: the command (test_cli), and what a record becomes (test_civitai). The real civitai.com is never asked.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard import errors
from modelyard.civitai.client import (
    BODY_BYTES_MAX,
    RETRY_POLICY,
    UNREADABLE_PAGE,
    Checkpoint,
    CivitaiQuery,
    FetchedPage,
    checkpoint_name,
    format_checkpoint,
    open_client,
    pages,
    parse_checkpoint,
)
from modelyard.civitai.records import convert
from modelyard.domain import Skipped
from modelyard.facts import Record
from modelyard.retry import RetryPolicy
from tests.civitai_server import NOW, CivitaiServer, civitai_server, recorded_models

MODELS = 250


@pytest.fixture(scope="module")
def _running() -> Iterator[CivitaiServer]:
    with civitai_server(recorded_models(MODELS)) as running:
        yield running


@pytest.fixture
def server(_running: CivitaiServer) -> CivitaiServer:
    reset(_running)
    return _running


def reset(server: CivitaiServer) -> None:
    server.failures, server.fails_always, server.damage = [], "", bytes
    server.asked.clear()
    server.lines.clear()
    server.authorizations.clear()
    server.at_once_max = 0


@dataclass
class Waited:
    """A retry policy that records its waits and does not wait."""

    seconds: list[float] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    chance: float = 1.0

    def policy(self) -> RetryPolicy:
        return replace(RETRY_POLICY, sleep=self.seconds.append, now=lambda: NOW, chance=lambda: self.chance)


def walk(
    server: CivitaiServer,
    wanted: CivitaiQuery | None = None,
    start: Checkpoint | None = None,
    waited: Waited | None = None,
) -> list[FetchedPage]:
    with open_client(server.address) as client:
        waited = waited or Waited()
        return list(
            pages(client, wanted or CivitaiQuery(), start, policy=waited.policy(), on_retry=waited.messages.append)
        )


def outcomes_of(fetched: list[FetchedPage]) -> list[Record | Skipped]:
    return [outcome for page in fetched for outcome in page.outcomes]


def expected(server: CivitaiServer) -> list[Record | Skipped]:
    return [outcome for model in server.models for outcome in convert(model)]


def test_a_walk_yields_every_model_once_in_pages_of_a_hundred(server: CivitaiServer) -> None:
    fetched = walk(server)

    assert [100, 100, 50] == [page.models for page in fetched]
    assert [Checkpoint("75363|932023|100", 100), Checkpoint("75363|932023|200", 200), None] == [
        page.following for page in fetched
    ]
    assert expected(server) == outcomes_of(fetched)


@pytest.mark.parametrize(
    ("sound", "damaged", "mended"),
    [
        (b'"name": "NAME"', b'"name": "half \\ud83d"', "half \ufffd"),
        (b'"name": "NAME"', b'"name": "byte \xff"', "byte \ufffd"),
        (b'"name": "NAME"', b'"name": "NAME", "odd": NaN', "NAME"),
        (b'"name": "NAME"', b'"name": 7', None),
    ],
    ids=["half an emoji", "no UTF-8", "no number", "no text"],
)
def test_a_damaged_value_costs_no_more_than_that_value(
    server: CivitaiServer, sound: bytes, damaged: bytes, mended: str | None
) -> None:
    model = server.models[105]
    name = json.dumps(model["name"]).encode()
    server.damage = lambda page: page.replace(sound.replace(b'"NAME"', name), damaged.replace(b'"NAME"', name))

    fetched = walk(server)

    names = [
        outcome.facts.title
        for outcome in outcomes_of(fetched)
        if isinstance(outcome, Record) and outcome.facts.upstream_model_id == model["id"]
    ]
    assert 3 == len(server.asked)
    assert len(expected(server)) == len(outcomes_of(fetched))
    assert {model["name"] if mended == "NAME" else mended} == set(names)


def test_a_page_that_stays_damaged_is_passed_and_its_sound_models_are_read(server: CivitaiServer) -> None:
    model = server.models[105]
    name = json.dumps(model["name"]).encode()
    server.damage = lambda page: page.replace(b'"name": ' + name, b'"name": oops')

    outcomes = outcomes_of(walk(server))

    wanted = expected(server)
    skipped = [outcome for outcome in outcomes if outcome not in wanted]
    missing = [outcome for outcome in wanted if outcome not in outcomes]
    place = "the page at cursor 75363|932023|100"
    assert [Skipped(place, UNREADABLE_PAGE, "99 of its models could be read")] == skipped
    assert [*convert(model)] == missing
    assert 4 == len(server.asked)


def test_safety_is_asked_for_in_so_many_words(server: CivitaiServer) -> None:
    walk(server, CivitaiQuery(limit=1))
    walk(server, CivitaiQuery(limit=1, nsfw=True))

    assert [["false"], ["true"]] == [asked["nsfw"] for asked in server.asked]


def test_one_request_at_a_time_is_made(server: CivitaiServer) -> None:
    server.failures = ["500", "", "429"]

    walk(server)

    assert len(server.asked) == 5
    assert server.at_once_max == 1


def test_the_question_is_sent_as_civitai_spells_it(server: CivitaiServer) -> None:
    walk(
        server,
        CivitaiQuery(types=("LORA", "Checkpoint"), base_models=("SD 1.5", "Flux.1 D"), query="pastel & 花", limit=1),
    )

    assert server.asked == [
        {
            "types": ["LORA", "Checkpoint"],
            "baseModels": ["SD 1.5", "Flux.1 D"],
            "query": ["pastel & 花"],
            "nsfw": ["false"],
            "sort": ["Newest"],
            "limit": ["1"],
        }
    ]


@pytest.mark.parametrize(
    ("limit", "sizes"), [(0, []), (1, ["1"]), (100, ["100"]), (130, ["100", "30"]), (9999, ["100"] * 3)]
)
def test_no_more_than_the_limit_is_asked_for(server: CivitaiServer, limit: int, sizes: list[str]) -> None:
    fetched = walk(server, CivitaiQuery(limit=limit))

    assert sizes == [asked["limit"][0] for asked in server.asked]
    assert min(limit, MODELS) == sum(page.models for page in fetched)
    assert all(page.following is None for page in fetched[-1:])


@pytest.mark.parametrize(
    "failure",
    [
        "429",
        "500",
        "502",
        "503",
        "html",
        "cut",
        "cut-chunked",
        "cut-json",
        "bad-gzip",
        "no-answer",
        "no-items",
        "endless",
    ],
)
def test_a_passing_failure_is_waited_out_and_nothing_is_lost(server: CivitaiServer, failure: str) -> None:
    server.failures = ["", failure, failure]
    waited = Waited()

    fetched = walk(server, waited=waited)

    assert expected(server) == outcomes_of(fetched)
    assert waited.seconds == [1.0, 2.0]
    assert len(waited.messages) == 2


def test_waiting_doubles_up_to_a_minute_with_jitter_and_starts_anew_after_success(server: CivitaiServer) -> None:
    server.failures = ["500"] * 7 + ["", "500"]
    longest, shortest = Waited(chance=1.0), Waited(chance=0.0)

    walk(server, waited=longest)
    server.failures = ["500"] * 7 + ["", "500"]
    walk(server, waited=shortest)

    assert longest.seconds == [1, 2, 4, 8, 16, 32, 60, 1]
    assert shortest.seconds == [0.5, 1, 2, 4, 8, 16, 30, 0.5]


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [("429 7", 7.0), ("429 0", 0.0), ("429-date 42", 42.0), ("429-date -5", 0.0), ("429 soon", 1.0), ("429 -3", 1.0)],
)
def test_retry_after_is_obeyed_as_seconds_and_as_a_date(server: CivitaiServer, failure: str, seconds: float) -> None:
    server.failures = [failure]
    waited = Waited()

    walk(server, waited=waited)

    assert waited.seconds == [seconds]


def test_a_wait_of_hours_is_not_sat_out(server: CivitaiServer) -> None:
    server.failures = ["429 86400"]

    with pytest.raises(errors.Unavailable, match="come back in 86,400 seconds"):
        walk(server)


@pytest.mark.parametrize("failure", ["429", "500", "html", "cut"])
def test_it_gives_up_with_a_clear_error_and_goes_on_from_the_last_place(server: CivitaiServer, failure: str) -> None:
    done: list[FetchedPage] = []

    with open_client(server.address) as client:
        walking = pages(client, CivitaiQuery(), policy=Waited().policy())
        done.append(next(walking))
        server.fails_always = failure
        with pytest.raises(errors.Unavailable, match="8 times in a row"):
            next(walking)

    assert len(server.asked) == 1 + RETRY_POLICY.attempts_max
    server.fails_always = ""
    place = done[-1].following
    assert place is not None
    rest = walk(server, start=parse_checkpoint(format_checkpoint(place)))
    assert expected(server) == outcomes_of(done + rest)


def test_an_address_where_nobody_listens_is_given_up_on_and_named() -> None:
    named, waited = "127.0.0.1 cannot be reached: ConnectError", Waited()
    with open_client("http://127.0.0.1:9/api/v1") as client, pytest.raises(errors.Unavailable, match=named):
        list(pages(client, CivitaiQuery(), policy=waited.policy(), on_retry=waited.messages.append))

    assert [] == [message for message in waited.messages if not message.startswith(named)]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("400 page cannot be combined with query", "page cannot be combined with query"),
        ("401", "CIVITAI_TOKEN"),
        ("403", "CIVITAI_TOKEN"),
        ("404", "status 404"),
        ("circle", "redirects without end"),
    ],
)
def test_a_refusal_is_not_tried_again(server: CivitaiServer, failure: str, words: str) -> None:
    server.fails_always = failure
    waited = Waited()

    with pytest.raises(errors.UpstreamRefused, match=words):
        walk(server, waited=waited)

    assert waited.seconds == []


def test_a_cursor_that_leads_back_to_itself_ends_the_walk(server: CivitaiServer) -> None:
    server.failures = ["", "same-cursor"]

    with pytest.raises(errors.Unavailable, match="again and again"):
        walk(server)


def test_the_token_is_in_the_header_only(server: CivitaiServer) -> None:
    with open_client(server.address, "civitai-secret") as client:
        list(pages(client, CivitaiQuery(limit=101)))

    assert {"Bearer civitai-secret"} == {sent for _, sent in server.authorizations}
    assert len(server.lines) == 2
    assert not any("secret" in line for line in server.lines)


def test_the_token_is_not_sent_on_to_another_host(server: CivitaiServer) -> None:
    server.failures = ["elsewhere"]

    with open_client(server.address, "civitai-secret") as client:
        (page,) = pages(client, CivitaiQuery(limit=5))

    assert page.models == 5
    (first, sent_first), (second, sent_second) = server.authorizations
    assert (first.partition(":")[0], sent_first) == ("127.0.0.1", "Bearer civitai-secret")
    assert (second.partition(":")[0], sent_second) == ("localhost", None)


@pytest.mark.parametrize("token", ["line\nbreak", "naïve"])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="CIVITAI_TOKEN") as refused:
        open_client("http://127.0.0.1:9", token)

    assert token not in refused.value.message


def test_a_body_without_end_is_not_read_to_its_end(server: CivitaiServer) -> None:
    server.fails_always = "endless"

    with pytest.raises(errors.Unavailable, match=f"larger than {BODY_BYTES_MAX:,} bytes"):
        walk(server)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["", "", "429 0", "500", "html", "cut", "no-answer"]), max_size=7))
def test_whatever_fails_in_between_every_model_comes_once(server: CivitaiServer, failures: list[str]) -> None:
    reset(server)
    server.failures = failures

    assert expected(server) == outcomes_of(walk(server))


def test_a_place_is_saved_by_the_walk_and_an_unreadable_one_begins_anew() -> None:
    lora, vae = CivitaiQuery(types=("LORA",)), CivitaiQuery(types=("VAE",))

    assert Checkpoint("a|b", 100) == parse_checkpoint(format_checkpoint(Checkpoint("a|b", 100)))
    assert parse_checkpoint("nonsense") is None
    assert parse_checkpoint(None) is None
    assert checkpoint_name("https://a", lora) != checkpoint_name("https://a", vae)
    assert checkpoint_name("https://a", lora) != checkpoint_name("https://a", CivitaiQuery(types=("LORA",), limit=5))
    assert checkpoint_name("https://a", CivitaiQuery(types=("A", "B"))) == checkpoint_name(
        "https://a", CivitaiQuery(types=("B", "A"))
    )


def answered(
    *responses: httpx2.Response, waited: Waited | None = None, wanted: CivitaiQuery | None = None
) -> list[FetchedPage]:
    """Walk over answers that are made here, one a request."""
    left = list(responses)
    transport = httpx2.MockTransport(lambda _: left.pop(0))
    with httpx2.Client(transport=transport, base_url="http://civitai.example") as client:
        return list(pages(client, wanted or CivitaiQuery(), policy=(waited or Waited()).policy()))


def a_page(count: int = 0, cursor: object = None) -> httpx2.Response:
    return httpx2.Response(200, json={"items": [{"id": n} for n in range(count)], "metadata": {"nextCursor": cursor}})


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_status_that_may_pass_is_tried_again(status: int) -> None:
    waited = Waited()

    assert [0] == [page.models for page in answered(httpx2.Response(status), a_page(), waited=waited)]
    assert [1.0] == waited.seconds


@pytest.mark.parametrize("status", [204, 301, 400, 402, 404, 409, 410, 418, 422])
def test_a_status_that_will_not_pass_is_not_tried_again(status: int) -> None:
    with pytest.raises(errors.UpstreamRefused, match=f"status {status}"):
        answered(httpx2.Response(status))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("900", 900.0),
        (" 5 ", 5.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30.0),  # without a zone: UTC
        ("\xb2", 1.0),
        ("Tue, 99 Nov 2023", 1.0),
        ("", 1.0),
    ],
)
def test_a_wait_that_is_asked_for_is_waited(header: str, seconds: float) -> None:
    waited = Waited()
    answered(httpx2.Response(429, headers=[(b"Retry-After", header.encode("latin-1"))]), a_page(), waited=waited)

    assert [seconds] == waited.seconds


def test_a_wait_of_more_than_a_quarter_of_an_hour_is_not_sat_out() -> None:
    for header in ("901", "9" * 400):
        with pytest.raises(errors.Unavailable, match="come back in"):
            answered(httpx2.Response(429, headers={"Retry-After": header}))


@pytest.mark.parametrize("cursor", [None, ""])
def test_a_page_without_a_cursor_is_the_last(cursor: object) -> None:
    assert [None] == [page.following for page in answered(a_page(1, cursor))]


def test_a_limit_that_a_page_reaches_ends_the_walk() -> None:
    """The answer may hold more than was asked for."""
    for count in (2, 3):
        assert [None] == [page.following for page in answered(a_page(count, "next"), wanted=CivitaiQuery(limit=2))]


def test_a_body_as_large_as_accepted_is_read() -> None:
    body = b'{"items": []}'
    for size, models in ((32 << 20, [0]), ((32 << 20) + 1, [0, 0])):
        waited = Waited()
        found = answered(httpx2.Response(200, content=body.ljust(size)), a_page(), waited=waited)

        assert [0] == [page.models for page in found]
        assert len(models) - 1 == len(waited.seconds)


@pytest.mark.parametrize("address", ["ftp://civitai.example", "civitai.example/api"])
def test_an_address_that_is_none_of_the_webs_is_refused_at_once(address: str) -> None:
    waited = Waited()

    with pytest.raises(errors.ConfigurationError), open_client(address) as client:
        list(pages(client, CivitaiQuery(), policy=waited.policy()))

    assert [] == waited.seconds


@pytest.mark.parametrize("token", ["a b", " secret "])
def test_spaces_around_a_token_are_not_sent(token: str) -> None:
    with open_client("http://civitai.example", token) as client:
        assert f"Bearer {token.strip()}" == client.headers["Authorization"]


def test_the_client_says_who_asks(server: CivitaiServer) -> None:
    with open_client(server.address) as client:
        assert isinstance(client, httpx2.Client)
        assert client.headers["User-Agent"].startswith("modelyard/")


def test_a_request_has_a_minute_and_a_connection_a_quarter_of_it() -> None:
    with open_client("http://civitai.example") as client:
        timeout = client.timeout

    assert (60.0, 60.0, 60.0, 15.0) == (timeout.read, timeout.write, timeout.pool, timeout.connect)


def test_it_follows_five_redirects_and_no_more() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        left = int(request.url.params.get("left", count))
        if not left:
            return a_page()
        return httpx2.Response(302, headers={"Location": f"/models?left={left - 1}"})

    with open_client("http://civitai.example") as client:
        client._transport = httpx2.MockTransport(answer)
        count = 5
        assert [0] == [page.models for page in pages(client, CivitaiQuery(), policy=Waited().policy())]
        count = 6
        with pytest.raises(errors.UpstreamRefused, match="redirects without end"):
            list(pages(client, CivitaiQuery(), policy=Waited().policy()))


def test_it_asks_eight_times_and_waits_up_to_a_minute() -> None:
    waited = Waited()

    with pytest.raises(errors.Unavailable, match="failed 8 times in a row, at last: status 500"):
        answered(*[httpx2.Response(500)] * 9, waited=waited)

    assert [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0] == waited.seconds


def test_a_refused_query_shows_the_first_300_bytes_of_the_answer_in_one_line() -> None:
    with pytest.raises(errors.UpstreamRefused) as refused:
        answered(httpx2.Response(400, content=b"a\n b " + 400 * b"c"))

    assert f"Civitai refuses the query (status 400): a b {295 * 'c'}" == refused.value.message


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_variable(status: int) -> None:
    with pytest.raises(errors.UpstreamRefused, match=rf"\(status {status}\); is CIVITAI_TOKEN right"):
        answered(httpx2.Response(status))


def test_the_name_of_a_checkpoint_has_every_word_of_the_query() -> None:
    query = CivitaiQuery(types=("LORA",), base_models=("Pony",), query="night", limit=5, nsfw=True)

    assert "fetch https://a baseModels=Pony&nsfw=true&query=night&sort=Newest&types=LORA&models=5" == checkpoint_name(
        "https://a", query
    )
    assert "fetch https://a nsfw=false&sort=Newest" == checkpoint_name("https://a", CivitaiQuery())


def test_the_models_that_can_be_read_of_a_damaged_page_are_counted_once() -> None:
    body = b'{"items": [{"id": 1, "modelVersions": []}, {"id": 2}, {"id": 3, "modelVersions": []}, {"id": 4, "modelV'
    damaged = httpx2.Response(200, content=body + b'"metadata": {"nextCursor": "a\\"b"}')
    found = answered(damaged, damaged, a_page())

    assert [2, 0] == [page.models for page in found]
    assert Checkpoint('a"b', 2) == found[0].following
    assert Skipped("the first page", UNREADABLE_PAGE, "2 of its models could be read") == found[0].outcomes[-1]
