"""Big catalogues, invented by the laws that were measured on the real one, and the questions asked of them.

Types, bases, tags and popularity are drawn independently of each other; where the real ones are not (most VAEs are for
SD 1.5, popular models have more versions, tags come in pairs) this catalogue is plainer than the real one. A tag drawn
twice for a model is kept once, so that the most frequent one is on 34 % of the models where it really is on 46 %.

Seeded, and stable in its prefix: model i is the same however many are drawn. Streams 42,000 to 78,000 models/s on one
core of a busy machine with two (2026-11), and half as many entries.

    python -m benchmarks.synthesis 1000000      draws as many, prints the rate and the laws found beside those wanted
"""

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.laws import Laws, laws, mixed, name_word, spelled, tag
from modelyard.base_models import KNOWN
from modelyard.domain import (
    COMMERCIAL_USES,
    DOCUMENTED_TYPES,
    OWN_ID_MIN,
    TYPE_FAMILIES,
    Hashes,
    Licence,
    Model,
    ModelQuery,
    Offset,
    Position,
    Source,
    Status,
    Visibility,
    fold,
    fold_base,
    model_type,
)
from modelyard.facts import Entry, Facts, Layer

# Models (each of one or more versions) drawn at a time, and the unit of the prefix's stability.
_BATCH_MODELS = 8_192
_INPAINTING_SHARE = 140 / 5_366  # of checkpoint versions, July 2023
_BASE_TYPE_UNKNOWN_SHARE = 0.05
# Our assumption, nowhere measured: a busy installation beside the public catalogue.
_TRAINED_SHARE, _UPLOADED_SHARE = 0.012, 0.006
_PUBLIC_UPLOAD_SHARE = 0.2
TEAMS = tuple(f"team-{number}" for number in range(200))


# --- Models ----------------------------------------------------------------------------------------------------------

_SDXL_BASES = frozenset(base.name for base in KNOWN if base.is_sdxl)
_EXTENSIONS = {
    "textualinversion": ".pt",
    "hypernetwork": ".pt",
    "upscaler": ".pth",
    "workflows": ".zip",
    "wildcards": ".zip",
}
_PLAIN = {name: model_type(name) for name in ("LORA", "Checkpoint", "TextualInversion")}
_UPLOADED_TYPES = (_PLAIN["LORA"], _PLAIN["LORA"], _PLAIN["Checkpoint"], _PLAIN["TextualInversion"])


def models(count: int, seed: int = 0) -> Iterator[Model]:
    """Yield ``count`` models (a version is one, as in the catalogue), in the order of their ids but for our own."""
    return islice(_all_models(seed), count)


def entries(count: int, seed: int = 0) -> Iterator[Entry]:
    """Yield the same as the store keeps them."""
    return (
        Entry(model, {Layer.UPSTREAM if model.source is Source.CIVITAI else Layer.USER: _facts(model)})
        for model in models(count, seed)
    )


def _facts(model: Model) -> Facts:
    return Facts(
        name=model.name,
        sd_name=model.sd_name,
        type=model.type,
        base_model=model.base_model,
        base_model_type=model.base_model_type,
        is_nsfw=model.is_nsfw,
        tags=model.tags,
        cover_url=model.cover_url,
        rank=model.rank,
        hashes=model.hashes,
    )


def _all_models(seed: int) -> Iterator[Model]:
    first, batch = 0, 0
    while True:
        chance = np.random.default_rng([seed, batch])
        made = 0
        for model in _batch(chance, first):
            made += 1
            yield model
        first, batch = first + made, batch + 1


