"""A demo catalogue: ten thousand invented models, a demo team with a few models of its own, and a key for the team.

A fixed seed makes the models the same everywhere. The shares of types and base models and the numbers of versions,
tags and downloads resemble those of Civitai; `benchmarks/laws.py` has the measurements. Rare types have more models
than their share, so that every filter finds something.
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
from modelyard.domain import OWN_ID_MIN, Hashes, Licence, Scope, Source, Status, Visibility, model_type
from modelyard.facts import Facts, Layer, Record
from modelyard.store import Store

TEAM = "demo"
MODELS = 10_000
PRIVATE_MODELS = 12
KEY_FILE = "demo-key"
_SEED = 20_251_122
# Far above the ids of Civitai, and below those that Modelyard gives, so that an import never meets an invented model.
_ID_MIN = 900_000_000
# The property of the store that says how far the demo is.
_PROPERTY = "demo"

# The share of each type; every type has at least `_TYPE_MODELS_MIN` models.
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
_VERSIONS_MEAN_DEFAULT = 1.26

# The size of a file in bytes, of which the hash adds up to 16 MB.
_SIZES = {"Checkpoint": 6_600_000_000, "TextualInversion": 20_000, "VAE": 319_000_000, "Upscaler": 50_000_000}
_SIZE_DEFAULT = 218_000_000
_LICENCES = (
    None,
    Licence(allow_commercial=("image",), allow_no_credit=True, allow_derivatives=True),
    Licence(allow_commercial=("image", "rent", "sell"), allow_no_credit=True, allow_derivatives=True),
    Licence(allow_commercial=(), allow_no_credit=False, allow_derivatives=False),
)

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
# The popularity of the n-th tag falls as n^-0.9. A model has four or five tags.
_TAG_EXPONENT = 0.9
_TAGS_MEAN = 4.5

_MOODS = """
amber ancient azure bold bright broken calm candid cinder clear cobalt cosmic crimson crystal dappled deep distant
dusky ember faded feral fluid frosted gentle gilded glass golden grainy hazy hollow inked iron ivory jade kinetic
lucid lunar misty molten mossy muted neon northern opal pale pastel polar quiet radiant rustic saffron scarlet
silent silver soft solar still stormy sunlit tidal umber velvet vivid wandering warm wild winter
""".split()  # noqa: SIM905 # quotes and commas would fill screens
_THINGS = """
alley anchor archive atlas aurora bay beacon bloom bridge canvas canyon castle cathedral citadel cliff coast comet
compass copper coral cottage dawn delta desert dome dragon dune echo falcon fern fjord forge fox garden gate glacier
grove harbour heron island kestrel knight lagoon lantern library lighthouse market meadow mill mirror moth mountain
oasis observatory orchard otter owl palace petal pier pilgrim prairie raven reef river robot rover sail saga serpent
shrine sparrow spire station storm summit temple tide tower train valley village voyager willow wolf workshop
""".split()  # noqa: SIM905 # quotes and commas would fill screens
_KINDS = """
style portrait landscape concept character outfit texture lighting sketch poster interior armour vehicle pose
background logo pattern miniature still-life map
""".split()  # noqa: SIM905 # quotes and commas would fill screens
_TAGS = """
character style anime portrait landscape woman man fantasy realistic photorealistic concept clothing animal
illustration architecture vehicle background painting watercolour ink sketch comic cartoon 3d science-fiction
cyberpunk steampunk medieval city night sea forest mountains winter summer space robot dragon cat dog horse bird
flower food furniture interior poster retro film monochrome pastel neon pixel-art lineart texture pattern logo map
icon game tabletop armour weapon hair eyes hands pose dance sport music festival costume hat jewellery mask ruins
castle cottage train ship aircraft car bicycle street rain snow fog fire light shadow minimal detailed soft dramatic
cinematic macro aerial isometric cutaway paper clay glass wood metal stone fabric mosaic stained-glass art-deco
baroque tool base-model merge detail-enhancer negative upscale sharpen denoise faces photos
""".split()  # noqa: SIM905 # quotes and commas would fill screens
# Names in other scripts, for search to find.
_OTHER_SCRIPTS = (
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


def prepare(store: Store, home: Path, remark: Callable[[str], None]) -> str | None:
    """Fill an empty store with the demo, and return a valid key of its team. Return None if the store has other models.

    ``remark`` gets messages for the user. If a start is interrupted, the next start completes the demo.
    """
    state = store.get_property(_PROPERTY)
    if state is None and store.revision() > 0:
        remark(
            "the catalogue is not empty, so no demo models are added; to create a key: modelyard key create --team NAME"
        )
        return None
    if state != "complete":
        remark(f"creating {MODELS:,} demo models …")
        _save_state(store, "begun")
        for outcome in open_catalog(store).register_many(records()):
            if outcome.result == "skipped":
                raise AssertionError(f"the demo's own model was refused: {outcome.reason}")
        _save_state(store, "complete")
    return _load_or_create_key(Auth(store), home / KEY_FILE)


def _save_state(store: Store, state: str) -> None:
    with store.transaction() as transaction:
        transaction.remember(_PROPERTY, state)


def _load_or_create_key(auth: Auth, path: Path) -> str:
    """Return the key in the file if it is valid, otherwise create one and write it to the file.

    The store has only a digest of the key, but every start shows the key. It may read and write, and only the
    file's owner may read the file.
    """
    with contextlib.suppress(FileNotFoundError, errors.InvalidKey, errors.MissingKey, UnicodeDecodeError):
        key = path.read_text().strip()
        if auth.viewer_of(key).may(Scope.WRITE):
            return key
    key, _ = auth.create_key(TEAM, [Scope.READ, Scope.WRITE], None)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(key + "\n")
    partial.replace(path)
    return key


def records() -> Iterator[Record]:
    """Yield the demo's models, always the same."""
    chance = random.Random(_SEED)  # noqa: S311 # invented models need no cryptography
    kinds = _list_types()
    chance.shuffle(kinds)
    count, number = 0, 0
    while count < MODELS - PRIVATE_MODELS:
        number += 1
        versions = list(_create_versions(chance, kinds[number % len(kinds)], number, count))
        yield from versions[: MODELS - PRIVATE_MODELS - count]
        count += len(versions)
    yield from _create_private_models(chance)


