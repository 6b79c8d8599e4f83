"""VAEs and their small approximations."""

from typing import Unpack

from modelyard.inspection.findings import LIKELY, UNKNOWN
from modelyard.inspection.rules.rule import SD1, SD2, SDXL, Details, Rule, Size

_LATENT_4 = (SD1, SD2, SDXL)
_LATENT_4_NOTE = "SD 1.x, 2.x and SDXL have VAEs of one shape"
_LATENT_16 = ("Flux.1 D", "Flux.1 S", "SD 3", "SD 3.5", "ZImageTurbo", "Lumina", "HiDream", "Chroma")
_LATENT_16_NOTE = "Flux.1, SD 3 and others that use Flux's VAE have VAEs of one shape"

_VAE_PREFIXES = ("", "first_stage_model.", "vae.")
_VAE_IN = "decoder.conv_in.weight"


def _vae(name: str, source: str, architecture: str, latent: int, base: str = UNKNOWN, **more: Unpack[Details]) -> Rule:
    needs = (_VAE_IN, "encoder.conv_in.weight", "decoder.conv_out.weight")
    more["sizes"] = (Size(_VAE_IN, 1, (latent,)),)
    return Rule(name, "vae", needs, source, architecture, base, prefixes=_VAE_PREFIXES, **more)


VAE_RULES: tuple[Rule, ...] = (
    _vae("vae-4", "T, I: 4 latent channels", "kl-f8", 4, candidates=_LATENT_4, cannot_tell=_LATENT_4_NOTE),
    _vae("vae-16", "I: 16 latent channels", "kl-f8-16", 16, candidates=_LATENT_16, cannot_tell=_LATENT_16_NOTE),
    _vae(
        "vae-32",
        "I: 32 latent channels",
        "flux.2",
        32,
        base="Flux.2 D",
        base_confidence=LIKELY,
        candidates=("Flux.2 D", "Flux.2 Klein 9B", "Flux.2 Klein 4B"),
        lacks=("encoder.down_blocks.0.0.conv1.weight",),  # Sana's DC-AE has 32 channels too
    ),
    Rule(
        "vae-wan2.2",
        "vae",
        ("decoder.middle.0.residual.0.gamma", "decoder.conv1.weight"),
        "C: 48 latent channels",
        "wan",
        "Wan Video 2.2 TI2V-5B",
        sizes=(Size("decoder.conv1.weight", 1, (48,)),),
        prefixes=_VAE_PREFIXES,
        base_confidence=LIKELY,
    ),
    Rule(
        "vae-wan",
        "vae",
        ("decoder.middle.0.residual.0.gamma", "decoder.conv1.weight"),
        "C: 16 latent channels",
        "wan",
        sizes=(Size("decoder.conv1.weight", 1, (16,)),),
        prefixes=_VAE_PREFIXES,
        candidates=("Wan Video 14B t2v", "Wan Video 1.3B t2v", "Qwen"),
        cannot_tell="Wan 2.1, 2.2-14B and Qwen-Image share it",
    ),
    Rule(
        "vae-hunyuan-video-original",
        "vae",
        ("decoder.conv_in.conv.bias", "decoder.mid.attn_1.k.bias"),
        "S",
        "hunyuan-video",
        "Hunyuan Video",
        prefixes=_VAE_PREFIXES,
        confidence=LIKELY,
    ),
    Rule(
        "vae-ltxv",
        "vae",
        ("decoder.conv_in.conv.bias", "encoder.conv_in.conv.bias", "per_channel_statistics.mean-of-means"),
        "S, C",
        "ltxv",
        "LTXV",
        prefixes=_VAE_PREFIXES,
        confidence=LIKELY,
    ),
    Rule("vae-cascade", "vae", ("vquantizer.codebook.weight",), "S: stage A", "stable-cascade", "Stable Cascade"),
    Rule(
        "vae-approx",
        "vaeapprox",
        ("conv1.weight", "conv8.weight"),
        "R (A1111): eight convolutions, 7 × 7 first",
        "vae-approx",
        sizes=(Size("conv1.weight", 1, (4,)), Size("conv1.weight", 2, (7,))),
        candidates=(SD1, SDXL),
        cannot_tell="the ones for SD 1.5 and for SDXL have one shape",
    ),
    Rule(
        "taesd-decoder-32",
        "vaeapprox",
        ("1.weight", "3.conv.0.weight"),
        "R (madebyollin/taesd)",
        "taesd",
        "Flux.2 D",
        sizes=(Size("1.weight", 0, (64,)), Size("1.weight", 1, (32,))),
        base_confidence=LIKELY,
    ),
    Rule(
        "taesd-decoder-16",
        "vaeapprox",
        ("1.weight", "3.conv.0.weight"),
        "C",
        "taesd",
        candidates=("Flux.1 D", "SD 3"),
        sizes=(Size("1.weight", 0, (64,)), Size("1.weight", 1, (16,))),
    ),
    Rule(
        "taesd-decoder-4",
        "vaeapprox",
        ("1.weight", "3.conv.0.weight"),
        "C",
        "taesd",
        candidates=(SD1, SDXL),
        sizes=(Size("1.weight", 0, (64,)), Size("1.weight", 1, (4,))),
        cannot_tell="TAESD and TAESDXL have one shape",
    ),
    Rule(
        "taesd-encoder",
        "vaeapprox",
        ("0.weight", "1.conv.0.weight"),
        "C",
        "taesd",
        sizes=(Size("0.weight", 0, (64,)), Size("0.weight", 1, (3,))),
        confidence=LIKELY,
    ),
)
