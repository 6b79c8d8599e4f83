"""The question and the rows as every engine is given them; and ours among them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from modelyard.domain import Model, ModelQuery, Offset, Position, Viewer, Visibility, fold, fold_base, search_text
from modelyard.index import Index
from modelyard.wire.packed_records import unpack

Ask = Callable[[], Sequence[bytes]]
GRAM = 3
_LOADED_AT_ONCE = 10_000


class Contender(Protocol):
    """Something that answers questions with rendered records, best first."""

    name: str

    def prepare(self, asked: "Asked") -> Ask:
        """Return the question ready to be put, again and again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question by a viewer, in plain values. No owner ("" is everyone): nothing can match."""

    viewer: Viewer
    query: ModelQuery
    owners: tuple[str, ...]
    # Columns that must have one value.
    equal: dict[str, str | int]
    skip: int
    after: Position | None


def asked(viewer: Viewer, query: ModelQuery) -> Asked:
    """Return the question as engines other than ours take it."""
    owners = []
    if query.visibility is not Visibility.PRIVATE:
        owners.append("")
    if query.visibility is not Visibility.PUBLIC and viewer.team is not None:
        owners.append(viewer.team)
    equal: dict[str, str | int] = {}
    for name, values in (("source", query.sources), ("base", query.base_models)):
        if values:
            (equal[name],) = values  # the questions of a benchmark have one
    if query.is_sdxl is not None:
        equal["sdxl"] = int(query.is_sdxl)
    if query.is_nsfw is not None:
        equal["nsfw"] = int(query.is_nsfw)
    if query.is_inpainting:
        equal["inpainting"] = 1
    start = query.start
    return Asked(
        viewer,
        query,
        tuple(owners),
        equal,
        skip=start.matches if isinstance(start, Offset) else 0,
        after=start if isinstance(start, Position) else None,
    )


@dataclass(frozen=True, slots=True)
class Item:
    """One model as the others are given it."""

    id: int
    rank: int
    owner: str
    type: str
    source: str
    sdxl: int
    nsfw: int
    inpainting: int
    base: str
    tags: tuple[str, ...]
    hashes: tuple[str, ...]
    text: str
    record: bytes

    @property
    def filters(self) -> tuple[str, str, str, int, int, int, str]:
        """The columns named by ``FILTERS``."""
        return self.owner, self.type, self.source, self.sdxl, self.nsfw, self.inpainting, self.base


FILTERS = ("owner", "type", "source", "sdxl", "nsfw", "inpainting", "base")


def items(models: Iterable[Model], render: Callable[[Model], bytes]) -> Iterator[Item]:
    """Yield the models as the others are given them."""
    for model in models:
        yield Item(
            model.id,
            model.rank,
            "" if model.visibility is Visibility.PUBLIC else model.team or "",
            model.type.name,
            model.source.value,
            int(model.is_sdxl),
            int(model.is_nsfw),
            int(model.is_inpainting),
            fold_base(model.base_model),
            tuple(dict.fromkeys(fold(tag).strip() for tag in model.tags)),
            tuple(model.hashes.spellings()),
            search_text(model.sd_name, model.name, model.tags),
            render(model),
        )


def some(found: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(found)
    while chunk := list(islice(iterator, _LOADED_AT_ONCE)):
        yield chunk


def grams(term: str) -> list[str]:
    return list(dict.fromkeys(term[at : at + GRAM] for at in range(len(term) - GRAM + 1)))


class Ours:
    """Our index, in this process as in a worker's."""

    name = "Modelyard"

    def __init__(self, index: Index) -> None:
        self._index = index

    def prepare(self, asked: Asked) -> Ask:
        """Return the question ready to be put; it is planned when it is put."""

        def ask() -> list[bytes]:
            records = self._index.search(asked.viewer, asked.query).records
            # As the answer of the API does: the parts of records are put back into a page at once.
            return unpack(b"\0".join(records)).split(b"\0") if records else []

        return ask
