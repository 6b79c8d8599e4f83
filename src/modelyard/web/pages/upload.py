"""What a team does here besides looking: upload files, make and revoke keys."""

import re

from modelyard import errors
from modelyard.domain import BASE_MODEL_TYPES, FILE_EXTENSIONS, MODEL_TYPES, Scope
from modelyard.web.pages.page import Site, Visit, page, redirect
from modelyard.web.responses import Response

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


def show_upload(site: Site, visit: Visit) -> Response:
    """Answer the page that takes files; its script sends them by tus, as any client of the API may."""
    session = visit.member(Scope.WRITE)
    return page(
        visit,
        "upload.html",
        types=[kind for kind in MODEL_TYPES.values() if kind.name != "unknown"],
        base_models=site.catalog.base_models(session.viewer),
        base_model_types=BASE_MODEL_TYPES,
        extensions=FILE_EXTENSIONS,
        bytes_max=site.uploading.limits.upload_bytes_max,
    )


def show_uploaded(site: Site, visit: Visit) -> Response:
    """Send the browser on to the model that an upload became. Raises UploadNotFound."""
    session = visit.member(Scope.WRITE)
    upload_id = visit.request.path_parameters["upload"]
    if not _UPLOAD_ID.fullmatch(upload_id):
        raise errors.UploadNotFound(upload_id)
    upload = site.uploading.find(session.viewer.team, upload_id)
    if upload.model_id is None:
        raise errors.UploadNotFound(upload_id)
    return redirect(f"/models/{upload.model_id}")