def _batch(chance: np.random.Generator, first: int) -> Iterator[Model]:
    known = laws()
    kinds = known.types.draw(chance, _BATCH_MODELS)
    means = np.array(known.versions_mean)[kinds]
    versions = chance.geometric(1.0 / means)
    names = _names(chance, known, versions)
    tags = _tags(chance, known)
    bases = known.bases.draw(chance, _BATCH_MODELS)
    is_nsfw = (chance.random(_BATCH_MODELS) < np.array(known.nsfw_share)[bases]).tolist()
    types = [model_type(kind) for kind in known.types.words]
    base_names = ["" if name.startswith("NULL") else name for name in known.bases.words]
    drawn = _Drawn.of(chance, known, int(versions.sum()))
    number = 0
    for model, count in enumerate(versions.tolist()):
        kind, base = types[kinds[model]], base_names[bases[model]]
        for version in range(count):
            stem = names[model] if version == 0 else f"{names[model]}{count - version}"
            yield _model(drawn, number, first + number, kind, base, stem, tags[model], is_nsfw[model])
            number += 1


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What is drawn for each version of a batch, by its number in it."""

    ranks: list[int]
    version_names: list[str]
    digits: str  # hexadecimal, `_DIGITS` a version
    origin: list[float]
    detail: list[float]
    teams: list[int]

    @classmethod
    def of(cls, chance: np.random.Generator, known: Laws, count: int) -> "_Drawn":
        mu, sigma = known.ln_downloads
        return cls(
            np.expm1(chance.normal(mu, sigma, count)).clip(min=0).astype(np.int64).tolist(),
            _version_names(chance, known, count),
            chance.bytes(count * _DIGITS // 2).hex().upper(),
            chance.random(count).tolist(),
            chance.random(count).tolist(),
            (chance.zipf(1.5, count) % len(TEAMS)).tolist(),
        )


_DIGITS = 64 + 64 + 12 + 8 + 8 + 32


def _model(
    drawn: _Drawn, number: int, index: int, kind: Any, base: str, stem: str, tags: tuple[str, ...], is_nsfw: bool
) -> Model:
    at = number * _DIGITS
    digits = drawn.digits[at : at + _DIGITS]
    sha256 = digits[:64]
    hashes = Hashes(digits[140:148], digits[128:140], sha256, digits[64:128], digits[148:156], sha256[:10])
    origin, name = drawn.origin[number], drawn.version_names[number]
    if origin < _TRAINED_SHARE + _UPLOADED_SHARE:
        return _own_model(drawn, number, index, base, stem, tags, is_nsfw, hashes)
    is_inpainting = kind.name == "checkpoint" and drawn.detail[number] < _INPAINTING_SHARE
    if is_inpainting:
        name += "-inpainting"
    compact = name.replace(".", "").replace(" ", "")
    base_type = (
        "Inpainting" if is_inpainting else "" if drawn.detail[number] > 1 - _BASE_TYPE_UNKNOWN_SHARE else "Standard"
    )
    extension = _EXTENSIONS.get(kind.name, ".safetensors")
    return Model(
        id=1_000 + 2 * index,
        name=name,
        sd_name=f"{stem}_{compact}_{700 + 2 * index}{extension}",
        type=kind,
        source=Source.CIVITAI,
        base_model=base,
        base_model_type=base_type,
        is_sdxl=base in _SDXL_BASES,
        is_nsfw=is_nsfw,
        tags=tags,
        cover_url=f"https://images.example/{digits[156:188].lower()}/width=450/{3 * index}.jpeg",
        rank=drawn.ranks[number],
        hashes=hashes,
        **_record_fields(digits, index, kind.name, stem, tags, f"{stem}_{compact}{extension}"),
    )


def _record_fields(
    digits: str, index: int, kind: str, stem: str, tags: tuple[str, ...], file_name: str
) -> dict[str, Any]:
    """Return what upstream says beside the list's record: our assumption, nowhere measured.

    Titles are the words of the stem. A model is published 90 seconds after the one before; a tenth has no date.
    """
    chance = [int(digits[at : at + 4], 16) for at in range(0, 24, 4)]
    published = 1_660_000_000 + 90 * index + chance[0] % 86_400
    return {
        "title": _WORD_START.sub(" ", stem.replace("_", " ")).title(),
        "creator": f"maker{min(chance[1], chance[2])}",
        "trigger_words": (*tags[:1], f"{stem[:12].lower()} style") if chance[3] % 3 else (),
        "file_names": (file_name,),
        "published_at": published if chance[4] % 10 else None,
        "updated_at": published + chance[5] * 600,
        "added_at": 1_760_000_000 + index // 2_000,
        "size_bytes": (6_500_000_000 if kind == "checkpoint" else 150_000_000) + 1_024 * chance[0],
        "licence": _LICENCES[chance[1] % len(_LICENCES)],
        "version_group": str(index // 3),
    }


_WORD_START = re.compile("(?<=[a-z])(?=[A-Z])")
_LICENCES = (
    None,
    *(
        Licence(allow_commercial=uses, allow_no_credit=no_credit, allow_derivatives=derivatives)
        for uses in (None, (), ("image",), ("image", "rent"), COMMERCIAL_USES)
        for no_credit in (True, False)
        for derivatives in (True, None)
    ),
)


def _own_model(
    drawn: _Drawn, number: int, index: int, base: str, stem: str, tags: tuple[str, ...], is_nsfw: bool, hashes: Hashes
) -> Model:
    is_trained = drawn.origin[number] < _TRAINED_SHARE
    is_public = not is_trained and drawn.detail[number] < _PUBLIC_UPLOAD_SHARE
    team = drawn.teams[number]
    name = f"model_{1_690_000_000 + 3 * index}_{hashes.short}" if is_trained else f"{stem}_{index}"
    return Model(
        id=OWN_ID_MIN + index,
        name=drawn.version_names[number] if not is_trained else name,
        sd_name=f"{name}.safetensors",
        type=_PLAIN["LORA"] if is_trained else _UPLOADED_TYPES[index % len(_UPLOADED_TYPES)],
        source=Source.TRAINING if is_trained else Source.UPLOADING,
        visibility=Visibility.PUBLIC if is_public else Visibility.PRIVATE,
        team=TEAMS[team],
        status=Status.UNAVAILABLE if drawn.detail[number] > 0.98 and not is_public else Status.AVAILABLE,
        base_model=base,
        base_model_type="Standard",
        is_sdxl=base in _SDXL_BASES,
        is_nsfw=is_nsfw,
        tags=tags,
        rank=drawn.ranks[number] // 100,
        hashes=hashes,
    )


def _names(chance: np.random.Generator, known: Laws, versions: NDArray[np.int64]) -> list[str]:
    """Return a file's stem for each model: words of its name, run together as Civitai does it, or as people do."""
    counts = [int(known.word_counts.words[place]) for place in known.word_counts.draw(chance, len(versions))]
    ranks = iter(known.words.draw(chance, sum(counts)).tolist())
    manners = chance.random(len(versions)).tolist()
    stems = []
    for count, manner in zip(counts, manners, strict=True):
        words = [name_word(rank) for rank in islice(ranks, count)]
        if manner < 0.6:
            stems.append(words[0] + "".join([word.capitalize() for word in words[1:]]))
        elif manner < 0.85:
            stems.append("_".join(words))
        else:
            stems.append(" ".join(words))
    return stems


