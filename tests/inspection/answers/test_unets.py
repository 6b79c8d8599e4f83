"""The answers for UNets; tests/inspection/answer_table.py explains the lines."""

from tests.inspection.answer_table import answer_tables

ANSWERS = """
sd1-kohya-delta
unet.conv_in.weight _,_,_,_
te.text_model.embeddings.token_embedding.weight _,_
unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight _,768
= type lora 50%
= base SD 1.5 50% of SD 1.5, SD 1.4
= architecture sd1 50%
= says: a whole model saved in this layout would look the same; none is known
= seen: sd1-kohya-delta: unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight: F16 [33, 768]
= without 1: -
= without 2: sd1-diffusers
= without 3: -
= 3[1]: 1…640 -, 768 sd1-kohya-delta, 1024 sd2-diffusers, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

svd-unet
input_blocks.0.0.weight _,4,_,_
input_blocks.1.0.time_stack.emb_layers.1.bias _
= type checkpoint 99%
= base SVD 50% of SVD, SVD XT
= variant Standard 99%
= architecture svd 99%
= part unet 85%
= says: SVD and SVD XT differ in training only
= seen: svd-unet: input_blocks.0.0.weight: F16 [33, 4, 33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sdxl-refiner-unet
input_blocks.0.0.weight 384,4,_,_
input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight _,1280
= type checkpoint 99%
= base SDXL 1.0 85% of SDXL 1.0, SDXL 0.9
= variant Refiner 99%
= architecture sdxl-refiner 99%
= part unet 85%
= seen: sdxl-refiner-unet: input_blocks.0.0.weight: F16 [384, 4, 33, 33]
= without 1: -
= without 2: -
= 1[0]: 1…320 -, 384 sdxl-refiner-unet Refiner, 640…256384 -
= 2[1]: 1…1152 -, 1280 sdxl-refiner-unet Refiner, 1536…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sdxl-unet
input_blocks.0.0.weight 320,4,_,_
input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight _,2048
+ input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight _,768
= type checkpoint 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= variant Standard 99%
= architecture sdxl 99%
= part unet 85%
= says: Pony, Illustrious, NoobAI and the distilled SDXLs have the same tensors; headers cannot tell them apart
= seen: sdxl-unet: input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight: F16 [33, 2048]
= without 1: -
= without 2: -
= with 1: sd1-unet
= 1[0]: 1…256 -, 320 sdxl-unet, 384…256384 -
= 1[1]: 1…4 sdxl-unet, 5 sdxl-unet Depth, 7 sdxl-unet, 8 sdxl-unet Pix2Pix, 9 sdxl-unet Inpainting, 12…256384 sdxl-
    unet
= 2[1]: 1…1920 -, 2048 sdxl-unet, 2304…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sd2-unclip-unet
input_blocks.0.0.weight _,4,_,_
input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight _,1024
label_emb.0.0.weight _,_
= type checkpoint 99%
= base SD 2.1 Unclip 99%
= variant Standard 99%
= architecture sd2 99%
= part unet 85%
= seen: sd2-unclip-unet: input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight: F16 [33, 1024]
= without 1: -
= without 2: -
= without 3: sd2-unet
= 2[1]: 1…640 -, 768 sd1-unet, 1024 sd2-unclip-unet, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sd2-unet
input_blocks.0.0.weight _,4,_,_
input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight _,1024
= type checkpoint 99%
= base SD 2.x 99% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= variant Standard 99%
= architecture sd2 99%
= part unet 85%
= says: 2.0 and 2.1, 512 and 768, epsilon and v-prediction have the same tensors
= seen: sd2-unet: input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight: F16 [33, 1024]
= without 1: -
= without 2: -
= 1[1]: 1…4 sd2-unet, 5 sd2-unet Depth, 7 sd2-unet, 8 sd2-unet Pix2Pix, 9 sd2-unet Inpainting, 12…256384 sd2-unet
= 2[1]: 1…640 -, 768 sd1-unet, 1024 sd2-unet, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sd1-unet
input_blocks.0.0.weight _,4,_,_
input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight _,768
= type checkpoint 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= variant Standard 99%
= architecture sd1 99%
= part unet 85%
= says: SD 1.4 has these too
= seen: sd1-unet: input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight: F16 [33, 768]
= without 1: -
= without 2: -
= 1[1]: 1…4 sd1-unet, 5 sd1-unet Depth, 7 sd1-unet, 8 sd1-unet Pix2Pix, 9 sd1-unet Inpainting, 12…256384 sd1-unet
= 2[1]: 1…640 -, 768 sd1-unet, 1024 sd2-unet, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

kolors-unet
conv_in.weight _,4,_,_
encoder_hid_proj.weight _,_
down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight _,_
= type checkpoint 99%
= base Kolors 99%
= variant Standard 99%
= architecture kolors 99%
= part unet 85%
= seen: kolors-unet: conv_in.weight: F16 [33, 4, 33, 33]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1…4 kolors-unet, 5 kolors-unet Depth, 7 kolors-unet, 8 kolors-unet Pix2Pix, 9 kolors-unet Inpainting,
    12…256384 kolors-unet
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sdxl-refiner-diffusers
conv_in.weight 384,4,_,_
add_embedding.linear_1.weight _,_
= type checkpoint 99%
= base SDXL 1.0 85% of SDXL 1.0, SDXL 0.9
= variant Refiner 99%
= architecture sdxl-refiner 99%
= part unet 85%
= seen: sdxl-refiner-diffusers: conv_in.weight: F16 [384, 4, 33, 33]
= without 1: -
= without 2: -
= 1[0]: 1…320 -, 384 sdxl-refiner-diffusers Refiner, 640…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sdxl-diffusers
conv_in.weight _,4,_,_
add_embedding.linear_1.weight _,_
down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight _,2048
+ down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight _,768
= type checkpoint 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= variant Standard 99%
= architecture sdxl 99%
= part unet 85%
= says: Pony, Illustrious, NoobAI and the distilled SDXLs have the same tensors; headers cannot tell them apart
= seen: sdxl-diffusers: down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight: F16 [33, 2048]
= without 1: -
= without 2: -
= without 3: -
= with 1: sd1-diffusers
= 1[1]: 1…4 sdxl-diffusers, 5 sdxl-diffusers Depth, 7 sdxl-diffusers, 8 sdxl-diffusers Pix2Pix, 9 sdxl-diffusers
    Inpainting, 12…256384 sdxl-diffusers
= 3[1]: 1…1920 -, 2048 sdxl-diffusers, 2304…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sd2-diffusers
conv_in.weight _,4,_,_
down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight _,1024
+ controlnet_down_blocks.0.weight _,768
= type checkpoint 99%
= base SD 2.x 99% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= variant Standard 99%
= architecture sd2 99%
= part unet 85%
= says: 2.0 and 2.1, 512 and 768, epsilon and v-prediction have the same tensors
= seen: sd2-diffusers: down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight: F16 [33, 1024]
= without 1: -
= without 2: -
= with 1: -
= 1[1]: 1…4 sd2-diffusers, 5 sd2-diffusers Depth, 7 sd2-diffusers, 8 sd2-diffusers Pix2Pix, 9 sd2-diffusers
    Inpainting, 12…256384 sd2-diffusers
= 2[1]: 1…640 -, 768 sd1-diffusers, 1024 sd2-diffusers, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sd1-diffusers
conv_in.weight _,4,_,_
down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight _,768
+ controlnet_down_blocks.0.weight _,768
= type checkpoint 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= variant Standard 99%
= architecture sd1 99%
= part unet 85%
= says: SD 1.4 has these too
= seen: sd1-diffusers: down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight: F16 [33, 768]
= without 1: -
= without 2: -
= with 1: -
= 1[1]: 1…4 sd1-diffusers, 5 sd1-diffusers Depth, 7 sd1-diffusers, 8 sd1-diffusers Pix2Pix, 9 sd1-diffusers
    Inpainting, 12…256384 sd1-diffusers
= 2[1]: 1…640 -, 768 sd1-diffusers, 1024 sd2-diffusers, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

stable-zero123
cc_projection.weight _,_
model.diffusion_model.input_blocks.0.0.weight 320,8,_,_
model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight _,768
= type checkpoint 99%
= base Other 99%
= architecture sd1 99%
= part unet 85%
= says: views of an object by the UNet of SD 1; Civitai has no word for it
= seen: stable-zero123: model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight: F16 [33, 768]
= without 1: sd1-unet Pix2Pix
= without 2: -
= without 3: -
= 3[1]: 1…640 -, 768 stable-zero123, 1024 sd2-unet Pix2Pix, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

sv3d
input_blocks.0.0.weight _,8,_,_
input_blocks.1.0.time_stack.emb_layers.1.bias _
label_emb.0.0.weight _,1280
= type checkpoint 99%
= base Other 99%
= architecture svd 99%
= part unet 85%
= says: views of an object by the UNet of SVD; Civitai has no word for it
= seen: sv3d: label_emb.0.0.weight: F16 [33, 1280]
= without 1: -
= without 2: -
= without 3: svd-unet
= 3[1]: 1…192 svd-unet, 256 sv3d, 320…1152 svd-unet, 1280 sv3d, 1536…256384 svd-unet
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

lotus-d
conv_in.weight _,4,_,_
down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight _,1024
class_embedding.linear_1.weight _,4
= type checkpoint 99%
= base Other 99%
= architecture sd2 99%
= part unet 85%
= says: Lotus: depth and normals of a picture by the UNet of SD 2; Civitai has no word for it
= seen: lotus-d: down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight: F16 [33, 1024]
= without 1: -
= without 2: -
= without 3: sd2-diffusers
= 2[1]: 1…640 -, 768 sd1-diffusers, 1024 lotus-d, 1152…256384 -
= 3[1]: 1…3 sd2-diffusers, 4 lotus-d, 5…1280 sd2-diffusers, 1536 sd2-unclip-diffusers, 1920 sd2-diffusers, 2048
    sd2-unclip-diffusers, 2304…256384 sd2-diffusers
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.
"""


def test_each_header_and_its_neighbours_get_these_answers() -> None:
    assert ANSWERS.strip() == answer_tables(ANSWERS)
