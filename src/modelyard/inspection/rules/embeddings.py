"""Textual inversions and hypernetworks: told by the few tensors they have, and by nothing else."""

import re
from collections.abc import Callable

from modelyard.inspection.findings import LIKELY, PLAUSIBLE, UNKNOWN
from modelyard.inspection.header import Header
from modelyard.inspection.rules.rule import FLUX, FLUX_ALL, SD1, SD1_ALL, SD2, SD2_ALL, SDXL, SDXL_ALL, Rule

_EMBEDDING_SETS = (
    (frozenset({"clip_g", "clip_l"}), "sdxl", SDXL, SDXL_ALL),
    (frozenset({"clip_g", "clip_l", "t5xxl"}), "sd3", "SD 3", ("SD 3", "SD 3.5 Large", "SD 3.5 Medium")),
    (frozenset({"clip_l", "t5xxl"}), "flux.1", FLUX, ("Flux.1 D", "Flux.1 S")),
    (frozenset({"clip_l", "t5"}), "flux.1", FLUX, FLUX_ALL),
    (frozenset({"t5"}), "flux.1", FLUX, (*FLUX_ALL, "Chroma", "SD 3")),
    (frozenset({"qwen3"}), "z-image", "ZImageTurbo", ("ZImageTurbo", "ZImageBase")),
    (frozenset({"text_encoders_0", "text_encoders_1"}), "sdxl", SDXL, SDXL_ALL),
)


def _embedding_set(names: frozenset[str], architecture: str, base: str, candidates: tuple[str, ...]) -> Rule:
    name = "embedding-" + "-".join(sorted(names)).replace("_", "")
    return Rule(
        name,
        "textualinversion",
        tuple(sorted(names)),
        "R (unaestheticXL), K: one matrix a text encoder",
        architecture,
        base,
        when=lambda header, _: set(header.tensors) == names and _are_vectors(header),
        candidates=candidates,
    )


def _are_vectors(header: Header) -> bool:
    """Whether every tensor is a few vectors: at most 256 tokens, of a text encoder's width."""
    return all(
        len(tensor.shape) in (1, 2)
        and tensor.shape[-1] in (768, 1024, 1280, 2048, 2560, 4096)
        and tensor.parameters <= 256 * 4096
        for tensor in header.tensors.values()
    )


def _embedding_of(width: int) -> Callable[[Header, str], bool]:
    names = re.compile(r"emb_params|string_to_param(\.\*)?|<.{1,200}>|\*|string_to_param\..{1,200}")

    def holds(header: Header, _: str) -> bool:
        tensors = header.tensors
        return (
            len(tensors) == 1
            and names.fullmatch(next(iter(tensors))) is not None
            and _are_vectors(header)
            and next(iter(tensors.values())).shape[-1] == width
        )

    return holds


EMBEDDING_RULES: tuple[Rule, ...] = (
    *(_embedding_set(*each) for each in _EMBEDDING_SETS),
    Rule(
        "embedding-768",
        "textualinversion",
        (),
        "R (InvokeAI, EasyNegative): the width of SD 1's text encoder",
        "sd1",
        SD1,
        when=_embedding_of(768),
        base_confidence=LIKELY,
        candidates=SD1_ALL,
    ),
    Rule(
        "embedding-1024",
        "textualinversion",
        (),
        "S: the width of SD 2's text encoder",
        "sd2",
        SD2,
        when=_embedding_of(1024),
        base_confidence=LIKELY,
        candidates=SD2_ALL,
    ),
    Rule(
        "embedding-1280",
        "textualinversion",
        (),
        "the width of SDXL's second text encoder",
        "sdxl",
        SDXL,
        when=_embedding_of(1280),
        base_confidence=PLAUSIBLE,
        candidates=SDXL_ALL,
    ),
)


_HYPERNETWORK_LAYER = re.compile(r"(320|640|768|1024|1280)\.[01]\.(linear\.\d+\.|linear[12]\.)?(weight|bias)")


def _hypernetwork(wide: bool) -> Callable[[Header, str], bool]:
    def holds(header: Header, _: str) -> bool:
        names = [name for name in header.tensors if _HYPERNETWORK_LAYER.fullmatch(name)]
        return len(names) == len(header.tensors) and any(name.startswith("1024.") for name in names) == wide

    return holds


HYPERNETWORK_RULES: tuple[Rule, ...] = (
    Rule(
        "hypernetwork-768",
        "hypernetwork",
        (),
        "A1111's layout: a pair of networks for each width",
        "sd1",
        SD1,
        when=_hypernetwork(False),
        base_confidence=LIKELY,
        candidates=SD1_ALL,
    ),
    Rule(
        "hypernetwork-1024",
        "hypernetwork",
        (),
        "A1111's layout, with SD 2's text width 1024",
        "sd2",
        UNKNOWN,
        when=_hypernetwork(True),
        candidates=(SD2, SD1),
        cannot_tell="A1111 makes the layer 1024 for SD 1 too if asked to",
    ),
)