def _tags(chance: np.random.Generator, known: Laws) -> list[tuple[str, ...]]:
    counts = [int(known.tag_counts.words[place]) for place in known.tag_counts.draw(chance, _BATCH_MODELS)]
    ranks = iter(known.tags.draw(chance, sum(counts)).tolist())
    return [tuple(dict.fromkeys([tag(rank) for rank in islice(ranks, count)])) for count in counts]


def _version_names(chance: np.random.Generator, known: Laws, count: int) -> list[str]:
    usual = [known.version_names.words[place] for place in known.version_names.draw(chance, count)]
    is_usual = (chance.random(count) < known.version_names_known_share).tolist()
    major, minor = chance.geometric(0.4, count).tolist(), chance.integers(0, 10, count).tolist()
    ranks = known.words.draw(chance, count).tolist()
    return [
        name if keeps else f"v{a}.{b}" if b < 6 else f"{name_word(rank)} {a}"
        for name, keeps, a, b, rank in zip(usual, is_usual, major, minor, ranks, strict=True)
    ]


# --- Questions -------------------------------------------------------------------------------------------------------

_SDXL: dict[str, Any] = {"is_sdxl": True}
_NEEDLES = ("vae", "upscaler", "controlnet")
_HAYSTACK: dict[str, Any] = {"types": TYPE_FAMILIES["lora"]}


