"""What the application does from its start to its end, besides answering."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import Any

from modelyard import errors, settings
from modelyard.auth import Auth
from modelyard.web.app import create_app
from modelyard.web.log import open_log
from tests.app_fixture import App, a_model


@contextlib.asynccontextmanager
async def running(app: Any) -> AsyncIterator[list[str]]:
    """Start an application as a server does, and end it; gives the messages that it sends."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: list[str] = []
    started = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message["type"])
        started.set()

    await to_app.put({"type": "lifespan.startup"})
    task = asyncio.create_task(app({"type": "lifespan", "state": {}}, to_app.get, send))
    await started.wait()
    yield sent
    await to_app.put({"type": "lifespan.shutdown"})
    await task


def last_uses(yard: App) -> list[int | None]:
    return [key.last_used_at for key in yard.access.list_keys()]


def test_a_server_is_ready_between_its_start_and_its_end(yard: App) -> None:
    statuses = []

    async def ask() -> None:
        reply = await yard.answer(b"/readyz", headers=[])
        statuses.append(reply.status)

    async def serve() -> None:
        await ask()
        async with running(yard.app) as sent:
            await ask()
        await ask()
        assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == sent

    asyncio.run(serve())

    assert [503, 200, 503] == statuses


def test_the_last_use_of_keys_is_stored_at_the_end(yard: App) -> None:
    yard.put(a_model(1))
    yard.key()

    async def serve() -> None:
        async with running(yard.app):
            headers = [(b"authorization", f"Bearer {yard.key()}".encode())]
            assert 200 == (await yard.answer(b"/v3/model", headers=headers)).status
            assert [None] == last_uses(yard)

    asyncio.run(serve())

    (used_at,) = last_uses(yard)
    assert used_at is not None


class UnstoredUses(Auth):
    """Keys of a database that does not take when they were used."""

    def flush_last_used(self) -> None:
        raise errors.Unavailable("the database is away")


def test_what_cannot_be_stored_at_the_end_is_a_warning(yard: App, tmp_path: Path) -> None:
    logged = StringIO()
    app = create_app(
        yard.catalog, UnstoredUses(yard.store), settings.load(tmp_path, {}), log=open_log("warning", logged)
    )

    async def serve() -> None:
        async with running(app) as sent:
            pass
        assert "lifespan.shutdown.complete" == sent[-1]

    asyncio.run(serve())

    line = json.loads(logged.getvalue())
    assert "last use of keys or download counts not written, retrying in a minute" == line["event"]
    assert "warning" == line["level"]
    assert "the database is away" == line["reason"]


def test_a_line_of_the_log_has_the_template_of_a_path_and_not_its_values(yard: App) -> None:
    yard.ask("/v3/uploads/" + "a" * 32, method="HEAD", tus_resumable="1.0.0")
    yard.ask("/v3/model/")
    yard.ask("/nowhere")

    assert ["/v3/uploads/{upload}", "/v3/model", None] == [line["route"] for line in yard.lines()]
