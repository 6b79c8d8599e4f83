"""The answers for text and image encoders; tests/inspection/answer_table.py explains the lines."""

from tests.inspection.answer_table import answer_tables

ANSWERS = """
clip
text_model.embeddings.token_embedding.weight _,_
vision_model.embeddings.patch_embedding.weight _,_
= type clip 99%
= architecture clip 99%
= seen: clip: text_model.embeddings.token_embedding.weight: F16 [33, 33]
= without 1: clip-vision
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

clip-vision
vision_model.embeddings.patch_embedding.weight _,_
+ text_model.embeddings.token_embedding.weight _,768
= type clipvision 99%
= architecture clip-vision 99%
= seen: clip-vision: vision_model.embeddings.patch_embedding.weight: F16 [33, 33]
= with 1: clip
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

clip-vision-openclip
visual.conv1.weight _,_,_,_
visual.ln_pre.weight _,_
+ token_embedding.weight _,768
= type clipvision 99%
= architecture clip-vision 99%
= seen: clip-vision-openclip: visual.conv1.weight: F16 [33, 33, 33, 33]
= without 1: -
= without 2: -
= with 1: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

clip-l
text_model.embeddings.token_embedding.weight _,768
= type textencoder 99%
= base unknown 0% of SD 1.5, SDXL 1.0, SD 3, SD 3.5 Large, Flux.1 D, Flux.1 S
= architecture clip-l 99%
= says: SD 1.x, SDXL, SD 3 and Flux.1 use one CLIP-L
= seen: clip-l: text_model.embeddings.token_embedding.weight: F16 [33, 768]
= 1[1]: 1…640 -, 768 clip-l, 1024 clip-h, 1152 -, 1280 clip-bigg, 1536…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

clip-h
text_model.embeddings.token_embedding.weight _,1024
= type textencoder 99%
= base SD 2.x 85% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= architecture clip-h 99%
= seen: clip-h: text_model.embeddings.token_embedding.weight: F16 [33, 1024]
= 1[1]: 1…640 -, 768 clip-l, 1024 clip-h, 1152 -, 1280 clip-bigg, 1536…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

clip-bigg
text_model.embeddings.token_embedding.weight _,1280
= type textencoder 99%
= base SDXL 1.0 85% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI, SD 3, SD 3.5 Large
= architecture clip-g 99%
= says: SD 3 uses the same encoder
= seen: clip-bigg: text_model.embeddings.token_embedding.weight: F16 [33, 1280]
= 1[1]: 1…640 -, 768 clip-l, 1024 clip-h, 1152 -, 1280 clip-bigg, 1536…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

umt5-xxl
encoder.block.0.layer.0.SelfAttention.q.weight _,_
shared.weight 256384,_
= type textencoder 99%
= base unknown 0% of Wan Video 14B t2v, Wan Video 1.3B t2v, Wan Video 2.2 T2V-A14B
= architecture umt5-xxl 99%
= seen: umt5-xxl: shared.weight: F16 [256384, 33]
= without 1: -
= without 2: -
= 2[0]: 1…6144 -, 256384 umt5-xxl
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

t5-xxl
encoder.block.0.layer.0.SelfAttention.q.weight _,4096
= type textencoder 99%
= base unknown 0% of Flux.1 D, Flux.1 S, SD 3, SD 3.5 Large, PixArt a, PixArt E, Chroma, LTXV
= architecture t5-xxl 99%
= says: Flux.1, SD 3, PixArt and others use one T5-XXL
= seen: t5-xxl: encoder.block.0.layer.0.SelfAttention.q.weight: F16 [33, 4096]
= 1[1]: 1…3840 -, 4096 t5-xxl, 5120…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

t5-xxl-gguf
enc.blk.0.attn_q.weight _,_
token_embd.weight _,4096
= type textencoder 99%
= base unknown 0% of Flux.1 D, Flux.1 S, SD 3, SD 3.5 Large, PixArt a, PixArt E, Chroma, LTXV
= architecture t5-xxl 99%
= says: Flux.1, SD 3, PixArt and others use one T5-XXL
= seen: t5-xxl-gguf: token_embd.weight: F16 [33, 4096]
= without 1: -
= without 2: -
= 2[1]: 1…3840 -, 4096 t5-xxl-gguf, 5120…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

gemma2-2b
model.embed_tokens.weight _,2304
model.layers.0.self_attn.q_proj.weight _,_
model.layers.0.post_feedforward_layernorm.weight _
= type textencoder 85%
= base unknown 0% of Lumina
= architecture gemma2-2b 85%
= seen: gemma2-2b: model.embed_tokens.weight: F16 [33, 2304]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1…2048 -, 2304 gemma2-2b, 2432…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

qwen2.5-vl-7b
model.embed_tokens.weight _,3584
model.layers.0.self_attn.q_proj.weight _,_
visual.patch_embed.proj.weight _,_
= type textencoder 85%
= base unknown 0% of Qwen, Hunyuan Video, Other
= architecture qwen2.5-vl 85%
= seen: qwen2.5-vl-7b: model.embed_tokens.weight: F16 [33, 3584]
= without 1: -
= without 2: -
= without 3: -
= 1[1]: 1…3072 -, 3584 qwen2.5-vl-7b, 3840…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.
"""


def test_each_header_and_its_neighbours_get_these_answers() -> None:
    assert ANSWERS.strip() == answer_tables(ANSWERS)
