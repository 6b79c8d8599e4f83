"""Upscalers, by architecture; the scale where it shows in a shape."""

from typing import Unpack

from modelyard.inspection.rules.rule import Details, Rule, Size


def _upscaler(name: str, architecture: str, *needs: str, **more: Unpack[Details]) -> Rule:
    return Rule(name, "upscaler", needs, "P", architecture, prefixes=("", "module."), **more)


UPSCALER_RULES: tuple[Rule, ...] = (
    _upscaler(
        "esrgan-x2",
        "ESRGAN x2",
        "conv_first.weight",
        "body.0.rdb1.conv1.weight",
        sizes=(Size("conv_first.weight", 1, (12,)),),
        cannot_tell="12 input channels: pixels folded 2 × 2 before a 4-fold network",
    ),
    _upscaler(
        "esrgan-x1",
        "ESRGAN x1",
        "conv_first.weight",
        "body.0.rdb1.conv1.weight",
        sizes=(Size("conv_first.weight", 1, (48,)),),
    ),
    _upscaler(
        "esrgan",
        "ESRGAN x4",
        "conv_first.weight",
        "body.0.rdb1.conv1.weight",
        sizes=(Size("conv_first.weight", 1, (1, 3, 4)),),
    ),
    _upscaler("esrgan-original", "ESRGAN", "conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight", "trunk_conv.weight"),
    _upscaler("hat", "HAT", "conv_first.weight", "layers.0.residual_group.overlap_attn.relative_position_bias_table"),
    _upscaler(
        "swinir", "SwinIR", "conv_first.weight", "layers.0.residual_group.blocks.0.attn.relative_position_bias_table"
    ),
    _upscaler("swin2sr", "Swin2SR", "conv_first.weight", "layers.0.residual_group.blocks.0.attn.logit_scale"),
    _upscaler(
        "omnisr", "OmniSR", "residual_layer.0.residual_layer.0.layer.0.fn.0.weight", "input.weight", "up.0.weight"
    ),
    _upscaler(
        "compact",
        "SRVGGNetCompact",
        "body.0.weight",
        "body.1.weight",
        "body.2.weight",
        when=lambda header, prefix: (
            (header.shape(prefix + "body.0.weight") or ())[1:] == (3, 3, 3)
            and len(header.shape(prefix + "body.1.weight") or ()) == 1
            and len(header.shape(prefix + "body.2.weight") or ()) == 4
            and all(name.startswith(prefix + "body.") for name in header.tensors)
        ),
    ),
)
