"""``GET`` and ``POST /v3/model/sends``: files that generators fetch from here.

Everything here runs in threads, because it asks the database. A caller sees the sends of its team only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from modelyard.domain import LIMIT_MAX
from modelyard.facts import format_date
from modelyard.sends import Sends, describe_send
from modelyard.store.sends import Send
from modelyard.web.auth import ViewerOf
from modelyard.web.bodies import decode_json
from modelyard.web.requests import Request
from modelyard.web.responses import UNSTORED, Response

PATH = "/v3/model/sends"
_encode = msgspec.json.Encoder().encode
_ModelId = Annotated[int, msgspec.Meta(ge=1, lt=10**15)]


class NewSend(msgspec.Struct, frozen=True):
    """Models to send to a generator, which is named as in the setting ``targets``."""

    target: str
    model_ids: Annotated[tuple[_ModelId, ...], msgspec.Meta(min_length=1, max_length=LIMIT_MAX)]


class SendRecord(msgspec.Struct, frozen=True):
    """A send. ``state`` is waiting, sending, done or failed. Bytes are null while the generator does not say them."""

    id: str
    model_id: int
    target: str
    state: str
    problem: str
    done_bytes: int | None
    total_bytes: int | None
    created_at: str
    finished_at: str | None


class SendList(msgspec.Struct, frozen=True):
    """The generators that the team may send models to, and its sends, the newest first."""

    targets: list[str]
    sends: list[SendRecord]


@dataclass(frozen=True, slots=True)
class SendEndpoints:
    """The handlers of the routes. ``address_of`` is the address of this server that a generator gets."""

    sends: Sends
    caller_of: ViewerOf
    address_of: Callable[[Request], str]

    def add(self, request: Request, body: bytes) -> Response:
        """Have a generator fetch models."""
        new, viewer = decode_json(body, NewSend), self.caller_of(request)
        return self._answer(self.sends.add(viewer, new.target, new.model_ids, self.address_of(request)), 202)

    def get(self, request: Request) -> Response:
        """Return the sends of the caller's team."""
        return self._answer(self.sends.list(self.caller_of(request)))

    def _answer(self, rows: list[Send], status: int = 200) -> Response:
        answer = SendList(self.sends.target_names, [make_record(row) for row in rows])
        return Response(_encode(answer), status=status, caching=UNSTORED)


def make_record(send: Send) -> SendRecord:
    """Return a send as the API says it."""
    return SendRecord(
        send.id,
        send.model_id,
        send.target,
        describe_send(send),
        send.problem,
        send.done_bytes,
        send.total_bytes,
        format_date(send.created_at),
        None if send.finished_at is None else format_date(send.finished_at),
    )
