"""The answers for diffusion transformers; tests/inspection/answer_table.py explains the lines."""

from tests.inspection.answer_table import answer_tables

ANSWERS = """
flux2-klein-9b
double_stream_modulation_img.lin.weight _,_
img_in.weight 4096,_
= type checkpoint 85%
= base Flux.2 Klein 9B 50% of Flux.2 Klein 9B, Flux.2 Klein 9B-base
= architecture flux.2 85%
= part unet 85%
= says: the base and the distilled model are equal in shape
= seen: flux2-klein-9b: img_in.weight: F16 [4096, 33]
= without 1: -
= without 2: -
= 2[0]: 1…3840 -, 4096 flux2-klein-9b, 5120…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

flux1-fill
img_in.weight _,384
double_blocks.0.img_attn.norm.key_norm.scale _
guidance_in.in_layer.weight _,_
= type checkpoint 99%
= base Flux.1 D 99%
= variant Inpainting 99%
= architecture flux.1 99%
= part unet 85%
= says: 384 input channels: Flux.1 Fill's image, mask and latent
= seen: flux1-fill: img_in.weight: F16 [33, 384]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1…48 -, 64 flux1-dev, 128 flux1-control, 192…320 -, 384 flux1-fill Inpainting, 640…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

flux1-control
img_in.weight _,128
double_blocks.0.img_attn.norm.key_norm.scale _
guidance_in.in_layer.weight _,_
= type checkpoint 99%
= base Flux.1 D 99%
= architecture flux.1 99%
= part unet 85%
= says: 128 input channels: Flux.1 Canny and Depth are equal in shape
= seen: flux1-control: img_in.weight: F16 [33, 128]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1…48 -, 64 flux1-dev, 128 flux1-control, 192…320 -, 384 flux1-fill Inpainting, 640…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

flux1-dev
img_in.weight _,64
double_blocks.0.img_attn.norm.key_norm.scale _
guidance_in.in_layer.weight _,_
= type checkpoint 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea
= variant Standard 99%
= architecture flux.1 99%
= part unet 85%
= says: dev, Kontext and Krea are equal in shape
= seen: flux1-dev: img_in.weight: F16 [33, 64]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1…48 -, 64 flux1-dev, 128 flux1-control, 192…320 -, 384 flux1-fill Inpainting, 640…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

flux1-nunchaku
single_transformer_blocks.0.norm.linear.qweight _
transformer_blocks.0.mlp_context_fc1.bias _
= type checkpoint 85%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S
= architecture flux.1 85%
= part unet 85%
= seen: flux1-nunchaku: single_transformer_blocks.0.norm.linear.qweight: F16 [33]
= without 1: -
= without 2: -
= prefixes: none

auraflow
double_layers.0.attn.w1q.weight _,_
positional_encoding _,_
= type checkpoint 99%
= base AuraFlow 50% of AuraFlow, Pony V7
= architecture auraflow 99%
= part unet 85%
= says: Pony V7 is trained from AuraFlow and has its shape
= seen: auraflow: double_layers.0.attn.w1q.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

cascade-c
clf.1.weight _,_
clip_txt_mapper.weight _,_
= type checkpoint 99%
= base Stable Cascade 99%
= architecture stable-cascade 99%
= part unet 85%
= seen: cascade-c: clf.1.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

cascade-b
clf.1.weight _,_
clip_mapper.weight _,_
= type checkpoint 99%
= base Stable Cascade 99%
= architecture stable-cascade 99%
= part unet 85%
= seen: cascade-b: clf.1.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

hunyuan-dit
mlp_t5.0.weight _,_
x_embedder.proj.weight _,_,_,_
= type checkpoint 99%
= base Hunyuan 1 99%
= architecture hunyuan-dit 99%
= part unet 85%
= seen: hunyuan-dit: mlp_t5.0.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

hunyuan-image
byt5_in.fc1.weight _,_
double_blocks.0.img_attn_k_norm.weight _
+ cond_type_embedding.weight _,768
= type checkpoint 85%
= base Other 85%
= architecture hunyuan-image 85%
= part unet 85%
= seen: hunyuan-image: byt5_in.fc1.weight: F16 [33, 33]
= without 1: -
= without 2: -
= with 1: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

hunyuan-video
txt_in.individual_token_refiner.blocks.0.norm1.weight _
img_in.proj.weight _,_
= type checkpoint 99%
= base Hunyuan Video 99%
= architecture hunyuan-video 99%
= part unet 85%
= seen: hunyuan-video: txt_in.individual_token_refiner.blocks.0.norm1.weight: F16 [33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

mochi
t5_yproj.weight _,_
blocks.0.attn.k_norm_x.weight _,_
= type checkpoint 99%
= base Mochi 99%
= architecture mochi 99%
= part unet 85%
= seen: mochi: t5_yproj.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

ltxv2
audio_adaln_single.linear.weight _,_
adaln_single.emb.timestep_embedder.linear_1.bias _
= type checkpoint 99%
= base LTXV2 99%
= architecture ltxv 99%
= part unet 85%
= seen: ltxv2: audio_adaln_single.linear.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

ltxv
adaln_single.emb.timestep_embedder.linear_1.bias _
transformer_blocks.0.attn2.to_k.weight _,_
patchify_proj.weight _,_
= type checkpoint 99%
= base LTXV 99%
= architecture ltxv 99%
= part unet 85%
= seen: ltxv: adaln_single.emb.timestep_embedder.linear_1.bias: F16 [33]
= without 1: -
= without 2: -
= without 3: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

pixart-alpha
t_block.1.weight _,_
ar_embedder.mlp.0.weight _,_
= type checkpoint 99%
= base PixArt a 99%
= architecture pixart 99%
= part unet 85%
= seen: pixart-alpha: t_block.1.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

pixart-sigma
t_block.1.weight _,_
y_embedder.y_embedding _,_
+ ar_embedder.mlp.0.weight _,768
= type checkpoint 85%
= base PixArt E 50% of PixArt E, PixArt a
= architecture pixart 85%
= part unet 85%
= says: PixArt alpha at 512 pixels has no size condition either
= seen: pixart-sigma: t_block.1.weight: F16 [33, 33]
= without 1: -
= without 2: -
= with 1: pixart-alpha
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

lumina2
cap_embedder.1.weight 2304,_
noise_refiner.0.attention.k_norm.weight _
= type checkpoint 99%
= base Lumina 99%
= architecture lumina2 99%
= part unet 85%
= seen: lumina2: cap_embedder.1.weight: F16 [2304, 33]
= without 1: -
= without 2: -
= 1[0]: 1…2048 -, 2304 lumina2, 2432…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

anima
llm_adapter.blocks.0.cross_attn.q_proj.weight _,_
blocks.0.mlp.layer1.weight _,_
= type checkpoint 99%
= base Anima 99%
= architecture anima 99%
= part unet 85%
= seen: anima: llm_adapter.blocks.0.cross_attn.q_proj.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

cosmos-predict2
blocks.0.mlp.layer1.weight _,_
x_embedder.proj.1.weight _,_
= type checkpoint 85%
= base Other 85% of Other, Anima
= architecture cosmos-predict2 85%
= part unet 85%
= seen: cosmos-predict2: blocks.0.mlp.layer1.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

cosmos
blocks.block0.blocks.0.block.attn.to_q.0.weight _,_
= type checkpoint 85%
= base Other 85%
= architecture cosmos 85%
= part unet 85%
= seen: cosmos: blocks.block0.blocks.0.block.attn.to_q.0.weight: F16 [33, 33]
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

cogvideox
blocks.0.norm1.linear.weight _
patch_embed.proj.weight _,_
= type checkpoint 99%
= base CogVideoX 99%
= architecture cogvideox 99%
= part unet 85%
= seen: cogvideox: blocks.0.norm1.linear.weight: F16 [33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

wan-1.3b
head.modulation _,1536
blocks.0.cross_attn.k.weight _,_
= type checkpoint 85%
= base Wan Video 1.3B t2v 85%
= architecture wan 85%
= part unet 85%
= seen: wan-1.3b: head.modulation: F16 [33, 1536]
= without 1: -
= without 2: -
= 1[1]: 1…1280 -, 1536 wan-1.3b, 1920…4096 -, 5120 wan-14b, 6144…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

wan-14b-image
head.modulation 2,5120
blocks.0.cross_attn.k.weight _,_
patch_embedding.weight _,36,_,_,_
= type checkpoint 99%
= base Wan Video 14B i2v 480p 50% of Wan Video 14B i2v 480p, Wan Video 14B i2v 720p, Wan Video 2.2 I2V-A14B
= architecture wan 99%
= part unet 85%
= says: 480p, 720p and 2.2's experts are equal in shape
= seen: wan-14b-image: head.modulation: F16 [2, 5120]
= without 1: -
= without 2: -
= without 3: wan-14b
= 1[1]: 1…1280 -, 1536 wan-1.3b, 1920…4096 -, 5120 wan-14b-image, 6144…256384 -
= 3[1]: 1…32 wan-14b, 36 wan-14b-image, 48…256384 wan-14b
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

wan-14b
head.modulation 2,5120
blocks.0.cross_attn.k.weight _,_
patch_embedding.weight _,16,_,_,_
= type checkpoint 99%
= base Wan Video 14B t2v 50% of Wan Video 14B t2v, Wan Video 2.2 T2V-A14B
= architecture wan 99%
= part unet 85%
= says: 2.1 and 2.2's experts are equal in shape
= seen: wan-14b: head.modulation: F16 [2, 5120]
= without 1: -
= without 2: -
= without 3: wan-14b
= 1[1]: 1…1280 -, 1536 wan-1.3b, 1920…4096 -, 5120 wan-14b, 6144…256384 -
= 3[1]: 1…32 wan-14b, 36 wan-14b-image, 48…256384 wan-14b
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

minimax-music-3
cond_layer_logits _
latent_conditioners.0.weight _,_
diffusion_transformer.transformer.layers.0.self_attn.to_qkv.weight _,_
= type checkpoint 85%
= base Other 85%
= architecture minimax-music-3 85%
= part unet 85%
= seen: minimax-music-3: cond_layer_logits: F16 [33]
= without 1: -
= without 2: -
= without 3: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

trellis2
img2shape.t_embedder.mlp.0.weight _,_
= type checkpoint 85%
= base Other 85%
= architecture trellis2 85%
= part unet 85%
= seen: trellis2-shape: img2shape.t_embedder.mlp.0.weight: F16 [33, 33]
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

trellis2-texture
shape2txt.t_embedder.mlp.0.weight _,_
= type checkpoint 85%
= base Other 85%
= architecture trellis2 85%
= part unet 85%
= seen: trellis2-texture: shape2txt.t_embedder.mlp.0.weight: F16 [33, 33]
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.
"""


def test_each_header_and_its_neighbours_get_these_answers() -> None:
    assert ANSWERS.strip() == answer_tables(ANSWERS)
