"""The upload page, and the redirect from an upload to its model."""

import re

from modelyard import errors
from modelyard.domain import BASE_MODEL_TYPES, FILE_EXTENSIONS, MODEL_TYPES, Scope
from modelyard.web.pages.page import PageContext, PageRequest, redirect, render_page
from modelyard.web.responses import Response

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
