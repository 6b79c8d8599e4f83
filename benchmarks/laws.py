"""The measured laws that big invented catalogues follow, read from the recorded statistics at run time.

They are ``stats/`` below MODELYARD_TEST_DATA or ``../shared/data``: shares of types and bases on the whole site in
November 2025; versions and tags a model, rank-frequency curves and Heaps laws of tags and of words in names, version
names and log-normal downloads of July 2023; and real query strings with weights.
"""

import csv
import functools
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_NON_ASCII_WORD_SHARE = 0.05  # so that a sixth of names hold one, as 2,452 of 15,167 do

_SYLLABLES = """
ka ri to mi sa no lu ve ra shi den mar bel dor fen gal hul jin kor lan mor nel pra quil ros sten tal ur van wyn xan yel
zor bri cla dro esh fla gri hol ist ju kri lo mea ni ost pel que rho sol tri ul vex wil ya zen ang bor cir dul ea fir
gon hes il jas kel lis mun ner om pan rin sul tor und vil wen yor zal
""".split()  # noqa: SIM905 # quoted one by one they would fill screens
_CJK = (
    "花風月雪夜星空海山川森林雨雲光影春夏秋冬水彩少女美人物語絵画"
    "幻想東方剣姫竜虎鳥蝶桜梅蘭竹菊アイウエオカキクケコサシスセソ"
)
_CYRILLIC = "абвгдежзиклмнопрстуфхцчшэюя"


