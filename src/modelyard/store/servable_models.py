"""The models whose files this server has."""

import sqlalchemy as sa

from modelyard.domain import Status
from modelyard.store import schema
from modelyard.store.queries import visible_to

# More than any list has, so that filters have something to choose from.
IDS_MAX = 20_000
_MODEL = schema.models.c


def find_ids(connection: sa.Connection, team: str | None, suffix: str) -> list[int]:
    """Return the ids of the available models with a file of this suffix that ``team`` may see, best first."""
    query = sa.select(_MODEL.id).where(
        _MODEL.blob.is_not(None),
        _MODEL.status == Status.AVAILABLE.value,
        sa.func.lower(_MODEL.sd_name).like(f"%{suffix}"),
        visible_to(_MODEL, team),
    )
    return [*connection.execute(query.order_by(_MODEL.rank.desc(), _MODEL.id.desc()).limit(IDS_MAX)).scalars()]
