"""The answer to a workflow: what it needs, and the models of the catalogue for each."""

from collections.abc import Iterable, Sequence

import msgspec

from modelyard.wire.records import ModelRecord

_encode = msgspec.json.encode
_NO_MODELS = b"]}"


class NeedAnswer(msgspec.Struct, frozen=True):
    """One need as the workflow spells it; null: it does not say. ``how`` says by what its models were found.

    The models are records as they are stored, best first.
    """

    name: str
    directory: str | None
    hash: str | None
    url: str | None
    nodes: Sequence[str]
    how: str
    models: Sequence[ModelRecord] = ()


class NeedsAnswer(msgspec.Struct, frozen=True):
    """The answer of ``POST /v3/model/resolve``. ``truncated``: the file names more than the answer holds."""

    needs: Sequence[NeedAnswer] = msgspec.field(name="wanted")
    found_count: int = msgspec.field(name="found")
    missing_count: int = msgspec.field(name="missing")
    unknown_nodes: Sequence[str]
    is_truncated: bool = msgspec.field(name="truncated")


def join_needs(
    needs: Iterable[tuple[NeedAnswer, Sequence[bytes]]],
    found_count: int,
    unknown_nodes: Sequence[str],
    *,
    is_truncated: bool,
) -> bytes:
    """Return the answer, with the holes of the needs' records."""
    answers = [_encode(need)[: -len(_NO_MODELS)] + b",".join(records) + b"]}" for need, records in needs]
    return b'{"wanted":[%b],"found":%d,"missing":%d,"unknown_nodes":%b,"truncated":%b}' % (
        b",".join(answers),
        found_count,
        len(answers) - found_count,
        _encode(unknown_nodes),
        _encode(is_truncated),
    )
