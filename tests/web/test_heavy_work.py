"""Dear questions: they run beside the event loop, in turns, with estimates beyond their budget, and cost more.

Not covered here: what an estimate contains (tests/index/test_verification.py).
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard import errors
from modelyard.index import Index, budget, verification
from modelyard.index import search as search_module
from modelyard.web.heavy_work import FairTurns
from modelyard.web.rate_limit import RateLimit
from tests.app_fixture import App, a_model, open_app

WORD = "animetic"
ASKED = f"/v3/model?filter.query={WORD}"


@pytest.fixture
def dear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """Sixty models, half of which hold the word; reading a few texts is too much for the event loop."""
    monkeypatch.setattr(budget, "QUICK_UNITS", 10)
    monkeypatch.setattr(search_module, "_PATIENCE_ROWS", 1)
    monkeypatch.setattr(verification, "FEW_ROWS", 0)
    with open_app(tmp_path, anonymous_access="public") as opened:
        opened.put(*(a_model(n, name=WORD if n % 2 else "animexx nimetic") for n in range(1, 61)))
        yield opened


def test_a_dear_page_a_count_and_facets_are_those_of_a_cheap_one(dear: App) -> None:
    reply = dear.ask(f"{ASKED}&pagination.limit=100", prefer="count=exact")

    assert [n for n in range(1, 61) if n % 2] == sorted(reply.ids)
    assert ("30", "count=exact") == (reply.headers["modelyard-total"], reply.headers["preference-applied"])
    facets = json.loads(dear.ask(f"/v3/model/facets?filter.query={WORD}").body)
    assert 30 == facets["total"]
    assert "estimated" not in facets


def test_beyond_the_budget_counts_are_marked_as_lower_bounds(dear: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "QUESTION_UNITS", 30)

    reply = dear.ask(ASKED, prefer="count=exact, handling=strict")
    facets = dear.ask(f"/v3/model/facets?filter.query={WORD}", prefer="count=exact")

    assert 20 == len(reply.ids)
    assert reply.headers["modelyard-total"].startswith(">=")
    assert 30 >= int(reply.headers["modelyard-total"].removeprefix(">="))
    assert "handling=strict, count=estimated" == reply.headers["preference-applied"]
    assert json.loads(facets.body)["estimated"] is True
    assert 30 >= json.loads(facets.body)["total"]
    assert "count=estimated" == facets.headers["preference-applied"]


def test_the_gallery_says_at_least(dear: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "QUESTION_UNITS", 30)

    assert b"at least <b>" in dear.ask(f"/?filter.query={WORD}", None).body
    assert b"at least <b>" not in dear.ask("/", None).body


def test_health_is_answered_while_a_dear_question_runs(dear: App, monkeypatch: pytest.MonkeyPatch) -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    estimate = Index.estimate

    def wait_in_a_thread(self: Index, *asked: object) -> object:
        if threading.current_thread() is not threading.main_thread():
            has_begun.set()
            assert may_end.wait(20)
        return estimate(self, *asked)  # type: ignore[arg-type] # the arguments are passed on

    monkeypatch.setattr(Index, "estimate", wait_in_a_thread)
    key = [(b"authorization", f"Bearer {dear.key('red')}".encode()), (b"prefer", b"count=exact")]

    async def ask() -> tuple[int, bool, int]:
        question = asyncio.create_task(dear.answer(ASKED.encode(), headers=key))
        assert await asyncio.to_thread(has_begun.wait, 20)
        health = await dear.answer(b"/healthz", headers=[])
        is_waiting = not question.done()
        may_end.set()
        return health.status, is_waiting, (await question).status

    assert (200, True, 200) == asyncio.run(ask())


def test_callers_take_turns() -> None:
    """One caller has four questions waiting; the one question of another is next all the same."""
    order: list[str] = []

    async def ask(turns: FairTurns, caller: str) -> None:
        async with turns.turn(caller):
            order.append(caller)
            await asyncio.sleep(0)

    async def ask_all() -> None:
        turns = FairTurns(1)
        await asyncio.gather(*(ask(turns, caller) for caller in ("red", "red", "red", "red", "blue", "green", "blue")))

    asyncio.run(ask_all())

    assert ["red", "red", "blue", "green", "red", "blue", "red"] == order


def test_a_turn_of_who_left_is_the_next_ones() -> None:
    order: list[str] = []

    async def ask(turns: FairTurns, caller: str) -> None:
        async with turns.turn(caller):
            order.append(caller)
            await asyncio.sleep(0.001)

    async def ask_and_leave() -> None:
        turns = FairTurns(1)
        first, second, third = (asyncio.create_task(ask(turns, caller)) for caller in ("red", "blue", "green"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, third)
        await ask(turns, "red")

    asyncio.run(ask_and_leave())

    assert ["red", "green", "red"] == order


def test_who_leaves_while_it_waits_gives_nobody_a_turn_beside_another() -> None:
    running, most = 0, 0

    async def ask(turns: FairTurns, caller: str) -> None:
        nonlocal running, most
        async with turns.turn(caller):
            running += 1
            most = max(most, running)
            for _ in range(5):
                await asyncio.sleep(0)
            running -= 1

    async def ask_and_leave() -> None:
        turns = FairTurns(1)
        first, second, third = (asyncio.create_task(ask(turns, caller)) for caller in ("red", "blue", "green"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(first, third)

    asyncio.run(ask_and_leave())

    assert 1 == most


def test_a_turn_that_comes_to_who_just_left_is_passed_on() -> None:
    order: list[str] = []

    async def wait(turns: FairTurns, caller: str) -> None:
        async with turns.turn(caller):
            order.append(caller)

    async def leave_late() -> None:
        turns = FairTurns(1)
        async with turns.turn("red"):
            second, third = (asyncio.create_task(wait(turns, caller)) for caller in ("blue", "green"))
            await asyncio.sleep(0)
        second.cancel()  # it has the turn, and did not run since
        await asyncio.wait_for(third, 20)
        await asyncio.wait_for(wait(turns, "red"), 20)

    asyncio.run(leave_late())

    assert ["green", "red"] == order


def test_a_dear_question_counts_as_several_requests() -> None:
    limit = RateLimit(10, lambda: 1_000.0)
    limit.take("red")

    limit.charge("red", 6)

    for _ in range(3):
        limit.take("red")
    with pytest.raises(errors.RateLimited):
        limit.take("red")
    limit.take("blue")


def test_the_dearest_question_makes_wait_a_minute_at_most() -> None:
    now = [1_000.0]
    limit = RateLimit(10, lambda: now[0])

    limit.charge("red", 1_000_000)

    now[0] += 60
    for _ in range(10):
        limit.take("red")


def test_dear_questions_are_charged_to_their_team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.web.heavy_work._UNITS_A_REQUEST", 10)
    monkeypatch.setattr(budget, "QUICK_UNITS", 10)
    with open_app(tmp_path, rate_limit_per_minute=10) as limited:
        limited.put(*(a_model(n, name="animexx nimetic") for n in range(1, 61)))

        assert 200 == limited.ask(ASKED, prefer="count=exact").status
        assert 429 == limited.ask("/v3/model").status
        assert 200 == limited.ask("/v3/model", "blue").status