def query_mix(seed: int = 0, per_class: int = 20) -> list[tuple[str, ModelQuery]]:
    """Return ``per_class`` questions of each class, class by class.

    Needles are few (a type of 1 in 4,000), haystacks nearly everything, misses match nothing and have to be found to.
    Positions are those that pages deep in the catalogue end with; they need not be of a model.
    """
    chance = np.random.default_rng([seed, 1])
    some = list(models(20_000, seed))
    classes = _classes(chance, some)
    return [(name, ask(number)) for name, ask in classes.items() for number in range(per_class)]


def _classes(chance: np.random.Generator, some: list[Model]) -> dict[str, Callable[[int], ModelQuery]]:
    def text(*kinds: str, terms: int | None = None) -> tuple[str, ...]:
        while True:
            said = tuple(
                dict.fromkeys(fold(_weighted(chance, laws().queries[kinds[chance.integers(len(kinds))]])).split())
            )
            if said and (terms is None or len(said) == terms):
                return said[:16]

    def any_model() -> Model:
        return some[chance.integers(len(some))]

    def two_frequent(_: int) -> ModelQuery:
        places = chance.choice(12, 2, replace=False)
        return ModelQuery(terms=tuple(fold(tag(int(place) + 1)).split()[0] for place in places))

    def one_of(*words: str) -> str:
        return words[chance.integers(len(words))]

    def filters(**given: Any) -> Callable[[int], ModelQuery]:
        return lambda number: ModelQuery(**given, limit=(20, 100)[number % 2])

    return {
        "no filter": filters(),
        "public": filters(visibility=Visibility.PUBLIC),
        "private": filters(visibility=Visibility.PRIVATE),
        "haystack: lora": filters(**_HAYSTACK),
        "haystack: public lora SDXL": filters(visibility=Visibility.PUBLIC, **_HAYSTACK, **_SDXL),
        "checkpoints": filters(types=frozenset({"checkpoint"})),
        "inpainting checkpoints": filters(types=frozenset({"checkpoint"}), is_inpainting=True),
        "needle: a rare type": lambda number: ModelQuery(
            types=frozenset({_NEEDLES[number % 3]}), limit=(20, 100)[number % 2]
        ),
        "needle: a rare type, SDXL, safe": lambda number: ModelQuery(
            types=frozenset({_NEEDLES[number % 3]}), is_sdxl=True, is_nsfw=False
        ),
        "several types": lambda _: ModelQuery(
            types=frozenset(chance.choice(DOCUMENTED_TYPES, 3, replace=False).tolist())
        ),
        "miss: vae and training": filters(types=frozenset({"vae"}), sources=frozenset({Source.TRAINING})),
        "source": lambda number: ModelQuery(sources=frozenset({[*Source][number % 3]})),
        "base model": lambda _: ModelQuery(
            base_models=frozenset({fold_base(any_model().base_model or "Other")}), **_HAYSTACK
        ),
        "rare base model": lambda _: ModelQuery(base_models=frozenset({fold_base(one_of(*laws().bases.words[40:]))})),
        "frequent tag": lambda _: ModelQuery(tags=(fold(tag(int(chance.integers(1, 30)))),)),
        "rare tag": lambda _: ModelQuery(tags=(fold(tag(int(chance.integers(3_000, 60_000)))),)),
        "two tags": lambda _: ModelQuery(
            tags=tuple(dict.fromkeys(fold(t) for t in (any_model().tags or ("style",))[:2]))
        ),
        "id": lambda _: ModelQuery(id=any_model().id),
        "hash": lambda number: ModelQuery(hash=any_model().hashes.sha256 if number % 2 else any_model().hashes.autov2),
        "miss: hash": lambda _: ModelQuery(hash=chance.bytes(32).hex().upper()),
        "deep page": lambda _: ModelQuery(start=_deep(chance)),
        "deep page, lora SDXL": lambda _: ModelQuery(start=_deep(chance), **_HAYSTACK, **_SDXL),
        "deep offset": lambda _: ModelQuery(start=Offset(int(10 ** chance.uniform(2, 5.5)))),
        "deep offset, lora SDXL": lambda _: ModelQuery(
            start=Offset(int(10 ** chance.uniform(2, 5))), **_HAYSTACK, **_SDXL
        ),
        "text: one term": lambda _: ModelQuery(terms=text("tag_view", "model_name", "horde_queue", terms=1)),
        "text: as asked": lambda _: ModelQuery(
            terms=text("tag_view", "model_name", "trigger", "horde_queue", "horde_style")
        ),
        "text: one or two characters": lambda _: ModelQuery(
            terms=(one_of("3d", "xl", "v2", "ai", "a", "花", "少女", "sd", "2"),)
        ),
        "text: two frequent terms": two_frequent,
        "text: a rare name": lambda _: ModelQuery(terms=(fold(name_word(int(chance.integers(20_000, 200_000)))),)),
        "text: with filters": lambda _: ModelQuery(
            terms=text("tag_view", "model_name"), is_nsfw=False, **_HAYSTACK, **_SDXL
        ),
        "text: needle": lambda number: ModelQuery(
            terms=text("tag_view", terms=1), types=frozenset({_NEEDLES[number % 3]})
        ),
        "text: deep page": lambda _: ModelQuery(terms=text("tag_view", terms=1), start=_deep(chance)),
        # Every three letters of it occur in many names, the whole in none: what trigrams alone cannot tell.
        "miss: text, one term": lambda _: ModelQuery(terms=(spelled(mixed(int(chance.integers(2**40))), 6),)),
        # The same with words: each is in some names, no name has all four.
        "miss: text, four terms": lambda _: ModelQuery(
            terms=tuple(dict.fromkeys(fold(name_word(int(rank))) for rank in chance.integers(300, 3_000, 4)))
        ),
    }


