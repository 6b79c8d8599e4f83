"""What the OpenAPI document says of bytes in and out: models sent and changed, uploads, covers, files."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from modelyard import errors, wire
from modelyard.domain import COVER_WIDTHS
from modelyard.web.api.edit_models import Announcement, Change, NewModel, UploadUrl
from modelyard.web.openapi.pieces import Json, operation, responses

_KEYED = (
    errors.MissingKey(),
    errors.InvalidKey(),
    errors.Forbidden("write"),
    errors.RateLimited(2),
    errors.Unavailable("the database is busy"),
    errors.ModelyardError("", id="5f2c9a10b4000012"),
)
_BODY = (
    errors.InvalidValue(
        "name: 'a/b' is not accepted; accepted: 1 to 100 of A-Z a-z 0-9 _ . - and spaces", field="name"
    ),
    errors.TooLarge("the request's body", 65_536),
)
_ID = errors.InvalidParameter("id", "x", "a model's id, decimal digits")
_MODEL = (_ID, errors.ModelNotFound("7"))
_SENT = (errors.TooLarge("the file", 100_000_000_000), errors.QuotaExceeded(1000, 900, 200), errors.StorageFull())
_PICTURE = (errors.UnsupportedFile("this is no picture that can be read; accepted: PNG, JPEG, WEBP, GIF, AVIF"),)
_LINK = (
    errors.InvalidSignature(),
    errors.LinkExpired(1_790_000_000),
    errors.Unavailable("the file is not where it was kept"),
    errors.ModelyardError("", id="5f2c9a10b4000012"),
)
_UPLOAD = (errors.UploadNotFound("0f"), errors.UploadExpired("0f", 1_790_000_000))
_OPEN: Json = {"security": []}


class Check(msgspec.Struct, frozen=True):
    """What a look at a model's file came to."""

    verdict: str
    reason: str


class Details(msgspec.Struct, frozen=True):
    """A model with what was declared and what was found; ``check`` is null to all but its owner."""

    model: wire.ModelRecord
    check: Check | None
    declared: dict[str, Any]
    found: dict[str, Any]


# In the order in which ``paths`` takes their schemas.
TYPES = (wire.ModelRecord, Announcement, UploadUrl, NewModel, Change, Details)


def paths(schemas: Sequence[Json]) -> dict[str, Json]:
    """Return the operations by path and method; ``schemas`` are those of ``TYPES``."""
    model, announcement, upload_url, new_model, change, details = schemas
    id_ = _parameter("id", "query", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}, "A model's id.")
    fresh = (errors.TooManyUploads(100, 60), *_SENT)
    unknown = errors.UnsupportedFile("file_extension: 'exe' is not accepted; accepted: safetensors")
    no_file = errors.ModelFileMissing(1_000_000_000)
    conflict = errors.ModelExists("the team has this file as 'night' already")
    return {
        "/v3/model": {
            "post": operation(
                "createModel", "Make a model of an announced file", model, (*_KEYED, *_BODY, conflict, unknown)
            )
            | _json(new_model),
            "patch": operation("changeModel", "Change a model", model, (*_KEYED, *_BODY, *_MODEL, no_file))
            | _json(change)
            | {"parameters": [id_]},
            "delete": operation("removeModel", "Remove a model", {"type": "object"}, (*_KEYED, *_BODY[1:], *_MODEL))
            | {"parameters": [id_]},
        },
        "/v3/model/details": {
            "get": operation(
                "getDetails", "A model, what was declared of it, and what was found", details, (*_KEYED, *_MODEL)
            )
            | {"parameters": [id_]}
        },
        "/v3/model/cover": {
            "put": operation("sendCover", "Send a model's cover", model, (*_KEYED, *_BODY, *_MODEL, *_PICTURE))
            | _bytes("image/*")
            | {"parameters": [id_]},
            "delete": operation("removeCover", "Take a model's cover away", model, (*_KEYED, *_BODY[1:], *_MODEL))
            | {"parameters": [id_]},
        },
        "/v3/model/uploader": {
            "post": operation(
                "announceFile", "Ask where to put a model's file", upload_url, (*_KEYED, *_BODY, unknown, *fresh)
            )
            | _json(announcement)
        },
        "/v3/model/uploader/{upload}": {"put": _put()},
        "/v3/uploads": {"post": _begin(fresh), "options": _options()},
        "/v3/uploads/{upload}": {"head": _tell(), "patch": _append(), "delete": _give_up()},
        "/files/{sha256}/{label}": {"get": _fetch("getFile"), "head": _fetch("headFile")},
        "/covers/{name}/{width}": {"get": _cover("getCover"), "head": _cover("headCover")},
    }


def _parameter(name: str, where: str, schema: Json, meaning: str, *, is_required: bool = True) -> Json:
    return {"name": name, "in": where, "required": is_required, "schema": schema, "description": meaning}


def _json(schema: Json) -> Json:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _bytes(media_type: str) -> Json:
    return {
        "requestBody": {"required": True, "content": {media_type: {"schema": {"type": "string", "format": "binary"}}}}
    }


def _plain(name: str, summary: str, answers: Mapping[str, str], failures: Iterable[errors.ModelyardError]) -> Json:
    """Return an operation whose good answers have no JSON: by status, what each means."""
    good = {status: {"description": meaning} for status, meaning in answers.items()}
    return {"operationId": name, "summary": summary, "responses": {**good, **responses(failures)}}