def _list_types() -> list[str]:
    """Return the types of all models."""
    counts = {kind: max(_TYPE_MODELS_MIN, round(share * MODELS)) for kind, share in _TYPES.items()}
    # The most frequent type has fewer models by as many as the rare types have more.
    counts["LORA"] -= sum(counts.values()) - MODELS
    return [kind for kind, count in counts.items() for _ in range(count)]


def _create_versions(chance: random.Random, kind: str, number: int, first: int) -> Iterator[Record]:
    """Yield the versions of one model, the newest and most popular first. They share name, tags and base model."""
    words = _draw_name(chance, number)
    stem = "".join(word.capitalize() for word in words.replace("-", " ").split())
    tags = _draw_tags(chance)
    base = chance.choices([*_BASES], [*_BASES.values()])[0]
    is_nsfw = chance.random() < _NSFW_SHARE
    downloads = math.exp(chance.gauss(_DOWNLOADS_MU, _DOWNLOADS_SIGMA))
    is_inpainting = kind == "Checkpoint" and chance.random() < 0.03
    mean = _VERSIONS_MEAN.get(kind, _VERSIONS_MEAN_DEFAULT)
    count = 1
    while chance.random() < 1 - 1 / mean:
        count += 1
    for version in range(count, 0, -1):
        model_id = _ID_MIN + (first + count - version) * 7
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
                upstream_model_id=_ID_MIN + number,
                title=words,
                size_bytes=_SIZES.get(kind, _SIZE_DEFAULT) + int(sha256[:6], 16),
                published_at=f"{2022 + (number + version) % 4}-{1 + number % 12:02}-{1 + number % 28:02}T12:00:00Z",
                licence=_LICENCES[number % len(_LICENCES)],
            ),
        )


def _create_private_models(chance: random.Random) -> Iterator[Record]:
    """Yield the demo team's models, which it has trained or uploaded. One of them is not available yet."""
    for number in range(PRIVATE_MODELS):
        is_trained = number % 3 < 2
        sha256 = f"{chance.getrandbits(256):064X}"
        words = f"{chance.choice(_MOODS)} {chance.choice(_THINGS)} {chance.choice(_KINDS)}"
        # The name of a trained model has the time of training and a hash, as in the vendor's API.
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
                tags=(*_draw_tags(chance), "ours"),
                rank=PRIVATE_MODELS - number,
                hashes=Hashes(sha256=sha256),
            ),
            visibility=Visibility.PRIVATE,
            team=TEAM,
            status=Status.UNAVAILABLE if number == PRIVATE_MODELS - 1 else Status.AVAILABLE,
        )


def _draw_name(chance: random.Random, number: int) -> str:
    if number % 137 == 0:
        return f"{_OTHER_SCRIPTS[number // 137 % len(_OTHER_SCRIPTS)]} {number}"
    words = [chance.choice(_MOODS), chance.choice(_THINGS)]
    if chance.random() < 0.6:
        words.append(chance.choice(_KINDS))
    return " ".join(words)


def _draw_tags(chance: random.Random) -> tuple[str, ...]:
    weights = [(index + 1) ** -_TAG_EXPONENT for index in range(len(_TAGS))]
    count = min(20, round(chance.expovariate(1 / _TAGS_MEAN)))
    return tuple(dict.fromkeys(tag.replace("-", " ") for tag in chance.choices(_TAGS, weights, k=count)))
