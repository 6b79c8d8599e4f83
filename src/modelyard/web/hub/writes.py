"""The parts of the server that the writing handlers of the hub use, and these handlers."""

from dataclasses import dataclass

from modelyard.domain import Viewer
from modelyard.registry.models import Models
from modelyard.registry.repositories import OwnedRepositories
from modelyard.store.repositories import Repository
from modelyard.uploads.commits import CommitUploads
from modelyard.web.api.presigned_uploads import PresignedUploads
from modelyard.web.auth import ViewerOf
from modelyard.web.hub import repositories
from modelyard.web.hub.commits import CommitHandler
from modelyard.web.hub.context import HubContext
from modelyard.web.hub.lfs import LfsHandler
from modelyard.web.hub.xet import XetHandler


@dataclass(frozen=True, slots=True)
class HubWrites:
    """The handlers of writes."""

    commits: CommitHandler
    lfs: LfsHandler
    xet: XetHandler
    caller_of: ViewerOf


def open_writes(hub: HubContext, presigned: PresignedUploads, models: Models) -> HubWrites:
    """Return the handlers of writes. They receive files as presigned uploads do."""
    store, caller_of, base_of = hub.catalog.store, hub.caller_of, hub.base_of
    auth, signer = presigned.auth, presigned.signer
    owned = OwnedRepositories(store, hub.downloads.storage, models, presigned.uploads.limits.team_quota_bytes)
    commit_uploads = CommitUploads(store, presigned.uploads)

    def read(viewer: Viewer, repository: Repository) -> repositories.Repository:
        if repository.model_id is None:
            return hub.repositories.find(viewer, repository.team, repository.name)
        return hub.repositories.of_model(viewer, repository.model_id)

    return HubWrites(
        CommitHandler(owned, commit_uploads, caller_of, base_of, read),
        LfsHandler(commit_uploads, owned, auth, signer, caller_of, base_of),
        XetHandler(commit_uploads, owned, auth, signer, caller_of, base_of),
        caller_of,
    )
