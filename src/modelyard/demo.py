"""A catalogue to try things on: ten thousand invented models, a demo team with a few of its own, and a key for it.

Seeded, so the same everywhere; made from the word lists below, so nobody's models. The shares and laws are those that
were measured on Civitai (the whole site in November 2025, downloads and versions in July 2023), with a floor under the
rare types: every filter is to show something.
"""

import contextlib
import math
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from modelyard import errors
from modelyard.auth import Auth
from modelyard.catalog import open_catalog
from modelyard.domain import (
    OWN_ID_MIN,
    Facts,
    Hashes,
    Layer,
    Record,
    Scope,
    Source,
    Status,
    Visibility,
    model_type,
)
from modelyard.store import Store

TEAM = "demo"
MODELS = 10_000
PRIVATE_MODELS = 12
KEY_FILE = "demo-key"
_SEED = 20_251_122
_NOTE = "demo"

# Share of the models; at least `_TYPE_MODELS_MIN` of each.
_TYPES = {
    "LORA": 0.909,
    "Checkpoint": 0.0297,
    "LoCon": 0.0226,
    "TextualInversion": 0.022,
    "DoRA": 0.0015,
    "Hypernetwork": 0.0006,
    "VAE": 0.0003,
    "Controlnet": 0.0002,
    "MotionModule": 0.00015,
    "Upscaler": 0.00006,
}
_TYPE_MODELS_MIN = 24
_EXTENSIONS = {"TextualInversion": "pt", "Hypernetwork": "pt", "Upscaler": "pth"}
_VERSIONS_MEAN = {"Checkpoint": 2.17, "VAE": 1.79, "Controlnet": 2.2, "MotionModule": 2.02}
_VERSIONS_MEAN_OTHERWISE = 1.26

_BASES = {
    "Illustrious": 0.311,
    "Pony": 0.247,
    "SD 1.5": 0.237,
    "SDXL 1.0": 0.079,
    "Flux.1 D": 0.077,
    "NoobAI": 0.012,
    "Other": 0.0145,
    "Hunyuan Video": 0.0028,
    "Qwen": 0.0022,
    "Wan Video 14B t2v": 0.0017,
    "SD 2.1 768": 0.0016,
    "SD 3.5 Large": 0.0006,
}
_DOWNLOADS_MU, _DOWNLOADS_SIGMA = 6.342, 1.572  # of ln(downloads + 1)
_NSFW_SHARE = 0.246
# Popularity of the n-th tag falls as n^-0.9; four or five of them a model.
_TAG_EXPONENT = 0.9
_TAGS_MEAN = 4.5

_MOODS = """
amber ancient azure bold bright broken calm candid cinder clear cobalt cosmic crimson crystal dappled deep distant
dusky ember faded feral fluid frosted gentle gilded glass golden grainy hazy hollow inked iron ivory jade kinetic
lucid lunar misty molten mossy muted neon northern opal pale pastel polar quiet radiant rustic saffron scarlet
silent silver soft solar still stormy sunlit tidal umber velvet vivid wandering warm wild winter
""".split()  # noqa: SIM905 # quoted one by one they would fill screens
_THINGS = """
alley anchor archive atlas aurora bay beacon bloom bridge canvas canyon castle cathedral citadel cliff coast comet
compass copper coral cottage dawn delta desert dome dragon dune echo falcon fern fjord forge fox garden gate glacier
grove harbour heron island kestrel knight lagoon lantern library lighthouse market meadow mill mirror moth mountain
oasis observatory orchard otter owl palace petal pier pilgrim prairie raven reef river robot rover sail saga serpent
shrine sparrow spire station storm summit temple tide tower train valley village voyager willow wolf workshop
""".split()  # noqa: SIM905 # quoted one by one they would fill screens
_KINDS = """
style portrait landscape concept character outfit texture lighting sketch poster interior armour vehicle pose
background logo pattern miniature still-life map
""".split()  # noqa: SIM905 # quoted one by one they would fill screens
_TAGS = """
character style anime portrait landscape woman man fantasy realistic photorealistic concept clothing animal
illustration architecture vehicle background painting watercolour ink sketch comic cartoon 3d science-fiction
cyberpunk steampunk medieval city night sea forest mountains winter summer space robot dragon cat dog horse bird
flower food furniture interior poster retro film monochrome pastel neon pixel-art lineart texture pattern logo map
icon game tabletop armour weapon hair eyes hands pose dance sport music festival costume hat jewellery mask ruins
castle cottage train ship aircraft car bicycle street rain snow fog fire light shadow minimal detailed soft dramatic
cinematic macro aerial isometric cutaway paper clay glass wood metal stone fabric mosaic stained-glass art-deco
baroque tool base-model merge detail-enhancer negative upscale sharpen denoise faces photos
""".split()  # noqa: SIM905 # quoted one by one they would fill screens
# A few in other scripts: search has to find them too.
_ELSEWHERE = (
    "水彩の庭",
    "夜の街灯",
    "雪山スタイル",
    "墨绿山水",
    "玻璃花园",
    "Зимний лес",
    "Старый маяк",
    "Ночной поезд",
    "은빛 바다",
    "🌸 Petal Rain",
    "⚙️ Brass Clockwork",
)


