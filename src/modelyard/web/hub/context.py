"""The parts of the server that the handlers of the hub use."""

from dataclasses import dataclass

from modelyard.catalog import Catalog
from modelyard.web.api.files import Downloads
from modelyard.web.auth import ViewerOf
from modelyard.web.heavy_work import HeavyWork
from modelyard.web.hub.repositories import Repositories
from modelyard.web.hub.upstream import HubUpstream
from modelyard.web.rate_limit import RateLimit
from modelyard.web.responses import GzipCache
from modelyard.web.urls import BaseOf


@dataclass(frozen=True, slots=True)
class HubContext:
    """The parts. ``viewer_of`` refuses callers who may not read; ``caller_of`` returns all."""

    catalog: Catalog
    viewer_of: ViewerOf
    caller_of: ViewerOf
    repositories: Repositories
    downloads: Downloads
    rate_limit: RateLimit
    heavy_work: HeavyWork
    base_of: BaseOf
    gzip_cache: GzipCache
    upstream: HubUpstream | None = None
