"""The answers for adapters; tests/inspection/answer_table.py explains the lines."""

from tests.inspection.answer_table import answer_tables

ANSWERS = """
cross-attention keys
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight _,768
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight _,_
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.alpha -
+ lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k.lora_down.weight _,640
+ lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k.lora_up.weight _,_
= type lora 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect kohya 85%
= adapter: alpha, down, up: low-rank factors of linear layers
= says: SD 1.4 has these too
= seen: latent-diffusion-layers: layers: attn2_to_k or attn2_to_v: 768
= without 1: latent-diffusion-layers unknown
= without 2: latent-diffusion-layers SD 1.5
= without 3: latent-diffusion-layers SD 1.5
= with 1: latent-diffusion-layers SD 1.5
= with 2: latent-diffusion-layers SD 1.5
= 1[1]: 1…640 latent-diffusion-layers unknown, 768 latent-diffusion-layers SD 1.5, 1024 latent-diffusion-layers SD
    2.x, 1152 latent-diffusion-layers unknown, 1280 latent-diffusion-layers SDXL 1.0, 1536…1920 latent-diffusion-
    layers unknown, 2048 latent-diffusion-layers SDXL 1.0, 2304…256384 latent-diffusion-layers unknown
= prefixes: none

cross-attention values
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v.lora_down.weight _,1024
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v.lora_up.weight _,_
= type lora 99%
= base SD 2.x 85% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= architecture sd2 85%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: 2.0 and 2.1, 512 and 768, epsilon and v-prediction have the same tensors
= seen: latent-diffusion-layers: layers: attn2_to_k or attn2_to_v: 1024
= without 1: latent-diffusion-layers unknown
= without 2: latent-diffusion-layers SD 2.x
= 1[1]: 1…640 latent-diffusion-layers unknown, 768 latent-diffusion-layers SD 1.5, 1024 latent-diffusion-layers SD
    2.x, 1152 latent-diffusion-layers unknown, 1280 latent-diffusion-layers SDXL 1.0, 1536…1920 latent-diffusion-
    layers unknown, 2048 latent-diffusion-layers SDXL 1.0, 2304…256384 latent-diffusion-layers unknown
= prefixes: none

cross-attention as full differences
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.diff _,768
= type locon 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect kohya full 85%
= adapter: full: LyCORIS's full
= says: SD 1.4 has these too
= seen: latent-diffusion-layers: layers: attn2_to_k or attn2_to_v: 768
= 1[1]: 1…640 latent-diffusion-layers unknown, 768 latent-diffusion-layers SD 1.5, 1024 latent-diffusion-layers SD
    2.x, 1152 latent-diffusion-layers unknown, 1280 latent-diffusion-layers SDXL 1.0, 1536…1920 latent-diffusion-
    layers unknown, 2048 latent-diffusion-layers SDXL 1.0, 2304…256384 latent-diffusion-layers unknown
= prefixes: none

cross-attention as LoHa
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_a _,_
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_b _,768
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w2_a _,_
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w2_b _,_
= type locon 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect kohya loha 85%
= adapter: loha: LyCORIS's loha
= says: SD 1.4 has these too
= seen: latent-diffusion-layers: layers: attn2_to_k or attn2_to_v: 768
= without 1: latent-diffusion-layers SD 1.5
= without 2: latent-diffusion-layers unknown
= without 3: latent-diffusion-layers SD 1.5
= without 4: latent-diffusion-layers SD 1.5
= 2[1]: 1…640 latent-diffusion-layers unknown, 768 latent-diffusion-layers SD 1.5, 1024 latent-diffusion-layers SD
    2.x, 1152 latent-diffusion-layers unknown, 1280 latent-diffusion-layers SDXL 1.0, 1536…1920 latent-diffusion-
    layers unknown, 2048 latent-diffusion-layers SDXL 1.0, 2304…256384 latent-diffusion-layers unknown
= prefixes: none

cross-attention as LoKr
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lokr_w1 4,4
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lokr_w2 _,192
= type locon 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect kohya lokr 85%
= adapter: lokr: LyCORIS's lokr
= says: SD 1.4 has these too
= seen: latent-diffusion-layers: layers: attn2_to_k or attn2_to_v: 768
= without 1: latent-diffusion-layers unknown
= without 2: latent-diffusion-layers unknown
= 1[1]: 1…3 latent-diffusion-layers unknown, 4 latent-diffusion-layers SD 1.5, 5…256384 latent-diffusion-layers
    unknown
= 2[1]: 1…128 latent-diffusion-layers unknown, 192 latent-diffusion-layers SD 1.5, 256 latent-diffusion-layers SD
    2.x, 320 latent-diffusion-layers SDXL 1.0, 384…256384 latent-diffusion-layers unknown
= prefixes: none

cross-attention as LoKr of factors
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lokr_w1_a 4,4
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lokr_w1_b 4,4
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lokr_w2_a _,4
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lokr_w2_b 4,256
= type locon 99%
= base SD 2.x 85% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= architecture sd2 85%
= dialect kohya lokr 85%
= adapter: lokr: LyCORIS's lokr
= says: 2.0 and 2.1, 512 and 768, epsilon and v-prediction have the same tensors
= seen: latent-diffusion-layers: layers: attn2_to_k or attn2_to_v: 1024
= without 1: latent-diffusion-layers SD 2.x
= without 2: latent-diffusion-layers unknown
= without 3: latent-diffusion-layers SD 2.x
= without 4: latent-diffusion-layers unknown
= 2[1]: 1 latent-diffusion-layers unknown, 3 latent-diffusion-layers SD 1.5, 4 latent-diffusion-layers SD 2.x, 5
    latent-diffusion-layers SDXL 1.0, 7 latent-diffusion-layers unknown, 8 latent-diffusion-layers SDXL 1.0,
    9…256384 latent-diffusion-layers unknown
= 4[1]: 1…128 latent-diffusion-layers unknown, 192 latent-diffusion-layers SD 1.5, 256 latent-diffusion-layers SD
    2.x, 320 latent-diffusion-layers SDXL 1.0, 384…256384 latent-diffusion-layers unknown
= prefixes: none

self-attention only
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k.lora_down.weight _,320
lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k.lora_up.weight _,_
+ lora_unet_mid_block_attentions_0_transformer_blocks_1_attn1_to_k.lora_down.weight _,1280
+ lora_unet_middle_block_1_transformer_blocks_9_attn1_to_k.lora_down.weight _,1280
+ lora_unet_input_blocks_7_1_transformer_blocks_1_attn1_to_k.lora_down.weight _,1280
+ lora_unet_input_blocks_8_1_transformer_blocks_2_attn1_to_k.lora_down.weight _,1280
+ lora_unet_output_blocks_0_1_transformer_blocks_2_attn1_to_k.lora_down.weight _,1280
+ lora_unet_output_blocks_3_1_transformer_blocks_2_attn1_to_k.lora_down.weight _,1280
+ lora_unet_input_blocks_7_1_transformer_blocks_0_attn1_to_k.lora_down.weight _,1280
+ lora_te1_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight _,768
+ lora_te2_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight _,1280
+ lora_te_text_model_encoder_layers_0_self_attn_k_proj.lora_down.weight _,768
+ lora_te_text_model_encoder_layers_0_self_attn_v_proj.lora_down.weight _,1024
+ lora_te_text_model_encoder_layers_0_mlp_fc2.lora_down.weight _,768
= type lora 99%
= base unknown 0% of SD 1.5, SD 1.4, SD 2.x, SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768, SDXL 1.0, SDXL 0.9, SDXL Turbo,
    SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious, NoobAI
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: sd1, sd2, sdxl
= seen: latent-diffusion-layers: layers: no size tells the text width
= without 1: latent-diffusion-layers unknown
= without 2: latent-diffusion-layers unknown
= with 1: latent-diffusion-layers SDXL 1.0
= with 2: latent-diffusion-layers SDXL 1.0
= with 3: latent-diffusion-layers SDXL 1.0
= with 4: latent-diffusion-layers SDXL 1.0
= with 5: latent-diffusion-layers SDXL 1.0
= with 6: latent-diffusion-layers unknown
= with 7: latent-diffusion-layers unknown
= with 8: latent-diffusion-layers unknown
= with 9: text-encoder-layers SDXL 1.0
= with 10: text-encoder-layers SD 1.5
= with 11: text-encoder-layers SD 2.x
= with 12: latent-diffusion-layers unknown
= prefixes: none

a text encoder's q_proj
lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight _,768
lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight _,_
= type lora 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: SD 1.4 has these too
= seen: text-encoder-layers: layers: text encoder of width 768
= without 1: unknown-layers unknown
= without 2: text-encoder-layers SD 1.5
= 1[1]: 1…640 unknown-layers unknown, 768 text-encoder-layers SD 1.5, 1024 text-encoder-layers SD 2.x, 1152…256384
    unknown-layers unknown
= prefixes: none

a text encoder's k_proj
lora_te_text_model_encoder_layers_0_self_attn_k_proj.lora_down.weight _,768
lora_te_text_model_encoder_layers_0_self_attn_k_proj.lora_up.weight _,_
= type lora 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: SD 1.4 has these too
= seen: text-encoder-layers: layers: text encoder of width 768
= without 1: unknown-layers unknown
= without 2: text-encoder-layers SD 1.5
= 1[1]: 1…640 unknown-layers unknown, 768 text-encoder-layers SD 1.5, 1024 text-encoder-layers SD 2.x, 1152…256384
    unknown-layers unknown
= prefixes: none

a text encoder's v_proj
lora_te_text_model_encoder_layers_0_self_attn_v_proj.lora_down.weight _,768
lora_te_text_model_encoder_layers_0_self_attn_v_proj.lora_up.weight _,_
= type lora 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: SD 1.4 has these too
= seen: text-encoder-layers: layers: text encoder of width 768
= without 1: unknown-layers unknown
= without 2: text-encoder-layers SD 1.5
= 1[1]: 1…640 unknown-layers unknown, 768 text-encoder-layers SD 1.5, 1024 text-encoder-layers SD 2.x, 1152…256384
    unknown-layers unknown
= prefixes: none

a text encoder's out_proj
lora_te_text_model_encoder_layers_0_self_attn_out_proj.lora_down.weight _,768
lora_te_text_model_encoder_layers_0_self_attn_out_proj.lora_up.weight _,_
= type lora 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: SD 1.4 has these too
= seen: text-encoder-layers: layers: text encoder of width 768
= without 1: unknown-layers unknown
= without 2: text-encoder-layers SD 1.5
= 1[1]: 1…640 unknown-layers unknown, 768 text-encoder-layers SD 1.5, 1024 text-encoder-layers SD 2.x, 1152…256384
    unknown-layers unknown
= prefixes: none

a text encoder's fc1
lora_te_text_model_encoder_layers_0_self_attn_fc1.lora_down.weight _,768
lora_te_text_model_encoder_layers_0_self_attn_fc1.lora_up.weight _,_
= type lora 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: SD 1.4 has these too
= seen: text-encoder-layers: layers: text encoder of width 768
= without 1: unknown-layers unknown
= without 2: text-encoder-layers SD 1.5
= 1[1]: 1…640 unknown-layers unknown, 768 text-encoder-layers SD 1.5, 1024 text-encoder-layers SD 2.x, 1152…256384
    unknown-layers unknown
= prefixes: none

the second text encoder
lora_te2_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight _,1280
lora_te2_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight _,_
= type lora 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 85%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: Pony, Illustrious, NoobAI and the distilled SDXLs have the same tensors; headers cannot tell them apart
= seen: text-encoder-layers: layers: a second text encoder
= without 1: text-encoder-layers SDXL 1.0
= without 2: text-encoder-layers SDXL 1.0
= prefixes: none

a motion module's
down_blocks.0.motion_modules.0.attention_blocks.0.processor.to_q_lora.down.weight _,320
down_blocks.0.motion_modules.0.attention_blocks.0.processor.to_q_lora.up.weight _,_
= type motionmodule 99%
= base SD 1.5 50% of SD 1.5, SD 1.4, SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony,
    Illustrious, NoobAI
= dialect plain 85%
= adapter: down, up: layers of AnimateDiff's motion module
= says: equal in what is seen: motion-sd1, motion-sdxl
= seen: motion-lora: layers: the layers' names
= without 1: motion-lora SD 1.5
= without 2: motion-lora SD 1.5
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

Flux in kohya's names
lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight _,3072
lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight _,_
+ lora_unet_double_blocks_0_img_mod_lin.lora_down.weight _,3072
+ lora_unet_double_blocks_0_txt_mod_lin.lora_down.weight _,3072
+ lora_unet_vector_in_in_layer.lora_down.weight _,768
+ lora_unet_single_blocks_0_modulation_lin.lora_down.weight _,3072
+ lora_unet_double_blocks_0_img_mod_linear.lora_down.weight _,3072
+ lora_unet_double_blocks_0_txt_mlp_fc1.lora_down.weight _,3072
+ lora_unet_double_blocks_0_img_mlp_fc2.lora_down.weight _,3072
+ lora_unet_txt_in_individual_token_refiner_blocks_0.lora_down.weight _,3072
+ lora_unet_distilled_guidance_layer_layers_0_in_layer.lora_down.weight _,3072
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S, Chroma
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, flux1-schnell, chroma
= seen: flux-layers: layers: the layers' names
= without 1: flux-layers Flux.1 D
= without 2: flux-layers Flux.1 D
= with 1: flux-layers Flux.1 D
= with 2: flux-layers Flux.1 D
= with 3: flux-layers Flux.1 D
= with 4: flux-layers Flux.1 D
= with 5: flux-layers Hunyuan Video
= with 6: flux-layers Hunyuan Video
= with 7: flux-layers Hunyuan Video
= with 8: flux-layers Hunyuan Video
= with 9: layout Chroma
= 1[1]: 1…3840 flux-layers Flux.1 D, 4096 flux-layers Flux.2 Klein 9B, 5120 flux-layers Flux.1 D, 6144 flux-layers
    Flux.2 D, 256384 flux-layers Flux.1 D
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

Flux's projections
lora_unet_double_blocks_0_img_attn_proj.lora_down.weight _,3072
lora_unet_double_blocks_0_img_attn_proj.lora_up.weight _,_
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S, Chroma
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, flux1-schnell, chroma
= seen: flux-layers: layers: the layers' names
= without 1: flux-layers Flux.1 D
= without 2: flux-layers Flux.1 D
= 1[1]: 1…3840 flux-layers Flux.1 D, 4096 flux-layers Flux.2 Klein 9B, 5120 flux-layers Flux.1 D, 6144 flux-layers
    Flux.2 D, 256384 flux-layers Flux.1 D
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

Flux's single blocks
lora_unet_single_blocks_0_linear1.lora_down.weight _,3072
lora_unet_single_blocks_0_linear1.lora_up.weight 27648,_
= type lora 99%
= base Flux.2 Klein 4B 50% of Flux.2 Klein 4B, Flux.2 Klein 4B-base
= architecture flux.2 85%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: the base and the distilled model are equal in shape
= seen: layout: layers: 100% of 1 layers are flux2-klein-4b's
= without 1: flux-layers Flux.2 Klein 4B
= without 2: flux-layers Flux.1 D
= 1[1]: 1…2560 flux-layers Flux.2 Klein 4B, 3072 layout Flux.2 Klein 4B, 3584…3840 flux-layers Flux.2 Klein 4B, 4096
    flux-layers Flux.2 Klein 9B, 5120 flux-layers Flux.2 Klein 4B, 6144 flux-layers Flux.2 D, 256384 flux-layers
    Flux.2 Klein 4B
= prefixes: none

Flux's single blocks of the usual size
lora_unet_single_blocks_0_linear1.lora_down.weight _,3072
lora_unet_single_blocks_0_linear1.lora_up.weight 21504,_
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S, Chroma, Hunyuan Video, Other
= architecture flux.1 85%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: dev, Kontext and Krea are equal in shape
= seen: layout: layers: 100% of 1 layers are flux1, flux1-schnell, chroma, hunyuan-video, longcat-image's
= without 1: flux-layers Flux.1 D
= without 2: flux-layers Flux.1 D
= 1[1]: 1…2560 flux-layers Flux.1 D, 3072 layout Flux.1 D, 3584…3840 flux-layers Flux.1 D, 4096 flux-layers Flux.2
    Klein 9B, 5120 flux-layers Flux.1 D, 6144 flux-layers Flux.2 D, 256384 flux-layers Flux.1 D
= prefixes: none

Flux in XLabs' names
double_blocks.0.processor.qkv_lora1.down.weight _,3072
double_blocks.0.processor.qkv_lora1.up.weight _,_
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S, Chroma
= dialect xlabs 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, flux1-schnell, chroma
= seen: flux-layers: layers: the layers' names
= without 1: flux-layers Flux.1 D
= without 2: flux-layers Flux.1 D
= 1[1]: 1…3840 flux-layers Flux.1 D, 4096 flux-layers Flux.2 Klein 9B, 5120 flux-layers Flux.1 D, 6144 flux-layers
    Flux.2 D, 256384 flux-layers Flux.1 D
= prefixes: net. model.model. model. control_model. module. adapter. first_stage_model. vae.
    text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer. other.

Flux's single blocks in XLabs' names
single_blocks.0.processor.proj_lora.down.weight _,3072
single_blocks.0.processor.proj_lora.up.weight _,_
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S, Chroma
= dialect xlabs 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, flux1-schnell, chroma
= seen: flux-layers: layers: the layers' names
= without 1: flux-layers Flux.1 D
= without 2: flux-layers Flux.1 D
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

Flux in Black Forest Labs' names
double_blocks.0.img_attn.qkv.lora_A.weight _,3072
double_blocks.0.img_attn.qkv.lora_B.weight _,_
double_blocks.0.img_attn.norm.key_norm.scale _
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S, Chroma
= dialect bfl 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, flux1-schnell, chroma
= seen: flux-layers: layers: the layers' names
= without 1: flux-layers Flux.1 D
= without 2: flux-layers Flux.1 D
= without 3: flux-layers Flux.1 D
= 1[1]: 1…3840 flux-layers Flux.1 D, 4096 flux-layers Flux.2 Klein 9B, 5120 flux-layers Flux.1 D, 6144 flux-layers
    Flux.2 D, 256384 flux-layers Flux.1 D
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

Flux in ai-toolkit's names
diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight _,3072
diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight _,_
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S, Chroma
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, flux1-schnell, chroma
= seen: flux-layers: layers: the layers' names
= without 1: flux-layers Flux.1 D
= without 2: flux-layers Flux.1 D
= 1[1]: 1…3840 flux-layers Flux.1 D, 4096 flux-layers Flux.2 Klein 9B, 5120 flux-layers Flux.1 D, 6144 flux-layers
    Flux.2 D, 256384 flux-layers Flux.1 D
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

Flux in diffusers' names
transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight _,3072
transformer.single_transformer_blocks.0.attn.to_k.lora_B.weight _,_
+ transformer.joint_transformer_blocks.0.attn.to_k.lora_A.weight _,3072
+ transformer.single_transformer_blocks.0.ff.linear_1.lora_A.weight _,3072
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S
= architecture flux.1 85%
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, flux1-schnell
= seen: single-transformer-layers: layers: attn_to_k or attn_to_q or proj_mlp: 3072
= without 1: single-transformer-layers Flux.1 D
= without 2: single-transformer-layers Flux.1 D
= with 1: layout AuraFlow
= with 2: layout AuraFlow
= 1[1]: 1…2560 unknown-layers unknown, 3072 single-transformer-layers Flux.1 D, 3584…3840 unknown-layers unknown,
    4096 single-transformer-layers Flux.2 Klein 9B, 5120 unknown-layers unknown, 6144 single-transformer-layers
    Flux.2 D, 256384 unknown-layers unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

Flux's queries in diffusers' names
transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight _,6144
transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight _,_
= type lora 99%
= base Flux.2 D 85%
= architecture flux.2 85%
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= seen: single-transformer-layers: layers: attn_to_k or attn_to_q or proj_mlp: 6144
= without 1: single-transformer-layers Flux.1 D
= without 2: single-transformer-layers Flux.2 D
= 1[1]: 1…2560 unknown-layers unknown, 3072 single-transformer-layers Flux.1 D, 3584…3840 unknown-layers unknown,
    4096 single-transformer-layers Flux.2 Klein 9B, 5120 unknown-layers unknown, 6144 single-transformer-layers
    Flux.2 D, 256384 unknown-layers unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

Flux's MLP in diffusers' names
transformer.single_transformer_blocks.0.proj_mlp.lora_A.weight _,3072
transformer.single_transformer_blocks.0.proj_mlp.lora_B.weight _,_
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S
= architecture flux.1 85%
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, flux1-schnell
= seen: single-transformer-layers: layers: attn_to_k or attn_to_q or proj_mlp: 3072
= without 1: single-transformer-layers Flux.1 D
= without 2: single-transformer-layers Flux.1 D
= 1[1]: 1…2560 unknown-layers unknown, 3072 single-transformer-layers Flux.1 D, 3584…3840 unknown-layers unknown,
    4096 single-transformer-layers Flux.2 Klein 9B, 5120 unknown-layers unknown, 6144 single-transformer-layers
    Flux.2 D, 256384 unknown-layers unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

Flux in diffusers' names without a telling layer
transformer.single_transformer_blocks.0.proj_out.lora_A.weight _,15360
transformer.single_transformer_blocks.0.proj_out.lora_B.weight _,_
= type lora 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S
= architecture flux.1 85%
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, flux1-schnell
= seen: single-transformer-layers: layers: attn_to_k or attn_to_q or proj_mlp: not told
= without 1: single-transformer-layers Flux.1 D
= without 2: single-transformer-layers Flux.1 D
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

SD 3 in kohya's names
lora_unet_joint_blocks_0_context_block_attn_qkv.lora_down.weight _,1536
lora_unet_joint_blocks_0_context_block_attn_qkv.lora_up.weight _,_
= type lora 99%
= base unknown 0% of SD 3, SD 3.5 Medium
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: sd3, sd3.5-medium
= seen: sd3-layers: layers: attn_qkv: 1536
= without 1: sd3-layers unknown
= without 2: sd3-layers unknown
= 1[1]: 1…2304 sd3-layers unknown, 2432 sd3-layers SD 3.5 Large, 2560…256384 sd3-layers unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

SD 3's MLP in kohya's names
lora_unet_joint_blocks_0_context_block_mlp_fc1.lora_down.weight _,1536
lora_unet_joint_blocks_0_context_block_mlp_fc1.lora_up.weight _,_
= type lora 99%
= base unknown 0% of SD 3, SD 3.5 Medium, SD 3.5 Large, SD 3.5 Large Turbo
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: sd3, sd3.5-medium, sd3.5-large
= seen: sd3-layers: layers: the layers' names
= without 1: sd3-layers unknown
= without 2: sd3-layers unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.t5xxl.transformer. text_encoders.umt5xxl.transformer.
    other.

joint attention
transformer.transformer_blocks.0.attn.add_k_proj.lora_A.weight _,1536
transformer.transformer_blocks.0.attn.add_k_proj.lora_B.weight _,_
+ transformer.transformer_blocks.19.attn.to_k.lora_A.weight _,3072
+ transformer.transformer_blocks.0.img_mlp.net.2.lora_A.weight _,3072
+ transformer.transformer_blocks.0.txt_mod.1.lora_A.weight _,3072
= type lora 99%
= base unknown 0% of SD 3, SD 3.5 Medium
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: sd3, sd3.5-medium
= seen: joint-transformer-layers: layers: attn_add_k_proj or attn_to_k or attn_to_q: 1536
= without 1: joint-transformer-layers unknown
= without 2: joint-transformer-layers unknown
= with 1: joint-transformer-layers unknown
= with 2: joint-transformer-layers unknown
= with 3: layout Qwen
= 1[1]: 1…2304 joint-transformer-layers unknown, 2432 joint-transformer-layers SD 3.5 Large, 2560…256384 joint-
    transformer-layers unknown
= prefixes: none

joint attention of width 3072
transformer.transformer_blocks.0.attn.to_k.lora_A.weight _,3072
transformer.transformer_blocks.0.attn.to_k.lora_B.weight _,_
+ transformer.transformer_blocks.18.attn.to_k.lora_A.weight _,3072
+ transformer.transformer_blocks.19.attn.to_k.lora_A.weight _,3072
+ transformer.transformer_blocks.0.ff_context.net.2.lora_A.weight _,3072
+ transformer.transformer_blocks.0.img_mod.1.lora_A.weight _,3072
+ transformer.transformer_blocks.0.txt_mlp.1.lora_A.weight _,3072
= type lora 99%
= base unknown 0% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Qwen, SD 3
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, qwen-image, sd3
= seen: joint-transformer-layers: layers: the layers' names
= without 1: joint-transformer-layers unknown
= without 2: joint-transformer-layers unknown
= with 1: joint-transformer-layers unknown
= with 2: joint-transformer-layers Qwen
= with 3: joint-transformer-layers Flux.1 D
= with 4: joint-transformer-layers Qwen
= with 5: joint-transformer-layers Qwen
= 1[1]: 1…2304 joint-transformer-layers unknown, 2432 joint-transformer-layers SD 3.5 Large, 2560…256384 joint-
    transformer-layers unknown
= prefixes: none

joint attention's queries
transformer.transformer_blocks.0.attn.to_q.lora_A.weight _,2432
transformer.transformer_blocks.0.attn.to_q.lora_B.weight _,_
= type lora 99%
= base SD 3.5 Large 85% of SD 3.5 Large, SD 3.5 Large Turbo
= architecture sd3.5-large 85%
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= says: Large and Large Turbo are equal in shape
= seen: joint-transformer-layers: layers: attn_add_k_proj or attn_to_k or attn_to_q: 2432
= without 1: joint-transformer-layers unknown
= without 2: joint-transformer-layers SD 3.5 Large
= 1[1]: 1…2304 joint-transformer-layers unknown, 2432 joint-transformer-layers SD 3.5 Large, 2560…256384 joint-
    transformer-layers unknown
= prefixes: none

joint attention's other MLP
transformer.transformer_blocks.0.ff_context.net.2.lora_A.weight _,3072
transformer.transformer_blocks.0.ff_context.net.2.lora_B.weight _,_
= type lora 99%
= base unknown 0% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Qwen, SD 3
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: flux1, qwen-image, sd3
= seen: joint-transformer-layers: layers: the layers' names
= without 1: joint-transformer-layers unknown
= without 2: joint-transformer-layers unknown
= prefixes: none

attention of a video model
transformer.transformer_blocks.0.attn1.to_q.lora_A.weight _,2048
transformer.transformer_blocks.0.attn1.to_q.lora_B.weight _,_
= type lora 99%
= base LTXV 85%
= architecture ltxv 85%
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= seen: video-transformer-layers: layers: attn1_to_q or attn1_to_k: 2048
= without 1: unknown-layers unknown
= without 2: video-transformer-layers LTXV
= 1[1]: 1…1024 unknown-layers unknown, 1152 video-transformer-layers unknown, 1280…1536 unknown-layers unknown, 1920
    video-transformer-layers CogVideoX, 2048 video-transformer-layers LTXV, 2304…2560 unknown-layers unknown, 3072
    video-transformer-layers CogVideoX, 3584…3840 unknown-layers unknown, 4096 video-transformer-layers LTXV,
    5120…256384 unknown-layers unknown
= prefixes: none

keys of a video model
transformer.transformer_blocks.0.attn1.to_k.lora_A.weight _,1152
transformer.transformer_blocks.0.attn1.to_k.lora_B.weight _,_
= type lora 99%
= base unknown 0% of PixArt a, PixArt E
= architecture pixart 85%
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: pixart-alpha, pixart-sigma
= seen: video-transformer-layers: layers: attn1_to_q or attn1_to_k: 1152
= without 1: unknown-layers unknown
= without 2: video-transformer-layers unknown
= 1[1]: 1…1024 unknown-layers unknown, 1152 video-transformer-layers unknown, 1280…1920 unknown-layers unknown, 2048
    video-transformer-layers LTXV, 2304…3840 unknown-layers unknown, 4096 video-transformer-layers LTXV2,
    5120…256384 unknown-layers unknown
= prefixes: none

cross-attention of a video model alone
transformer.transformer_blocks.0.attn2.to_k.lora_A.weight _,2048
transformer.transformer_blocks.0.attn2.to_k.lora_B.weight _,_
= type lora 99%
= dialect diffusers 85%
= adapter: down, up: low-rank factors of linear layers
= seen: unknown-layers: layers: layers of no family we know
= without 1: unknown-layers unknown
= without 2: unknown-layers unknown
= 1[1]: 1…768 unknown-layers unknown, 1024 video-transformer-layers unknown, 1152…256384 unknown-layers unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer. other.

HiDream
diffusion_model.double_stream_blocks.0.block.attn1.to_k.lora_A.weight _,2560
diffusion_model.double_stream_blocks.0.block.attn1.to_k.lora_B.weight _,_
+ diffusion_model.single_stream_blocks.0.block.attn1.to_k.lora_A.weight _,2560
= type lora 99%
= base HiDream 85%
= architecture hidream 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= seen: layout: layers: 100% of 1 layers are hidream's
= without 1: layout HiDream
= without 2: layout HiDream
= with 1: layout HiDream
= prefixes: model.

HiDream's single stream
diffusion_model.single_stream_blocks.0.block.attn1.to_k.lora_A.weight _,2560
diffusion_model.single_stream_blocks.0.block.attn1.to_k.lora_B.weight _,_
= type lora 99%
= base HiDream 85%
= architecture hidream 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= seen: layout: layers: 100% of 1 layers are hidream's
= without 1: layout HiDream
= without 2: layout HiDream
= prefixes: model.

Anima
diffusion_model.llm_adapter.blocks.0.self_attn.q_proj.lora_A.weight _,1024
diffusion_model.llm_adapter.blocks.0.self_attn.q_proj.lora_B.weight _,_
= type lora 99%
= base Anima 85%
= architecture anima 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= seen: layout: layers: 100% of 1 layers are anima's
= without 1: layout Anima
= without 2: layout Anima
= prefixes: model.

Cosmos
diffusion_model.blocks.0.self_attn.q_proj.lora_A.weight _,2048
diffusion_model.blocks.0.self_attn.q_proj.lora_B.weight _,_
= type lora 99%
= base Anima 85%
= architecture anima 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= says: these layers are in each of anima, cosmos-predict2
= seen: layout: layers: 100% of 1 layers are anima, cosmos-predict2's
= without 1: layout Anima
= without 2: layout Anima
= prefixes: model.

Cosmos' cross-attention
diffusion_model.blocks.0.cross_attn.k_proj.lora_A.weight _,2048
diffusion_model.blocks.0.cross_attn.k_proj.lora_B.weight _,_
= type lora 99%
= base Anima 85%
= architecture anima 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= says: these layers are in each of anima, cosmos-predict2
= seen: layout: layers: 100% of 1 layers are anima, cosmos-predict2's
= without 1: layout Anima
= without 2: layout Anima
= prefixes: model.

Wan
diffusion_model.blocks.0.self_attn.q.lora_A.weight _,1536
diffusion_model.blocks.0.self_attn.q.lora_B.weight _,_
= type lora 99%
= base Wan Video 1.3B t2v 85%
= architecture wan 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= seen: wan-layers: layers: attn_q: 1536
= without 1: wan-layers unknown
= without 2: wan-layers Wan Video 1.3B t2v
= 1[1]: 1…1280 unknown-layers unknown, 1536 wan-layers Wan Video 1.3B t2v, 1920…2560 unknown-layers unknown, 3072
    wan-layers Wan Video 2.2 TI2V-5B, 3584…4096 unknown-layers unknown, 5120 wan-layers Wan Video 14B t2v,
    6144…256384 unknown-layers unknown
= prefixes: model.

Wan's outputs
diffusion_model.blocks.0.cross_attn.o.lora_A.weight _,5120
diffusion_model.blocks.0.cross_attn.o.lora_B.weight _,_
= type lora 99%
= base unknown 0% of Wan Video 14B t2v, Wan Video 2.2 T2V-A14B, Wan Video 14B i2v 480p, Wan Video 14B i2v 720p, Wan
    Video 2.2 I2V-A14B, Wan Video 1.3B t2v, Wan Video 2.2 TI2V-5B
= architecture wan 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: wan-14b, wan-i2v-14b, wan2.2-i2v-14b, wan-1.3b, wan2.2-5b
= seen: wan-layers: layers: attn_q: not told
= without 1: wan-layers unknown
= without 2: wan-layers unknown
= prefixes: model.

Z-Image
diffusion_model.layers.0.attention.to_q.lora_A.weight _,3840
diffusion_model.layers.0.attention.to_q.lora_B.weight _,_
= type lora 99%
= base ZImageTurbo 50% of ZImageTurbo, ZImageBase
= architecture z-image 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= says: Turbo and Base are equal in shape
= seen: z-image-layers: layers: attention_to_q: 3840
= without 1: z-image-layers unknown
= without 2: z-image-layers ZImageTurbo
= 1[1]: 1…2048 unknown-layers unknown, 2304 z-image-layers Lumina, 2432…3584 unknown-layers unknown, 3840 z-image-
    layers ZImageTurbo, 4096…256384 unknown-layers unknown
= prefixes: model.

Z-Image's refiners
diffusion_model.noise_refiner.0.attention.to_q.lora_A.weight _,3840
diffusion_model.noise_refiner.0.attention.to_q.lora_B.weight _,_
= type lora 99%
= base ZImageTurbo 50% of ZImageTurbo, ZImageBase
= architecture z-image 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= says: Turbo and Base are equal in shape
= seen: z-image-layers: layers: attention_to_q: 3840
= without 1: z-image-layers unknown
= without 2: z-image-layers ZImageTurbo
= 1[1]: 1…2048 unknown-layers unknown, 2304 z-image-layers Lumina, 2432…3584 unknown-layers unknown, 3840 z-image-
    layers ZImageTurbo, 4096…256384 unknown-layers unknown
= prefixes: model.

Lumina's refiners
diffusion_model.context_refiner.0.attention.to_q.lora_A.weight _,2304
diffusion_model.context_refiner.0.attention.to_q.lora_B.weight _,_
= type lora 99%
= base ZImageTurbo 50% of ZImageTurbo, ZImageBase
= architecture z-image 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= says: Turbo and Base are equal in shape
= seen: layout: layers: 100% of 1 layers are z-image, z-image-omni's
= without 1: layout ZImageTurbo
= without 2: layout ZImageTurbo
= prefixes: model.

Z-Image's keys
diffusion_model.layers.0.attention.to_k.lora_A.weight _,3840
diffusion_model.layers.0.attention.to_k.lora_B.weight _,_
= type lora 99%
= base unknown 0% of ZImageTurbo, ZImageBase, Lumina
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= says: equal in what is seen: z-image, lumina2
= seen: z-image-layers: layers: attention_to_q: not told
= without 1: z-image-layers unknown
= without 2: z-image-layers unknown
= prefixes: model.

cloneofsimo
unet:0:down _,768
unet:0:up _,_
+ unet:1:down _,1024
+ unet:2:down _,320
+ text_encoder:0:down _,2048
= type lora 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 85%
= dialect cloneofsimo 85%
= adapter: down, up: low-rank factors of linear layers
= says: SD 1.4 has these too
= seen: cloneofsimo: layers: layers of width 768
= without 1: unknown-layers unknown
= without 2: cloneofsimo SD 1.5
= with 1: unknown-layers unknown
= with 2: cloneofsimo SD 1.5
= with 3: unknown-layers unknown
= 1[1]: 1…640 unknown-layers unknown, 768 cloneofsimo SD 1.5, 1024 cloneofsimo SD 2.x, 1152…256384 unknown-layers
    unknown
= prefixes: none

cloneofsimo of width 1024
unet:0:down _,1024
unet:0:up _,_
+ text_encoder:0:down _,768
+ unet:1:down _,2048
= type lora 99%
= base SD 2.x 85% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= architecture sd2 85%
= dialect cloneofsimo 85%
= adapter: down, up: low-rank factors of linear layers
= says: 2.0 and 2.1, 512 and 768, epsilon and v-prediction have the same tensors
= seen: cloneofsimo: layers: layers of width 1024
= without 1: unknown-layers unknown
= without 2: cloneofsimo SD 2.x
= with 1: unknown-layers unknown
= with 2: unknown-layers unknown
= 1[1]: 1…640 unknown-layers unknown, 768 cloneofsimo SD 1.5, 1024 cloneofsimo SD 2.x, 1152…256384 unknown-layers
    unknown
= prefixes: none

unknown layers
lora_unet_nothing_we_know.lora_down.weight _,77
lora_unet_nothing_we_know.lora_up.weight _,_
= type lora 99%
= dialect kohya 85%
= adapter: down, up: low-rank factors of linear layers
= seen: unknown-layers: layers: layers of no family we know
= without 1: unknown-layers unknown
= without 2: unknown-layers unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer. other.

a convolution
lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight _,320
lora_unet_down_blocks_0_resnets_0_conv1.lora_up.weight _,_
= type locon 99%
= base unknown 0% of SD 1.5, SD 1.4, SD 2.x, SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768, SDXL 1.0, SDXL 0.9, SDXL Turbo,
    SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious, NoobAI
= dialect kohya 85%
= adapter: down, up: a convolution is adapted: down_blocks_0_resnets_0_conv1
= says: equal in what is seen: sd1, sd2, sdxl
= seen: latent-diffusion-layers: layers: no size tells the text width
= without 1: latent-diffusion-layers unknown
= without 2: latent-diffusion-layers unknown
= prefixes: none

a language model's, which HiDream-O1 has inside
base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight 16,4096
base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight 4096,16
= type lora 99%
= dialect peft 85%
= adapter: down, up: low-rank factors of linear layers
= seen: unknown-layers: layers: layers of no family we know
= without 1: unknown-layers unknown
= without 2: unknown-layers unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer. other.

HiDream-O1's
diffusion_model.language_model.layers.0.self_attn.q_proj.lora_A.weight 16,4096
diffusion_model.language_model.layers.0.self_attn.q_proj.lora_B.weight 4096,16
= type lora 99%
= base HiDream-O1 85%
= architecture hidream-o1 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= seen: layout: layers: 100% of 1 layers are hidream-o1's
= without 1: unknown-layers unknown
= without 2: unknown-layers unknown
= 1[1]: 1…3840 unknown-layers unknown, 4096 layout HiDream-O1, 5120…256384 unknown-layers unknown
= 2[0]: 1…3840 unknown-layers unknown, 4096 layout HiDream-O1, 5120…256384 unknown-layers unknown
= prefixes: model.

another language model's of the same names
diffusion_model.language_model.layers.0.self_attn.q_proj.lora_A.weight 16,5120
diffusion_model.language_model.layers.0.self_attn.q_proj.lora_B.weight 5120,16
= type lora 99%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= seen: unknown-layers: layers: layers of no family we know
= without 1: unknown-layers unknown
= without 2: unknown-layers unknown
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer. other.

ACE-Step 1.5's decoder alone
base_model.model.layers.0.self_attn.q_proj.lora_A.weight 16,2048
base_model.model.layers.0.self_attn.q_proj.lora_B.weight 2048,16
base_model.model.layers.0.cross_attn.q_proj.lora_A.weight 16,2048
base_model.model.layers.0.cross_attn.q_proj.lora_B.weight 2048,16
= type lora 99%
= base ACE Audio 85%
= architecture ace-step 85%
= dialect peft 85%
= adapter: down, up: low-rank factors of linear layers
= seen: ace-step-layers: layers: the layers' names
= without 1: ace-step-layers ACE Audio
= without 2: ace-step-layers ACE Audio
= without 3: ace-step-layers ACE Audio
= without 4: ace-step-layers ACE Audio
= prefixes: none

ACE-Step 1.5's
diffusion_model.decoder.layers.0.cross_attn.k_proj.lora_A.weight 16,2048
diffusion_model.decoder.layers.0.cross_attn.k_proj.lora_B.weight 1024,16
= type lora 99%
= base ACE Audio 85%
= architecture ace-step 85%
= dialect ai-toolkit 85%
= adapter: down, up: low-rank factors of linear layers
= seen: layout: layers: 100% of 1 layers are ace-step's
= without 1: unknown-layers unknown
= without 2: unknown-layers unknown
= 1[1]: 1…1920 unknown-layers unknown, 2048 layout ACE Audio, 2304…256384 unknown-layers unknown
= 2[0]: 1…768 unknown-layers unknown, 1024 layout ACE Audio, 1152…256384 unknown-layers unknown
= prefixes: model.
"""


def test_each_adapter_and_its_neighbours_get_these_answers() -> None:
    assert ANSWERS.strip() == answer_tables(ANSWERS)