def _weighted(chance: np.random.Generator, queries: tuple[tuple[str, float], ...]) -> str:
    weights = np.sqrt(
        np.array([weight for _, weight in queries])
    )  # by the root, or one string would be most of the mix
    return queries[int(chance.choice(len(queries), p=weights / weights.sum()))][0]


def _deep(chance: np.random.Generator) -> Position:
    mu, sigma = laws().ln_downloads
    return Position(int(np.expm1(chance.normal(mu, sigma)).clip(0)), int(chance.integers(1, 3_000_000)))


# --- Laws found ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Draw as many models as asked for, and print what came out."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    next(models(1, arguments.seed))
    started = time.perf_counter()
    for _ in models(arguments.count, arguments.seed):
        pass
    print(f"{arguments.count:,} models at {arguments.count / (time.perf_counter() - started):,.0f}/s")
    types: Counter[str] = Counter()
    bases: Counter[str] = Counter()
    tags: Counter[str] = Counter()
    ranks, text_chars, tokens = [], 0, 0
    for model in models(arguments.count, arguments.seed):
        types[model.type.name] += 1
        bases[model.base_model] += 1
        tags.update(model.tags)
        ranks.append(model.rank)
        text_chars += len(model.sd_name) + len(model.name) + sum(map(len, model.tags))
        tokens += len(model.tags)
    for title, counts in (("types", types), ("bases", bases), ("tags", tags)):
        shown = ", ".join(f"{name} {100 * number / arguments.count:.3g} %" for name, number in counts.most_common(12))
        print(f"{title} ({len(counts):,}): {shown}")
    print(f"vae {types['vae']}, upscaler {types['upscaler']}, controlnet {types['controlnet']}")
    scale, beta = laws().tags_heaps
    print(f"distinct tags {len(tags):,}; by the Heaps law of as many tokens {scale * tokens**beta:,.0f}")
    print(f"tags a model {tokens / arguments.count:.2f}, characters of text {text_chars / arguments.count:.0f}")
    print("rank percentiles 1, 50, 99, 99.9, 100:", np.percentile(ranks, [1, 50, 99, 99.9, 100]).round().tolist())


if __name__ == "__main__":
    main()
