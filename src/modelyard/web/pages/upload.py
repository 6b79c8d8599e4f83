"""The upload page, and the redirect from an upload to its model."""

import re
from urllib.parse import parse_qs

from modelyard import errors
from modelyard.domain import BASE_MODEL_TYPES, FILE_EXTENSIONS, MODEL_TYPES, Scope
from modelyard.store import teams
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response

_SIZE_DIGITS_MAX = 18
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


def show_upload(context: PageContext, page_request: PageRequest) -> Response:
    """Show the upload page. Its script uploads by tus, like any client of the API."""
    session = page_request.require_session(Scope.WRITE)
    return render_page(
        page_request,
        "upload.html",
        types=[kind for kind in MODEL_TYPES.values() if kind.name != "unknown"],
        base_models=context.catalog.base_models(session.viewer),
        base_model_types=BASE_MODEL_TYPES,
        extensions=FILE_EXTENSIONS,
        bytes_max=context.uploads.limits.upload_bytes_max,
    )


def find_size(context: PageContext, page_request: PageRequest) -> Response:
    """Tell the script whether a model that the visitor sees has a file of this size: if not, none is the same."""
    session = page_request.require_session(Scope.WRITE)
    text = parse_qs(page_request.query_string[:256].decode("latin-1")).get("bytes", [""])[0]
    if not (text.isascii() and text.isdigit() and len(text) <= _SIZE_DIGITS_MAX):
        raise errors.InvalidParameter("bytes", text, "a number of bytes")
    with context.catalog.store.reading() as connection:
        is_known = teams.sees_size(connection, session.viewer.team, int(text))
    return Response(b'{"is_known":true}' if is_known else b'{"is_known":false}')


def show_uploaded(context: PageContext, page_request: PageRequest) -> Response:
    """Redirect to the model of a complete upload. Raises UploadNotFound."""
    session = page_request.require_session(Scope.WRITE)
    upload_id = page_request.request.path_parameters["upload"]
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise errors.UploadNotFound(upload_id)
    upload = context.uploads.find(session.viewer.team, upload_id)
    if upload.model_id is None:
        raise errors.UploadNotFound(upload_id)
    return redirect(f"/models/{upload.model_id}")
