"""The answers for VAEs; tests/inspection/answer_table.py explains the lines."""

from tests.inspection.answer_table import answer_tables

ANSWERS = """
vae-4
decoder.conv_in.weight _,4,_,_
encoder.conv_in.weight _,_,_,_
decoder.conv_out.weight _,_,_,_
= type vae 99%
= base unknown 0% of SD 1.5, SD 2.x, SDXL 1.0
= architecture kl-f8 99%
= says: SD 1.x, 2.x and SDXL have VAEs of one shape
= seen: vae-4: decoder.conv_in.weight: F16 [33, 4, 33, 33]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1…3 -, 4 vae-4, 5…12 -, 16 vae-16, 32 vae-32, 36…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

vae-16
decoder.conv_in.weight _,16,_,_
encoder.conv_in.weight _,_,_,_
decoder.conv_out.weight _,_,_,_
= type vae 99%
= base unknown 0% of Flux.1 D, Flux.1 S, SD 3, SD 3.5, ZImageTurbo, Lumina, HiDream, Chroma
= architecture kl-f8-16 99%
= says: Flux.1, SD 3 and others that use Flux's VAE have VAEs of one shape
= seen: vae-16: decoder.conv_in.weight: F16 [33, 16, 33, 33]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1…3 -, 4 vae-4, 5…12 -, 16 vae-16, 32 vae-32, 36…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

vae-32
decoder.conv_in.weight _,32,_,_
encoder.conv_in.weight _,_,_,_
decoder.conv_out.weight _,_,_,_
= type vae 99%
= base Flux.2 D 85% of Flux.2 D, Flux.2 Klein 9B, Flux.2 Klein 4B
= architecture flux.2 99%
= seen: vae-32: decoder.conv_in.weight: F16 [33, 32, 33, 33]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1…3 -, 4 vae-4, 5…12 -, 16 vae-16, 32 vae-32, 36…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

vae-wan2.2
decoder.middle.0.residual.0.gamma _,_
decoder.conv1.weight _,48,_,_
= type vae 99%
= base Wan Video 2.2 TI2V-5B 85%
= architecture wan 99%
= seen: vae-wan2.2: decoder.conv1.weight: F16 [33, 48, 33, 33]
= without 1: -
= without 2: -
= 2[1]: 1…12 -, 16 vae-wan, 32…36 -, 48 vae-wan2.2, 64…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

vae-wan
decoder.middle.0.residual.0.gamma _,_
decoder.conv1.weight _,16,_,_
= type vae 99%
= base unknown 0% of Wan Video 14B t2v, Wan Video 1.3B t2v, Wan Video 2.2 T2V-A14B, Qwen, Anima, Krea 2
= architecture vae-wan 99%
= says: Wan 2.1, 2.2-14B and Qwen-Image share it
= seen: vae-wan: decoder.conv1.weight: F16 [33, 16, 33, 33]
= without 1: -
= without 2: -
= 2[1]: 1…12 -, 16 vae-wan, 32…36 -, 48 vae-wan2.2, 64…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

vae-hunyuan-video-original
decoder.conv_in.conv.bias _
decoder.mid.attn_1.k.bias _
= type vae 85%
= base Hunyuan Video 85%
= architecture hunyuan-video 85%
= seen: vae-hunyuan-video-original: decoder.conv_in.conv.bias: F16 [33]
= without 1: -
= without 2: -
= prefixes: none

vae-ltxv
decoder.conv_in.conv.bias _
encoder.conv_in.conv.bias _
per_channel_statistics.mean-of-means _,_
= type vae 85%
= base LTXV 85%
= architecture ltxv 85%
= seen: vae-ltxv: decoder.conv_in.conv.bias: F16 [33]
= without 1: -
= without 2: -
= without 3: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

vae-cascade
vquantizer.codebook.weight _,_
= type vae 99%
= base Stable Cascade 99%
= architecture stable-cascade 99%
= seen: vae-cascade: vquantizer.codebook.weight: F16 [33, 33]
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

vae-approx
conv1.weight _,4,7,_
conv8.weight _,_,_,_
= type vaeapprox 99%
= base unknown 0% of SD 1.5, SDXL 1.0
= architecture vae-approx 99%
= says: the ones for SD 1.5 and for SDXL have one shape
= seen: vae-approx: conv1.weight: F16 [33, 4, 7, 33]
= without 1: -
= without 2: -
= 1[1]: 1…3 -, 4 vae-approx, 5…256384 -
= 1[2]: 1…5 -, 7 vae-approx, 8…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

taesd-decoder-32
1.weight 64,32
3.conv.0.weight _,_,_,_
= type vaeapprox 99%
= base Flux.2 D 85%
= architecture taesd 99%
= seen: taesd-decoder-32: 1.weight: F16 [64, 32]
= without 1: -
= without 2: -
= 1[0]: 1…48 -, 64 taesd-decoder-32, 128…256384 -
= 1[1]: 1…3 -, 4 taesd-decoder-4, 5…12 -, 16 taesd-decoder-16, 32 taesd-decoder-32, 36…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

taesd-decoder-16
1.weight 64,16
3.conv.0.weight _,_,_,_
= type vaeapprox 99%
= base unknown 0% of Flux.1 D, Flux.1 S, SD 3
= architecture taesd 99%
= says: TAEF1 and TAESD3 have one shape
= seen: taesd-decoder-16: 1.weight: F16 [64, 16]
= without 1: -
= without 2: -
= 1[0]: 1…48 -, 64 taesd-decoder-16, 128…256384 -
= 1[1]: 1…3 -, 4 taesd-decoder-4, 5…12 -, 16 taesd-decoder-16, 32 taesd-decoder-32, 36…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

taesd-decoder-4
1.weight 64,4
3.conv.0.weight _,_,_,_
= type vaeapprox 99%
= base unknown 0% of SD 1.5, SD 2.x, SDXL 1.0
= architecture taesd 99%
= says: TAESD and TAESDXL have one shape
= seen: taesd-decoder-4: 1.weight: F16 [64, 4]
= without 1: -
= without 2: -
= 1[0]: 1…48 -, 64 taesd-decoder-4, 128…256384 -
= 1[1]: 1…3 -, 4 taesd-decoder-4, 5…12 -, 16 taesd-decoder-16, 32 taesd-decoder-32, 36…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

taesd-encoder
0.weight 64,3
1.conv.0.weight _,_,_,_
= type vaeapprox 85%
= architecture taesd 85%
= seen: taesd-encoder: 0.weight: F16 [64, 3]
= without 1: -
= without 2: -
= 1[0]: 1…48 -, 64 taesd-encoder, 128…256384 -
= 1[1]: 1 -, 3 taesd-encoder, 4…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.
"""


def test_each_header_and_its_neighbours_get_these_answers() -> None:
    assert ANSWERS.strip() == answer_tables(ANSWERS)
