"""Low-rank adapters: which file is one, in which dialect, of which kind, and for which base.

An adapter's tensors are named after the layers they change, with the part they play at the end:

    lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight
    └ dialect ┘└ layer, dots and underscores alike ┘└── role ──┘

A dialect is a way to spell this; the kind (LoRA, LoHa, LoKr, …) is what roles there are; the base follows from the
names and sizes of the layers.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.inspection.header import Header

Shape = tuple[int, ...]

# Role by the end of a name. "down" and "up" are the two factors; the others belong to one algorithm.
ROLES: Mapping[str, str] = {
    "lora_down.weight": "down",
    "lora_up.weight": "up",
    "lora_mid.weight": "mid",
    "lora_A.weight": "down",
    "lora_B.weight": "up",
    "lora_B.bias": "up_bias",
    "down.weight": "down",
    "up.weight": "up",
    "alpha": "alpha",
    "dora_scale": "dora",
    "lora_magnitude_vector": "dora",
    "lora_magnitude_vector.weight": "dora",
    "hada_w1_a": "loha",
    "hada_w1_b": "loha",
    "hada_w2_a": "loha",
    "hada_w2_b": "loha",
    "hada_t1": "loha",
    "hada_t2": "loha",
    "lokr_w1": "lokr",
    "lokr_w1_a": "lokr",
    "lokr_w1_b": "lokr",
    "lokr_w2": "lokr",
    "lokr_w2_a": "lokr",
    "lokr_w2_b": "lokr",
    "lokr_t2": "lokr",
    "oft_diag": "oft",
    "oft_blocks": "oft",
    "oft_R.weight": "oft",
    "diff": "full",
    "diff_b": "full",
    "on_input": "ia3",
    "a1.weight": "glora",
    "a2.weight": "glora",
    "b1.weight": "glora",
    "b2.weight": "glora",
}
# Roles that no other kind of file has. "alpha" and a plain "down.weight" occur elsewhere.
_TELLING = frozenset({"down", "up", "loha", "lokr", "oft", "full", "glora", "ia3", "dora"})
_SHARE_MIN = 0.3
# The parts that are the main network; the others are text encoders.
_MAIN = ("unet", "")

# cloneofsimo's first LoRAs: "unet:12:up".
_NUMBERED = re.compile(r"(unet|text_encoder):(\d+):(up|down)")
_XLABS = re.compile(r"(double|single)_blocks\.\d+\.processor\.")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's layers in one spelling: names without the dialect's prefix, underscores for dots."""

    dialect: str
    roles: frozenset[str]
    # Layer (with its prefix word: "unet", "te", "te1", "te2", "") to the shapes of its tensors by the end of their
    # names.
    layers: Mapping[tuple[str, str], Mapping[str, Shape]]
    # The main network's layers, one a line: one search asks for all of them.
    main: str

    @property
    def kind(self) -> str:
        """The algorithm: lora, loha, lokr, oft, full, glora, ia3."""
        for kind in ("lokr", "loha", "oft", "glora", "ia3"):
            if kind in self.roles:
                return kind
        return "lora" if self.roles & {"down", "up"} else "full"

    def input_width(self, ending: str) -> int | None:
        """The input size of the first layer of the main network whose name ends so, from the shapes of its
        factors."""
        for (part, layer), shapes in self.layers.items():
            if part in _MAIN and layer.endswith(ending):
                width = width_of(shapes)
                if width is not None:
                    return width
        return None

    def text_width(self, part: str) -> int | None:
        """The width of a text encoder that is adapted."""
        for (where, layer), shapes in self.layers.items():
            if where == part and layer.endswith(("q_proj", "k_proj", "v_proj", "out_proj", "fc1")):
                return width_of(shapes) or _output_of(shapes)
        return None

    def has_layer(self, pattern: "re.Pattern[str]") -> bool:
        """Whether a layer of the main network matches; "^" and "$" need re.MULTILINE."""
        return pattern.search(self.main) is not None

    def has_part(self, part: str) -> bool:
        """Whether layers of this part, such as the second text encoder, are adapted."""
        return any(where == part for where, _ in self.layers)