def prepare(store: Store, home: Path, tell: Callable[[str], None]) -> str | None:
    """Fill an empty store with the demo and return a working key of its team; None where other models are kept already.

    ``tell`` is told what is being done. A start that was interrupted is made good by the next one.
    """
    access = Auth(store)
    state = store.get_property(_NOTE)
    if state is None and store.revision() > 0:
        tell("the catalogue is not empty, so it gets no demo models; make a key with: modelyard key create --team NAME")
        return None
    if state != "complete":
        tell(f"inventing {MODELS:,} models …")
        _remember(store, "begun")
        for outcome in open_catalog(store).register_many(records()):
            if outcome.result == "skipped":
                raise AssertionError(f"the demo's own model was refused: {outcome.reason}")
        _remember(store, "complete")
    return _kept_key(access, home / KEY_FILE)


def _remember(store: Store, state: str) -> None:
    with store.transaction() as writing:
        writing.remember(_NOTE, state)


def _kept_key(access: Auth, path: Path) -> str:
    """Return the key that the file holds if it still works, else a new one, which is kept there for the next start.

    Only a key's digest is in the store; this one's whole point is to be shown again. It may read, and the file is its
    owner's alone.
    """
    with contextlib.suppress(FileNotFoundError, errors.InvalidKey, errors.MissingKey, UnicodeDecodeError):
        kept = path.read_text().strip()
        access.viewer_of(kept)
        return kept
    key, _ = access.create_key(TEAM, [Scope.READ], None)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(key + "\n")
    partial.replace(path)
    return key


def records() -> Iterator[Record]:
    """Yield the demo's models, the same ones every time."""
    chance = random.Random(_SEED)  # noqa: S311 # invented models need no cryptography
    kinds = _allotted_types()
    chance.shuffle(kinds)
    made, number = 0, 0
    while made < MODELS - PRIVATE_MODELS:
        number += 1
        versions = list(_versions(chance, kinds[number % len(kinds)], number, made))
        yield from versions[: MODELS - PRIVATE_MODELS - made]
        made += len(versions)
    yield from _own_models(chance)


def _allotted_types() -> list[str]:
    counts = {kind: max(_TYPE_MODELS_MIN, round(share * MODELS)) for kind, share in _TYPES.items()}
    # What the rare ones get beyond their share, the most frequent one gives.
    counts["LORA"] -= sum(counts.values()) - MODELS
    return [kind for kind, count in counts.items() for _ in range(count)]


