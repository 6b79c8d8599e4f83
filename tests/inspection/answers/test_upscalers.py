"""The answers for upscalers; tests/inspection/answer_table.py explains the lines."""

from tests.inspection.answer_table import answer_tables

ANSWERS = """
esrgan-x2
conv_first.weight _,12,_,_
body.0.rdb1.conv1.weight _,_,_,_
= type upscaler 99%
= architecture ESRGAN x2 99%
= says: 12 input channels: pixels folded 2 × 2 before a 4-fold network
= seen: esrgan-x2: conv_first.weight: F16 [33, 12, 33, 33]
= without 1: -
= without 2: -
= 1[1]: 1…4 esrgan, 5…9 -, 12 esrgan-x2, 16…36 -, 48 esrgan-x1, 64…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

esrgan-x1
conv_first.weight _,48,_,_
body.0.rdb1.conv1.weight _,_,_,_
= type upscaler 99%
= architecture ESRGAN x1 99%
= seen: esrgan-x1: conv_first.weight: F16 [33, 48, 33, 33]
= without 1: -
= without 2: -
= 1[1]: 1…4 esrgan, 5…9 -, 12 esrgan-x2, 16…36 -, 48 esrgan-x1, 64…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

esrgan
conv_first.weight _,1,_,_
body.0.rdb1.conv1.weight _,_,_,_
= type upscaler 99%
= architecture ESRGAN x4 99%
= seen: esrgan: conv_first.weight: F16 [33, 1, 33, 33]
= without 1: -
= without 2: -
= 1[1]: 1…4 esrgan, 5…9 -, 12 esrgan-x2, 16…36 -, 48 esrgan-x1, 64…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

esrgan-original
conv_first.weight _,_,_,_
RRDB_trunk.0.RDB1.conv1.weight _,_,_,_
trunk_conv.weight _,_,_,_
= type upscaler 99%
= architecture ESRGAN 99%
= seen: esrgan-original: conv_first.weight: F16 [33, 33, 33, 33]
= without 1: -
= without 2: -
= without 3: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

hat
conv_first.weight _,_,_,_
layers.0.residual_group.overlap_attn.relative_position_bias_table _,_
= type upscaler 99%
= architecture HAT 99%
= seen: hat: conv_first.weight: F16 [33, 33, 33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

swinir
conv_first.weight _,_,_,_
layers.0.residual_group.blocks.0.attn.relative_position_bias_table _,_
= type upscaler 99%
= architecture SwinIR 99%
= seen: swinir: conv_first.weight: F16 [33, 33, 33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

swin2sr
conv_first.weight _,_,_,_
layers.0.residual_group.blocks.0.attn.logit_scale _
= type upscaler 99%
= architecture Swin2SR 99%
= seen: swin2sr: conv_first.weight: F16 [33, 33, 33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

omnisr
residual_layer.0.residual_layer.0.layer.0.fn.0.weight _,_
input.weight _,_
up.0.weight _,_
= type upscaler 99%
= architecture OmniSR 99%
= seen: omnisr: residual_layer.0.residual_layer.0.layer.0.fn.0.weight: F16 [33, 33]
= without 1: -
= without 2: -
= without 3: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

compact
body.0.weight 64,3,3,3
body.1.weight 64
body.2.weight 64,64,3,3
= type upscaler 99%
= architecture SRVGGNetCompact 99%
= seen: compact: body.0.weight: F16 [64, 3, 3, 3]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1 -, 3 compact, 4…256384 -
= 1[2]: 1 -, 3 compact, 4…256384 -
= 1[3]: 1 -, 3 compact, 4…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.
"""


def test_each_header_and_its_neighbours_get_these_answers() -> None:
    assert ANSWERS.strip() == answer_tables(ANSWERS)