def width_of(shapes: Mapping[str, Shape]) -> int | None:
    """The input size of a layer, from the shapes of its factors."""
    for ending, shape in shapes.items():
        if ROLES.get(ending) == "down" and len(shape) >= 2:
            return shape[1]
        if ending in ("hada_w1_b", "a2.weight") and len(shape) == 2:
            return shape[1]
        if ending == "diff" and len(shape) >= 2:
            return shape[1]
    # Kronecker product: sizes multiply.
    second = shapes.get("lokr_w2") or shapes.get("lokr_w2_b")
    first = shapes.get("lokr_w1") or shapes.get("lokr_w1_b")
    if first and second and len(first) >= 2 and len(second) >= 2:
        return first[1] * second[1]
    return None


def _output_of(shapes: Mapping[str, Shape]) -> int | None:
    """The output size of a layer that is rotated in blocks; a text encoder's layers but its MLP are square."""
    blocks = shapes.get("oft_blocks", shapes.get("oft_diag", ()))
    return blocks[0] * blocks[1] if len(blocks) == 3 else None


# Prefix of a layer's name, the part of the model it says, the dialect. Longest first where one begins another.
_PREFIXES: tuple[tuple[str, str, str], ...] = (
    ("lora_unet_", "unet", "kohya"),
    ("lora_te1_", "te1", "kohya"),
    ("lora_te2_", "te2", "kohya"),
    ("lora_te3_", "te3", "kohya"),
    ("lora_te_", "te", "kohya"),
    ("lora_transformer_", "unet", "onetrainer"),
    ("lora_prior_unet_", "unet", "kohya"),
    ("lycoris_", "unet", "lycoris"),
    ("oft_unet_", "unet", "kohya"),
    ("base_model.model.", "", "peft"),
    ("transformer.", "unet", "diffusers"),
    ("unet.", "unet", "diffusers"),
    ("text_encoder.", "te1", "diffusers"),
    ("text_encoder_2.", "te2", "diffusers"),
    ("text_encoders.clip_l.", "te1", "comfyui"),
    ("text_encoders.clip_g.", "te2", "comfyui"),
    ("clip_l.", "te1", "onetrainer"),
    ("clip_g.", "te2", "onetrainer"),
    ("model.diffusion_model.", "unet", "comfyui"),
    ("diffusion_model.", "unet", "ai-toolkit"),
)


# One search instead of a comparison with each prefix: a header has thousands of names.
_PREFIX = re.compile("|".join(re.escape(prefix) for prefix, _, _ in _PREFIXES))
_MEANING = {prefix: (part, dialect) for prefix, part, dialect in _PREFIXES}


# At least one of these is in the names of every adapter.
_WORDS = (
    *("lora", "hada_w", "lokr_w", ".oft_", ".diff", ".on_input", "dora_scale", ".a1.weight", ".b1.weight"),
    *(".down.weight", ".up.weight", ":down", ":up"),
)


def read_adapter(header: Header) -> Adapter | None:
    """Return the adapter that a header describes, ``None`` if it describes something else."""
    # A search in all names at once: most files are no adapters, and need not be taken apart.
    names = "\n".join(header.tensors)
    if not any(word in names for word in _WORDS):
        return None
    layers: dict[tuple[str, str], dict[str, Shape]] = {}
    dialects: Counter[str] = Counter()
    endings: set[str] = set()
    adapted = 0
    # A layer's tensors stand together in most files, so its name is taken apart once.
    stem_before, shapes = "", {}
    for name, tensor in header.tensors.items():
        stem, ending = _split(name)
        if not stem:
            continue
        adapted += 1
        if stem != stem_before:
            part, layer, dialect = _place(stem)
            shapes = layers.setdefault((part, layer), {})
            dialects[dialect] += 1
            stem_before = stem
        shapes[ending] = tensor.shape
        endings.add(ending)
    roles = frozenset(ROLES[ending] for ending in endings)
    if adapted < _SHARE_MIN * len(header.tensors) or not roles & _TELLING:
        return None
    main = "\n".join(layer for part, layer in layers if part in _MAIN)
    return Adapter(_dialect(dialects, main, endings), roles, layers, main)