def _versions(chance: random.Random, kind: str, number: int, made: int) -> Iterator[Record]:
    """Yield the versions of one invented model: names, tags and base in common, popularity falling from the newest."""
    words = _name(chance, number)
    stem = "".join(word.capitalize() for word in words.replace("-", " ").split())
    tags = _tags(chance)
    base = _drawn(chance, _BASES)
    is_nsfw = chance.random() < _NSFW_SHARE
    downloads = math.exp(chance.gauss(_DOWNLOADS_MU, _DOWNLOADS_SIGMA))
    is_inpainting = kind == "Checkpoint" and chance.random() < 0.03
    mean = _VERSIONS_MEAN.get(kind, _VERSIONS_MEAN_OTHERWISE)
    count = 1
    while chance.random() < 1 - 1 / mean:
        count += 1
    for version in range(count, 0, -1):
        model_id = 100_000 + (made + count - version) * 7
        name = f"v{version}.0" + ("-inpainting" if is_inpainting else "")
        file_name = f"{stem}_v{version}{'-inpainting' if is_inpainting else ''}.{_EXTENSIONS.get(kind, 'safetensors')}"
        sha256 = f"{chance.getrandbits(256):064X}"
        dot = file_name.rindex(".")
        yield Record(
            model_id,
            Source.CIVITAI,
            Layer.UPSTREAM,
            Facts(
                name=name,
                sd_name=f"{file_name[:dot]}_{model_id + 11}{file_name[dot:]}",
                type=model_type(kind),
                base_model=base,
                base_model_type="Inpainting" if is_inpainting else "Standard",
                is_nsfw=is_nsfw,
                tags=tags,
                rank=round(downloads / (1 + count - version)),
                hashes=Hashes(sha256=sha256, autov2=sha256[:10], crc32=f"{chance.getrandbits(32):08X}"),
                file_name=file_name,
                upstream_model_id=number,
                upstream_model_name=words,
            ),
        )


def _own_models(chance: random.Random) -> Iterator[Record]:
    """Yield the demo team's own: trained and uploaded here, one of them not ready yet."""
    for number in range(PRIVATE_MODELS):
        is_trained = number % 3 < 2
        sha256 = f"{chance.getrandbits(256):064X}"
        words = f"{chance.choice(_MOODS)} {chance.choice(_THINGS)} {chance.choice(_KINDS)}"
        # A trained model is named by when it was trained and by its content, as the vendor names its own.
        stem = f"model_{1_760_000_000 + number * 86_400}_{sha256[:10]}" if is_trained else words.replace(" ", "_")
        yield Record(
            OWN_ID_MIN + number,
            Source.TRAINING if is_trained else Source.UPLOADING,
            Layer.USER,
            Facts(
                name=words,
                sd_name=f"{stem}.safetensors",
                type=model_type("LORA" if is_trained else "Checkpoint"),
                base_model=chance.choice([*_BASES][:5]),
                base_model_type="Standard",
                is_nsfw=False,
                tags=(*_tags(chance), "ours"),
                rank=PRIVATE_MODELS - number,
                hashes=Hashes(sha256=sha256),
            ),
            visibility=Visibility.PRIVATE,
            team=TEAM,
            status=Status.UNAVAILABLE if number == PRIVATE_MODELS - 1 else Status.AVAILABLE,
        )


def _name(chance: random.Random, number: int) -> str:
    if number % 137 == 0:
        return f"{_ELSEWHERE[number // 137 % len(_ELSEWHERE)]} {number}"
    words = [chance.choice(_MOODS), chance.choice(_THINGS)]
    if chance.random() < 0.6:
        words.append(chance.choice(_KINDS))
    return " ".join(words)


def _tags(chance: random.Random) -> tuple[str, ...]:
    weights = [(place + 1) ** -_TAG_EXPONENT for place in range(len(_TAGS))]
    count = min(20, round(chance.expovariate(1 / _TAGS_MEAN)))
    return tuple(dict.fromkeys(tag.replace("-", " ") for tag in chance.choices(_TAGS, weights, k=count)))


def _drawn(chance: random.Random, shares: dict[str, float]) -> str:
    return chance.choices([*shares], [*shares.values()])[0]
