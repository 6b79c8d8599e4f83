"""The answers for textual inversions and hypernetworks; tests/inspection/answer_table.py explains the lines."""

from tests.inspection.answer_table import answer_tables

ANSWERS = """
embedding-clipg-clipl
clip_g 2,1280
clip_l 2,768
= type textualinversion 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: embedding-clipg-clipl: clip_g: F16 [2, 1280]
= without 1: -
= without 2: -
= 1[0]: 1…768 embedding-clipg-clipl, 1024…256384 -
= 1[1]: 1…640 -, 768…1024 embedding-clipg-clipl, 1152 -, 1280 embedding-clipg-clipl, 1536…1920 -, 2048 embedding-
    clipg-clipl, 2304…2432 -, 2560 embedding-clipg-clipl, 3072…3840 -, 4096 embedding-clipg-clipl, 5120…256384 -
= 2[0]: 1…1280 embedding-clipg-clipl, 1536…256384 -
= 2[1]: 1…640 -, 768…1024 embedding-clipg-clipl, 1152 -, 1280 embedding-clipg-clipl, 1536…1920 -, 2048 embedding-
    clipg-clipl, 2304…2432 -, 2560 embedding-clipg-clipl, 3072…3840 -, 4096 embedding-clipg-clipl, 5120…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

embedding-clipg-clipl-t5xxl
clip_g 2,1280
clip_l 2,768
t5xxl 2,4096
= type textualinversion 99%
= base SD 3 50% of SD 3, SD 3.5 Large, SD 3.5 Medium
= architecture sd3 99%
= seen: embedding-clipg-clipl-t5xxl: clip_g: F16 [2, 1280]
= without 1: embedding-clipl-t5xxl
= without 2: -
= without 3: embedding-clipg-clipl
= 1[0]: 1…768 embedding-clipg-clipl-t5xxl, 1024…256384 -
= 1[1]: 1…640 -, 768…1024 embedding-clipg-clipl-t5xxl, 1152 -, 1280 embedding-clipg-clipl-t5xxl, 1536…1920 -, 2048
    embedding-clipg-clipl-t5xxl, 2304…2432 -, 2560 embedding-clipg-clipl-t5xxl, 3072…3840 -, 4096 embedding-clipg-
    clipl-t5xxl, 5120…256384 -
= 2[0]: 1…1280 embedding-clipg-clipl-t5xxl, 1536…256384 -
= 2[1]: 1…640 -, 768…1024 embedding-clipg-clipl-t5xxl, 1152 -, 1280 embedding-clipg-clipl-t5xxl, 1536…1920 -, 2048
    embedding-clipg-clipl-t5xxl, 2304…2432 -, 2560 embedding-clipg-clipl-t5xxl, 3072…3840 -, 4096 embedding-clipg-
    clipl-t5xxl, 5120…256384 -
= 3[0]: 1…256 embedding-clipg-clipl-t5xxl, 320…256384 -
= 3[1]: 1…640 -, 768…1024 embedding-clipg-clipl-t5xxl, 1152 -, 1280 embedding-clipg-clipl-t5xxl, 1536…1920 -, 2048
    embedding-clipg-clipl-t5xxl, 2304…2432 -, 2560 embedding-clipg-clipl-t5xxl, 3072…3840 -, 4096 embedding-clipg-
    clipl-t5xxl, 5120…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

embedding-clipl-t5xxl
clip_l 2,768
t5xxl 2,4096
= type textualinversion 99%
= base Flux.1 D 50% of Flux.1 D, Flux.1 Kontext, Flux.1 Krea, Flux.1 S
= architecture flux.1 99%
= seen: embedding-clipl-t5xxl: clip_l: F16 [2, 768]
= without 1: -
= without 2: -
= 1[0]: 1…1280 embedding-clipl-t5xxl, 1536…256384 -
= 1[1]: 1…640 -, 768…1024 embedding-clipl-t5xxl, 1152 -, 1280 embedding-clipl-t5xxl, 1536…1920 -, 2048 embedding-
    clipl-t5xxl, 2304…2432 -, 2560 embedding-clipl-t5xxl, 3072…3840 -, 4096 embedding-clipl-t5xxl, 5120…256384 -
= 2[0]: 1…256 embedding-clipl-t5xxl, 320…256384 -
= 2[1]: 1…640 -, 768…1024 embedding-clipl-t5xxl, 1152 -, 1280 embedding-clipl-t5xxl, 1536…1920 -, 2048 embedding-
    clipl-t5xxl, 2304…2432 -, 2560 embedding-clipl-t5xxl, 3072…3840 -, 4096 embedding-clipl-t5xxl, 5120…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

embedding-textencoders0-textencoders1
text_encoders_0 2,768
text_encoders_1 2,1280
= type textualinversion 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: embedding-textencoders0-textencoders1: text_encoders_0: F16 [2, 768]
= without 1: -
= without 2: -
= 1[0]: 1…1280 embedding-textencoders0-textencoders1, 1536…256384 -
= 1[1]: 1…640 -, 768…1024 embedding-textencoders0-textencoders1, 1152 -, 1280 embedding-textencoders0-textencoders1,
    1536…1920 -, 2048 embedding-textencoders0-textencoders1, 2304…2432 -, 2560 embedding-
    textencoders0-textencoders1, 3072…3840 -, 4096 embedding-textencoders0-textencoders1, 5120…256384 -
= 2[0]: 1…768 embedding-textencoders0-textencoders1, 1024…256384 -
= 2[1]: 1…640 -, 768…1024 embedding-textencoders0-textencoders1, 1152 -, 1280 embedding-textencoders0-textencoders1,
    1536…1920 -, 2048 embedding-textencoders0-textencoders1, 2304…2432 -, 2560 embedding-
    textencoders0-textencoders1, 3072…3840 -, 4096 embedding-textencoders0-textencoders1, 5120…256384 -
= prefixes: model.diffusion_model. diffusion_model. net. model.model. transformer. model. unet. control_model.
    module. adapter. first_stage_model. vae. text_encoders.clip_l.transformer. text_encoders.t5xxl.transformer.
    text_encoders.umt5xxl.transformer.

embedding-768
emb_params 2,768
= type textualinversion 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 99%
= seen: embedding-768: emb_params: F16 [2, 768]
= 1[0]: 1…1280 embedding-768, 1536…256384 -
= 1[1]: 1…640 -, 768 embedding-768, 1024 embedding-1024, 1152 -, 1280 embedding-1280, 1536…256384 -
= prefixes: none

embedding-1024
<word> 2,1024
= type textualinversion 99%
= base SD 2.x 85% of SD 2.0, SD 2.0 768, SD 2.1, SD 2.1 768
= architecture sd2 99%
= seen: embedding-1024: <word>: F16 [2, 1024]
= 1[0]: 1…1024 embedding-1024, 1152…256384 -
= 1[1]: 1…640 -, 768 embedding-768, 1024 embedding-1024, 1152 -, 1280 embedding-1280, 1536…256384 -
= prefixes: none

embedding-1280
* 1280
= type textualinversion 99%
= base SDXL 1.0 50% of SDXL 1.0, SDXL 0.9, SDXL Turbo, SDXL Lightning, SDXL Hyper, SDXL 1.0 LCM, Pony, Illustrious,
    NoobAI
= architecture sdxl 99%
= seen: embedding-1280: *: F16 [1280]
= 1[0]: 1…640 -, 768 embedding-768, 1024 embedding-1024, 1152 -, 1280 embedding-1280, 1536…256384 -
= prefixes: none

hypernetwork-768
768.0.linear.0.weight 1536,768
768.1.linear.0.bias 1536
320.0.linear1.weight 640,320
= type hypernetwork 99%
= base SD 1.5 85% of SD 1.5, SD 1.4
= architecture sd1 99%
= seen: hypernetwork-768: 768.0.linear.0.weight: F16 [1536, 768]
= without 1: hypernetwork-768
= without 2: hypernetwork-768
= without 3: hypernetwork-768
= prefixes: none

hypernetwork-1024
1024.0.linear.0.weight 2048,1024
1024.1.linear2.bias 1024
= type hypernetwork 99%
= base unknown 0% of SD 2.x, SD 1.5
= architecture sd2 99%
= says: A1111 makes the layer 1024 for SD 1 too if asked to
= seen: hypernetwork-1024: 1024.0.linear.0.weight: F16 [2048, 1024]
= without 1: hypernetwork-1024
= without 2: hypernetwork-1024
= prefixes: none
"""


def test_each_header_and_its_neighbours_get_these_answers() -> None:
    assert ANSWERS.strip() == answer_tables(ANSWERS)