_ENDINGS = {(word, ending): f"{word}.{ending}" for word, _, ending in (role.partition(".") for role in ROLES) if ending}


def _split(name: str) -> tuple[str, str]:
    """A tensor's layer and the end of its name that says its role; empty for a tensor that is no adapter's."""
    # IP-Adapter FaceID carries low-rank factors beside its keys and values; it is no LoRA.
    if name.startswith("ip_adapter."):
        return "", ""
    stem, _, ending = name.rpartition(".")
    if ending in ROLES:
        return stem, ending
    if ending in ("weight", "bias"):
        stem, _, word = stem.rpartition(".")
        if word == "default":  # PEFT's name for the only adapter
            stem, _, word = stem.rpartition(".")
        role = _ENDINGS.get((word, ending))
        if role is not None and (word not in ("down", "up") or "lora" in stem or "processor" in stem):
            return stem, role
    elif numbered := _NUMBERED.fullmatch(name):
        return f"{numbered[1]}:{numbered[2]}", numbered[3] + ".weight"
    return "", ""


def _place(stem: str) -> tuple[str, str, str]:
    """Where a layer lies: its part of the model, its name with underscores, and the dialect that spells it so."""
    if prefix := _PREFIX.match(stem):
        part, dialect = _MEANING[prefix[0]]
        layer = stem[prefix.end() :]
        # diffusers' older forms: attn2.processor.to_k_lora.down.weight, k_proj.lora_linear_layer.down.weight
        layer = layer.removesuffix(".lora").removesuffix(".lora_linear_layer").removesuffix("_lora")
        return part, layer.replace(".processor.", ".").replace(".", "_"), dialect
    if ":" in stem:
        part, _, number = stem.partition(":")
        return "unet" if part == "unet" else "te", number, "cloneofsimo"
    return "", stem.replace(".", "_"), "xlabs" if _XLABS.match(stem) else "plain"


_BFL_LAYER = re.compile(r"^(double_blocks_\d+_(img|txt)_|single_blocks_\d+_linear)", re.MULTILINE)
_ONETRAINER_LAYER = re.compile(r"^transformer_", re.MULTILINE)


def _dialect(dialects: Counter[str], main: str, endings: set[str]) -> str:
    """The dialect that most layers are spelled in, told more exactly by what only some of its users write."""
    dialect = dialects.most_common(1)[0][0]
    bfl = _BFL_LAYER.search(main) is not None
    if dialect == "plain":
        # Black Forest Labs' own control LoRAs carry the norms' scales beside the factors.
        return "bfl" if bfl else "diffusers" if any("lora" in ending for ending in endings) else "plain"
    if dialect == "ai-toolkit" and bfl and not any(ending.startswith("lora_") for ending in endings):
        return "bfl"
    if dialect == "kohya" and _ONETRAINER_LAYER.search(main):
        return "onetrainer"
    return dialect


_CONVOLUTION = re.compile(
    r"^.*(_conv[12]?|_conv_shortcut|_conv_(in|out)|_in_layers_2|_out_layers_3|_skip_connection|_op)$", re.MULTILINE
)


def type_of(adapter: Adapter) -> tuple[str, str]:
    """Return the type and the reason. Civitai calls LyCORIS's algorithms, convolutions included, LoCon."""
    if "motion_modules" in adapter.main:
        return "motionmodule", "layers of AnimateDiff's motion module"
    if "dora" in adapter.roles:
        return "dora", "a scale for each direction (dora_scale)"
    if adapter.kind != "lora":
        return "locon", f"LyCORIS's {adapter.kind}"
    if "mid" in adapter.roles:
        return "locon", "Tucker-decomposed convolutions (lora_mid)"
    # The 1 × 1 convolutions proj_in and proj_out are adapted by plain LoRAs too.
    if adapter.dialect in ("kohya", "lycoris") and (match := _CONVOLUTION.search(adapter.main)):
        return "locon", f"a convolution is adapted: {match[0][-80:]}"
    return "lora", "low-rank factors of linear layers"
