"""The JSON of a model in a list of the hub: what clients read without ``full``.

The index holds the summary of each model without its beginning and its end, which all have. A long part that many have
is one control character there, because JSON text has none: a summary takes half of its bytes, and to put a part back
costs 0.1 µs (2026-11). The count of downloads changes without the model, so it is put in when a page is joined.

    public/900000514␂"diffusers","lora"␄35a4eb02␆900000514","createdAt":"2026-11-01T08:00:00␈2026-11-02T08:00:00
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from modelyard.domain import Model, Visibility
from modelyard.wire import hub
from modelyard.wire.hub_tags import PIPELINE_TAG, library_of, tags_of, upstream_id

_NO_DOWNLOADS = b'"downloads":0'
_START = b'{"id":"'
_END = b'.000Z","gated":false,"disabled":false,"likes":0,"pipeline_tag":"%b"}' % PIPELINE_TAG.encode()
_NAMESPACE = hub.PUBLIC.encode() + b"/"
_PUBLIC, _AUTHOR, _PRIVATE = b"\x02", b"\x03", b"\x07"
# Tags that many models have, with the quotes of their neighbours.
_FREQUENT: Mapping[bytes, bytes] = {
    b"\x0b": b'"diffusers","lora",',
    b"\x0c": b'"base_model:stable-diffusion-v1-5/stable-diffusion-v1-5"',
    b"\x0e": b',"base_model:',
    b"\x0f": b',"license:other"',
    b"\x10": b'","createdAt":"20',
}
# Each is at most once in a summary, unless a model's own tags repeat it. An id above 2^32 leaves its zeros where they
# are.
_PARTS: Mapping[bytes, bytes] = {
    _PUBLIC: b'","author":"%b","private":false,%b,"tags":[' % (hub.PUBLIC.encode(), _NO_DOWNLOADS),
    _AUTHOR: b'","author":"',
    _PRIVATE: b'","private":true,%b,"tags":[' % _NO_DOWNLOADS,
    b"\x04": b'],"library_name":"diffusers","_id":"0000000000000000',
    b"\x05": b'],"library_name":null,"_id":"0000000000000000',
    b"\x06": b'","modelId":"' + _NAMESPACE,
    b"\x08": b'.000Z","lastModified":"',
    **_FREQUENT,
}
_SHORT_ID_MAX = 2**32
_SECOND_END = ".000Z"
_NAME_END = re.compile(b"[%b%b]" % (_PUBLIC, _AUTHOR))
_COUNTED = {part: _PARTS[part].partition(_NO_DOWNLOADS) for part in (_PUBLIC, _PRIVATE)}
_encode = msgspec.json.Encoder().encode


def render_summary(model: Model) -> bytes:
    """Return a model's summary as the index holds it."""
    is_public = model.visibility is Visibility.PUBLIC
    if is_public and model.id < _SHORT_ID_MAX:
        return _render_usual(model)
    author = hub.PUBLIC if is_public else str(model.team)
    name = f"{author}/{model.id}"
    added_at = model.added_at or 0
    text = _encode(
        hub.SummaryRecord(
            id=name,
            author=author,
            private=not is_public,
            tags=tags_of(model, upstream_id(model.id, model.version_group)),
            library_name=library_of(model.type.name),
            object_id=f"{model.id:024x}",
            model_id=name,
            created_at=hub.format_time(added_at),
            last_modified=hub.format_time(max(model.updated_at or 0, added_at)),
            pipeline_tag=PIPELINE_TAG,
        )
    )
    text = text.removeprefix(_START).removesuffix(_END)
    for character, part in _PARTS.items():
        text = text.replace(part, character, 1)
    return text


def _render_usual(model: Model) -> bytes:
    """Return the same for a public model with a short id. Leaving parts out of the whole takes longer: 8 µs, not 5."""
    added_at = model.added_at or 0
    text = b'%b%d\x02%b%b%08x\x06%d","createdAt":"%b\x08%b' % (
        _NAMESPACE,
        model.id,
        _encode(tags_of(model, upstream_id(model.id, model.version_group)))[1:-1],
        b"\x04" if library_of(model.type.name) else b"\x05",
        model.id,
        model.id,
        hub.format_time(added_at).removesuffix(_SECOND_END).encode(),
        hub.format_time(max(model.updated_at or 0, added_at)).removesuffix(_SECOND_END).encode(),
    )
    for character, part in _FREQUENT.items():
        text = text.replace(part, character, 1)
    return text


def ids_of(summaries: Sequence[bytes]) -> list[bytes]:
    """Return the digits of the model's id of each summary."""
    start = len(_NAMESPACE)
    with suppress(ValueError):
        return [summary[start : summary.index(_PUBLIC, start)] for summary in summaries]
    # Some are private, and begin with the name of a team.
    return [_NAME_END.split(summary)[0].partition(b"/")[2] for summary in summaries]


def join_summaries(summaries: Sequence[bytes], downloads: Mapping[int, int]) -> bytes:
    """Return summaries as a JSON array. ``downloads`` has the counts that are not 0, by the place of the summary."""
    if not summaries:
        return b"[]"
    pieces = list(summaries)
    for place, count in downloads.items():
        part = _PUBLIC if _PUBLIC in pieces[place] else _PRIVATE
        before, name, after = _COUNTED[part]
        pieces[place] = pieces[place].replace(part, b"%b%b%d%b" % (before, name[:-1], count, after), 1)
    page = (_END + b"," + _START).join(pieces)
    for character, part in _PARTS.items():
        page = page.replace(character, part)
    return b"[%b%b%b]" % (_START, page, _END)