_SIGNED = [
    _parameter(name, "query", {"type": "string"}, "As the link has it.", is_required=False)
    for name in ("key", "expires", "signature")
]
_UPLOAD_ID = _parameter("upload", "path", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "The upload's id.")


def _put() -> Json:
    failures: list[errors.ModelyardError] = [*_LINK, *_BODY, *_UPLOAD, *_SENT, errors.UploadLocked("0f")]
    failures += [errors.HashMismatch("00", "11"), errors.UploadComplete("the bytes of this upload are here already")]
    described = _plain("putFile", "Put an announced file; the link is the permission", {"200": "It is here."}, failures)
    described["responses"]["408"] = {"description": "The body ended early."}
    described["parameters"] = [_UPLOAD_ID, *_SIGNED]
    return described | _bytes("application/octet-stream") | _OPEN


def _tus(name: str, summary: str, answers: Mapping[str, str], failures: Iterable[errors.ModelyardError]) -> Json:
    described = _plain(name, summary, answers, (*_KEYED, *failures))
    described["responses"]["412"] = {"description": "`Tus-Resumable` is not 1.0.0."}
    described["parameters"] = [_header("Tus-Resumable", "1.0.0")]
    return described


def _header(name: str, example: str, *, is_required: bool = True) -> Json:
    described = _parameter(name, "header", {"type": "string"}, "As tus 1.0 says.", is_required=is_required)
    return described | {"example": example}


def _begin(fresh: Iterable[errors.ModelyardError]) -> Json:
    described = _tus("beginUpload", "Begin a resumable upload (tus)", {"201": "It is at `Location`."}, (*_BODY, *fresh))
    more = (
        errors.UnsupportedFile("filename: 'exe' is not accepted"),
        errors.UploadNotFound("0f"),
        errors.UploadLocked("0f"),
    )
    described["responses"] |= responses([*more, errors.UploadComplete("the bytes of this upload are here already")])
    described["responses"]["408"] = {"description": "The body ended early."}
    described["responses"]["413"] = responses([errors.TooLarge("the file", 1), errors.QuotaExceeded(9, 8, 7)])["413"]
    described["responses"]["460"] = {"description": "The body does not have its `Upload-Checksum`."}
    optional = (("Upload-Metadata", "filename bi5zYWZldGVuc29ycw=="), ("Upload-Concat", "partial"))
    described["parameters"] += [
        _header("Upload-Length", "1000", is_required=False),
        *(_header(name, example, is_required=False) for name, example in optional),
    ]
    return described


def _options() -> Json:
    return _plain("describeUploads", "What is possible (tus)", {"204": "In the headers `Tus-*`."}, ()) | _OPEN


def _tell() -> Json:
    described = _tus("tellUpload", "How far an upload is (tus)", {"200": "In `Upload-Offset`."}, _UPLOAD)
    described["parameters"].append(_UPLOAD_ID)
    return described


def _append() -> Json:
    failures = (
        *_BODY,
        *_UPLOAD,
        *_SENT,
        errors.OffsetConflict(7, 9),
        errors.UploadLocked("0f"),
        errors.FinalUpload("0f"),
    )
    described = _tus(
        "appendToUpload",
        "Send an upload's next bytes (tus)",
        {"204": "It goes on at `Upload-Offset`.", "408": "The body ended early.", "460": "The checksum does not fit."},
        (*failures, errors.UnsupportedMediaType("application/offset+octet-stream")),
    )
    described["parameters"] += [_UPLOAD_ID, _header("Upload-Offset", "0")]
    return described | _bytes("application/offset+octet-stream")


def _give_up() -> Json:
    conflict = errors.UploadComplete("this upload has become a model; remove the model")
    described = _tus("giveUpUpload", "Give an upload up (tus)", {"204": "It is gone."}, (*_UPLOAD, conflict))
    described["parameters"].append(_UPLOAD_ID)
    return described


def _fetch(name: str) -> Json:
    answers = {
        "200": "The file.",
        "206": "The ranges asked for.",
        "304": "The file is the one you have.",
        "307": "The file is at `Location`.",
    }
    failures = (*_LINK, errors.ModelNotFound("night"), errors.FileGone("night"), errors.RangeNotSatisfiable(7))
    described = _plain(name, "Fetch a file by its signed link", answers, failures)
    described["parameters"] = [
        _parameter("sha256", "path", {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "As the link has it."),
        _parameter("label", "path", {"type": "string"}, "As the link has it."),
        *_SIGNED,
        _header("Range", "bytes=0-99", is_required=False),
    ]
    return described | _OPEN


def _cover(name: str) -> Json:
    described = _plain(
        name,
        "A cover that is kept here, as WebP",
        {"200": "The picture.", "304": "The picture is the one you have."},
        (errors.RouteNotFound("/covers/0f/640.webp"), _LINK[2], _LINK[3]),
    )
    widths = [f"{width}.webp" for width in COVER_WIDTHS]
    described["parameters"] = [
        _parameter("name", "path", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "As `cover_url` has it."),
        _parameter("width", "path", {"type": "string", "enum": widths}, "How wide."),
    ]
    return described | _OPEN