def stats_folder() -> Path:
    """Return where the recorded statistics are; FileNotFoundError says how to tell."""
    told = os.environ.get("MODELYARD_TEST_DATA")
    folder = (Path(told) if told else Path(__file__).parents[2] / "shared" / "data") / "stats"
    if not folder.is_dir():
        raise FileNotFoundError(f"no statistics at {folder}; set MODELYARD_TEST_DATA to the folder of recorded input")
    return folder


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """Ranks 1, 2, 3 … drawn as a measured rank-frequency curve says, and beyond its end by a Heaps exponent.

    Between two measured ranks frequency falls as a power of the rank; behind the last one as rank^(-1/beta), which
    makes the number of distinct draws grow as draws^beta. A rank is a real number, rounded: the first begins at ½.
    """

    starts: NDArray[np.float64]
    exponents: NDArray[np.float64]
    masses: NDArray[np.float64]  # cumulated, ending in 1

    def draw(self, chance: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Return ``count`` ranks."""
        uniform = chance.random(count)
        piece = np.searchsorted(self.masses, uniform, side="right").clip(max=len(self.starts) - 1)
        before = np.where(piece > 0, self.masses[piece - 1], 0.0)
        within = (uniform - before) / (self.masses[piece] - before)
        start, power = self.starts[piece], 1.0 - self.exponents[piece]
        end = np.append(self.starts[1:], np.inf)[piece]
        with np.errstate(divide="ignore"):
            # The integral of x^-a between start and end, inverted; an infinite end contributes nothing as a > 1 there.
            far = np.where(np.isinf(end), 0.0, end**power)
        ranks = (start**power + within * (far - start**power)) ** (1.0 / power)
        rounded: NDArray[np.int64] = np.minimum(ranks + 0.5, 2.0**40).astype(np.int64)
        return rounded


def power_law(frequencies: Mapping[str, int], heaps_beta: float) -> PowerLaw:
    """Return the law through measured points ``rank → frequency``."""
    points = sorted((float(rank), float(frequency)) for rank, frequency in frequencies.items())
    ranks, counts = (np.array(column) for column in zip(*points, strict=True))
    exponents = -np.diff(np.log(counts)) / np.diff(np.log(ranks))
    exponents = np.append(exponents, 1.0 / heaps_beta)
    exponents = np.where(np.abs(exponents - 1.0) < 1e-6, 1.0 + 1e-6, exponents)
    power = 1.0 - exponents
    starts, ends = np.append(0.5, ranks[1:]), np.append(ranks[1:], np.inf)
    with np.errstate(divide="ignore"):
        spans = (np.where(np.isinf(ends), 0.0, ends**power) - starts**power) / power
    masses = np.cumsum(counts * ranks**exponents * spans)
    return PowerLaw(starts, exponents, masses / masses[-1])


@dataclass(frozen=True, slots=True)
class Shares:
    """Words drawn by their shares."""

    words: tuple[str, ...]
    cumulated: NDArray[np.float64]

    def draw(self, chance: np.random.Generator, count: int) -> list[int]:
        """Return the places of ``count`` words."""
        places = np.searchsorted(self.cumulated, chance.random(count), side="right")
        drawn: list[int] = places.clip(max=len(self.words) - 1).tolist()
        return drawn


def _shares(weights: Mapping[str, float]) -> Shares:
    cumulated = np.cumsum(np.array([*weights.values()], dtype=np.float64))
    return Shares(tuple(weights), cumulated / cumulated[-1])


@dataclass(frozen=True, slots=True)
class Laws:
    """All that is read from the statistics."""

    types: Shares
    versions_mean: tuple[float, ...]  # by type, as `types` has them
    bases: Shares
    nsfw_share: tuple[float, ...]  # by base, as `bases` has them
    tags: PowerLaw
    tags_heaps: tuple[float, float]  # distinct = first * draws ^ second
    tag_counts: Shares
    words: PowerLaw
    word_counts: Shares
    version_names: Shares
    version_names_known_share: float
    ln_downloads: tuple[float, float]
    tag_words: tuple[str, ...]
    name_words: tuple[str, ...]
    queries: Mapping[str, tuple[tuple[str, float], ...]]  # by kind


@functools.cache
def laws() -> Laws:
    """Read the statistics."""
    folder = stats_folder()
    stats = json.loads((folder / "stats.json").read_bytes())
    parameters = json.loads((folder / "synthesis_params.json").read_bytes())
    site, complete = parameters["civitai_2025_11"], parameters["complete_types"]
    with (folder / "whole-site-2025-11" / "17_base_model_overlap_nsfw_nonnsfw.csv").open(newline="") as file:
        bases = {row["base_model"]: (int(row["total_models"]), int(row["nsfw_models"])) for row in csv.DictReader(file)}
    queries = _queries(folder / "query_seed.csv")
    named = stats["civitai"]["version_names_top"]
    tags = [tag for tag, _ in stats["civitai"]["top_tags"]]
    words = [*parameters["name_words"]["top"]]
    return Laws(
        types=_shares(site["type_share_of_models"]),
        versions_mean=tuple(site["versions_per_model"][kind] for kind in site["type_share_of_models"]),
        bases=_shares({name: total for name, (total, _) in bases.items()}),
        nsfw_share=tuple(nsfw / total for total, nsfw in bases.values()),
        tags=power_law(parameters["tags"]["rank_frequency"], parameters["tags"]["heaps_beta"]),
        tags_heaps=(parameters["tags"]["heaps_K"], parameters["tags"]["heaps_beta"]),
        tag_counts=_shares(stats["civitai"]["tag_count_hist"]),
        words=power_law(parameters["name_words"]["rank_frequency"], parameters["name_words"]["heaps_beta"]),
        word_counts=_shares(_histogram(stats["civitai"]["name_words"])),
        version_names=_shares(named),
        version_names_known_share=sum(named.values()) / sum(stats["civitai"]["versions_hist"].values()) * 0.6,
        ln_downloads=(complete["downloads_lognormal"]["mu_ln(x+1)"], complete["downloads_lognormal"]["sigma"]),
        tag_words=tuple(dict.fromkeys([*tags, *(query for query, _ in queries["tag_view"])])),
        name_words=tuple(
            dict.fromkeys(
                [*words, *(w for query, _ in queries["model_name"] for w in re.findall(r"\w+", query.lower()))]
            )
        ),
        queries=queries,
    )


def _queries(path: Path) -> Mapping[str, tuple[tuple[str, float], ...]]:
    by_kind: dict[str, list[tuple[str, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            by_kind.setdefault(row["kind"], []).append((row["query"], float(row["weight"]) + 1.0))
    return {kind: tuple(queries) for kind, queries in by_kind.items()}


def _histogram(percentiles: Mapping[str, int]) -> dict[str, float]:
    """Return number → share from percentiles such as ``{"p50": 3, "p75": 5}``, evenly between two of them."""
    points = sorted((float(name[1:]) / 100, value) for name, value in percentiles.items())
    shares: dict[str, float] = {}
    for (low, start), (high, end) in pairwise(points):
        for value in range(start, max(end, start + 1)):
            shares[str(value)] = shares.get(str(value), 0.0) + (high - low) / max(end - start, 1)
    return shares


# --- Words -----------------------------------------------------------------------------------------------------------


def mixed(number: int) -> int:
    """Return 64 well-mixed bits (splitmix64): a word's letters from its rank."""
    number = (number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return number ^ (number >> 31)


def spelled(bits: int, syllables: int) -> str:
    """Return an invented word of so many syllables."""
    parts = []
    for _ in range(syllables):
        bits, place = divmod(bits, len(_SYLLABLES))
        parts.append(_SYLLABLES[place])
    return "".join(parts)


@functools.lru_cache(maxsize=400_000)
def name_word(rank: int) -> str:
    """Return the word of this rank in names: measured ones first, invented ones behind."""
    known = laws().name_words
    if rank <= len(known):
        return known[rank - 1]
    bits = mixed(rank)
    script = bits % 1000
    bits //= 1000
    if script < _NON_ASCII_WORD_SHARE * 900:
        return "".join(_CJK[(bits >> (6 * place)) % len(_CJK)] for place in range(2 + bits % 3))
    if script < _NON_ASCII_WORD_SHARE * 1000:
        return "".join(_CYRILLIC[(bits >> (5 * place)) % len(_CYRILLIC)] for place in range(4 + bits % 5))
    return spelled(bits, 1 + bits % 3)


@functools.lru_cache(maxsize=400_000)
def tag(rank: int) -> str:
    """Return the tag of this rank: measured ones first, invented ones behind, more than a third of several words."""
    known = laws().tag_words
    if rank <= len(known):
        return known[rank - 1]
    bits = mixed(rank ^ 0x7461675F)
    if bits % 1000 < 377:
        return f"{spelled(bits >> 10, 1 + (bits >> 40) % 2)} {spelled(bits >> 20, 2)}"
    return spelled(bits >> 10, 2 + (bits >> 40) % 2)
