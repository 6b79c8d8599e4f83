"""The answers for ControlNets, adapters and motion modules; tests/inspection/answer_table.py explains the lines."""

from tests.inspection.answer_table import answer_tables

ANSWERS = """
control-lora
lora_controlnet _,_
input_hint_block.0.weight _,_,_,_
= type controlnet 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: control-lora: lora_controlnet: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

controlnet-sdxl
input_hint_block.0.weight _,_,_,_
input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight _,2048
+ input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight _,768
= type controlnet 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: controlnet-sdxl: input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight: F16 [33, 2048]
= without 1: -
= without 2: -
= with 1: controlnet-sd1
= 2[1]: 1…1920 -, 2048 controlnet-sdxl, 2304…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

controlnet-sd2
input_hint_block.0.weight _,_,_,_
input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight _,1024
= type controlnet 99%
= base SD 2.x 99% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= architecture sd2 99%
= seen: controlnet-sd2: input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight: F16 [33, 1024]
= without 1: -
= without 2: -
= 2[1]: 1…640 -, 768 controlnet-sd1, 1024 controlnet-sd2, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

controlnet-sd1
input_hint_block.0.weight _,_,_,_
input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight _,768
= type controlnet 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 99%
= seen: controlnet-sd1: input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight: F16 [33, 768]
= without 1: -
= without 2: -
= 2[1]: 1…640 -, 768 controlnet-sd1, 1024 controlnet-sd2, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

controlnet-sdxl-diffusers
controlnet_cond_embedding.conv_in.weight _,_,_,_
down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight _,2048
+ down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight _,768
= type controlnet 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: controlnet-sdxl-diffusers: down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight: F16 [33, 2048]
= without 1: -
= without 2: -
= with 1: controlnet-sd1-diffusers
= 2[1]: 1…1920 -, 2048 controlnet-sdxl-diffusers, 2304…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

controlnet-sd2-diffusers
controlnet_cond_embedding.conv_in.weight _,_,_,_
down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight _,1024
= type controlnet 99%
= base SD 2.x 99% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= architecture sd2 99%
= seen: controlnet-sd2-diffusers: down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight: F16 [33, 1024]
= without 1: -
= without 2: -
= 2[1]: 1…640 -, 768 controlnet-sd1-diffusers, 1024 controlnet-sd2-diffusers, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

controlnet-sd1-diffusers
controlnet_cond_embedding.conv_in.weight _,_,_,_
down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight _,768
= type controlnet 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 99%
= seen: controlnet-sd1-diffusers: down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight: F16 [33, 768]
= without 1: -
= without 2: -
= 2[1]: 1…640 -, 768 controlnet-sd1-diffusers, 1024 controlnet-sd2-diffusers, 1152…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

controlnet-flux-instantx
controlnet_x_embedder.weight 3072,_
transformer_blocks.0.attn.norm_added_k.weight _
= type controlnet 99%
= base Flux.1 D 85%
= architecture flux.1 99%
= seen: controlnet-flux-instantx: controlnet_x_embedder.weight: F16 [3072, 33]
= without 1: -
= without 2: -
= 1[0]: 1…2560 -, 3072 controlnet-flux-instantx, 3584…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

controlnet-flux-xlabs
controlnet_blocks.0.weight _,_
double_blocks.0.img_attn.norm.key_norm.scale _
= type controlnet 99%
= base Flux.1 D 85%
= architecture flux.1 99%
= seen: controlnet-flux-xlabs: controlnet_blocks.0.weight: F16 [33, 33]
= without 1: -
= without 2: controlnet-unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

controlnet-unknown
controlnet_blocks.0.weight _,_
= type controlnet 85%
= seen: controlnet-unknown: controlnet_blocks.0.weight: F16 [33, 33]
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

ip-adapter-sd1
ip_adapter.1.to_k_ip.weight _,768
= type ipadapter 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 99%
= seen: ip-adapter-sd1: ip_adapter.1.to_k_ip.weight: F16 [33, 768]
= 1[1]: 1…640 -, 768 ip-adapter-sd1, 1024 ip-adapter-sd2, 1152…1920 -, 2048 ip-adapter-sdxl, 2304…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

ip-adapter-sd2
ip_adapter.1.to_k_ip.weight _,1024
= type ipadapter 99%
= base SD 2.x 99% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= architecture sd2 99%
= seen: ip-adapter-sd2: ip_adapter.1.to_k_ip.weight: F16 [33, 1024]
= 1[1]: 1…640 -, 768 ip-adapter-sd1, 1024 ip-adapter-sd2, 1152…1920 -, 2048 ip-adapter-sdxl, 2304…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

ip-adapter-sdxl
ip_adapter.1.to_k_ip.weight _,2048
= type ipadapter 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: ip-adapter-sdxl: ip_adapter.1.to_k_ip.weight: F16 [33, 2048]
= 1[1]: 1…640 -, 768 ip-adapter-sd1, 1024 ip-adapter-sd2, 1152…1920 -, 2048 ip-adapter-sdxl, 2304…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

ip-adapter-flux-xlabs
double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight _,_
= type ipadapter 99%
= base Flux.1 D 85%
= architecture flux.1 99%
= seen: ip-adapter-flux-xlabs: double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight: F16 [33, 33]
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

ip-adapter-flux
ip_adapter.0.to_k_ip.weight 3072,_
= type ipadapter 85%
= base Flux.1 D 85%
= architecture flux.1 85%
= seen: ip-adapter-flux: ip_adapter.0.to_k_ip.weight: F16 [3072, 33]
= 1[0]: 1…2560 -, 3072 ip-adapter-flux, 3584…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

t2i-adapter-sdxl
body.0.block1.weight _,_
conv_in.weight _,256,_,_
= type t2iadapter 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: t2i-adapter-sdxl: conv_in.weight: F16 [33, 256, 33, 33]
= without 1: -
= without 2: -
= 2[1]: 1…48 -, 64 t2i-adapter-sd1, 128 -, 192 t2i-adapter-sd1, 256 t2i-adapter-sdxl, 320…640 -, 768 t2i-adapter-
    sdxl, 1024…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

t2i-adapter-sd1
body.0.block1.weight _,_
conv_in.weight _,64,_,_
= type t2iadapter 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 99%
= seen: t2i-adapter-sd1: conv_in.weight: F16 [33, 64, 33, 33]
= without 1: -
= without 2: -
= 2[1]: 1…48 -, 64 t2i-adapter-sd1, 128 -, 192 t2i-adapter-sd1, 256 t2i-adapter-sdxl, 320…640 -, 768 t2i-adapter-
    sdxl, 1024…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

t2i-adapter-diffusers-sdxl
adapter.body.0.resnets.0.block1.weight _,_
adapter.conv_in.weight _,256,_,_
= type t2iadapter 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: t2i-adapter-diffusers-sdxl: adapter.conv_in.weight: F16 [33, 256, 33, 33]
= without 1: -
= without 2: -
= 2[1]: 1…48 -, 64 t2i-adapter-diffusers-sd1, 128 -, 192 t2i-adapter-diffusers-sd1, 256 t2i-adapter-diffusers-sdxl,
    320…640 -, 768 t2i-adapter-diffusers-sdxl, 1024…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

t2i-adapter-diffusers-sd1
adapter.body.0.resnets.0.block1.weight _,_
adapter.conv_in.weight _,64,_,_
= type t2iadapter 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 99%
= seen: t2i-adapter-diffusers-sd1: adapter.conv_in.weight: F16 [33, 64, 33, 33]
= without 1: -
= without 2: -
= 2[1]: 1…48 -, 64 t2i-adapter-diffusers-sd1, 128 -, 192 t2i-adapter-diffusers-sd1, 256 t2i-adapter-diffusers-sdxl,
    320…640 -, 768 t2i-adapter-diffusers-sdxl, 1024…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

flux-redux
redux_up.weight _,_
redux_down.weight _,_
= type other 85%
= base Flux.1 D 85%
= architecture flux.1 85%
= seen: flux-redux: redux_up.weight: F16 [33, 33]
= without 1: -
= without 2: -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

fooocus-inpaint-head
head 320,5
= type other 85%
= base SDXL 1.0 85%
= variant Inpainting 85%
= architecture sdxl 85%
= seen: fooocus-inpaint-head: head: F16 [320, 5]
= 1[0]: 1…256 -, 320 fooocus-inpaint-head Inpainting, 384…256384 -
= 1[1]: 1…4 -, 5 fooocus-inpaint-head Inpainting, 7…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

animatediff-sd1
down_blocks.0.motion_modules.0.temporal_transformer.norm.weight _
down_blocks.3.motion_modules.0.temporal_transformer.norm.weight _
= type motionmodule 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 99%
= seen: animatediff-sd1: down_blocks.0.motion_modules.0.temporal_transformer.norm.weight: F16 [33]
= without 1: -
= without 2: animatediff-sdxl
= prefixes: none

animatediff-sdxl
down_blocks.0.motion_modules.0.temporal_transformer.norm.weight _
= type motionmodule 99%
= base SDXL 1.0 85% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: animatediff-sdxl: down_blocks.0.motion_modules.0.temporal_transformer.norm.weight: F16 [33]
= prefixes: none
"""


def test_each_header_and_its_neighbours_get_these_answers() -> None:
    assert ANSWERS.strip() == answer_tables(ANSWERS)
