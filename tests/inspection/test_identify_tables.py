"""What notes, the ends and beginnings of names, types of numbers and companions say, as whole tables.

Not covered here: what shapes say (tests/inspection/answers).
"""

from modelyard.inspection import Header, Identity, Tensor, identify
from modelyard.inspection.findings import Finding
from tests.inspection.answer_table import identify_shapes

NEW = {"something.new": (4, 4)}
LAYER = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
HEADERS = {
    "new": NEW,
    "sd1 lora": {f"{LAYER}.lora_down.weight": (8, 768), f"{LAYER}.lora_up.weight": (640, 8)},
    "sdxl lora": {f"{LAYER}.lora_down.weight": (8, 2048), f"{LAYER}.lora_up.weight": (640, 8)},
    "lora": {"lora_unet_new.lora_down.weight": (8, 77), "lora_unet_new.lora_up.weight": (640, 8)},
    "sdxl unet": {
        "input_blocks.0.0.weight": (320, 7, 3, 3),
        "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
    },
    "sd1 unet": {
        "input_blocks.0.0.weight": (320, 4, 3, 3),
        "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
    },
    "flux vae": {
        "decoder.conv_in.weight": (512, 16, 3, 3),
        "encoder.conv_in.weight": (128, 3, 3, 3),
        "decoder.conv_out.weight": (3, 128, 3, 3),
    },
}


def show(found: Identity) -> str:
    findings = {
        "type": found.type,
        "base": found.base_model,
        "variant": found.base_model_type,
        "architecture": found.architecture,
    }
    return "; ".join(f"{name} {show_finding(each)}" for name, each in findings.items() if each.is_known) or "-"


def show_finding(finding: Finding) -> str:
    return f"{finding.value} {finding.confidence:.0%}"


KEYS = {"spec": "modelspec.architecture", "kohya": "ss_base_model_version", "trained on": "ss_sd_model_name"}


def describe_note(line: str) -> str:
    """Return ``[header +] note=text, note=text → answer``, with what the base's evidence says of each note."""
    question = line.partition(" →")[0]
    name, _, notes = question.rpartition(" + ")
    pairs = [note.split("=", 1) for note in notes.split(", ")]
    metadata = {KEYS.get(key, key): text for key, text in pairs}
    shapes = HEADERS[name or "new"]
    found = identify(Header({each: Tensor("F16", shape) for each, shape in shapes.items()}, metadata))
    says = [evidence.says for evidence in found.base_model.evidence if evidence.source == "metadata"] if name else []
    return "\n    ".join([f"{question} →", show(found), *(each or "-" for each in says)])


def test_each_note_says_this() -> None:
    questions = [line for line in NOTES.strip().split("\n") if line[0] != " "]

    assert NOTES.strip() == "\n".join(describe_note(line) for line in questions)


NOTES = """
spec=stable-diffusion-v1 →
    base SD 1.5 85%; architecture sd1 85%
spec=stable-diffusion-v1-inpainting →
    base SD 1.5 85%; variant Inpainting 85%; architecture sd1 85%
spec=stable-diffusion-v2-512 →
    base SD 2.x 85%; architecture sd2 85%
spec=stable-diffusion-v2-768-v →
    base SD 2.x 85%; architecture sd2 85%
spec=stable-diffusion-v2-inpainting →
    base SD 2.x 85%; variant Inpainting 85%; architecture sd2 85%
spec=stable-diffusion-v2-depth →
    base SD 2.x 85%; variant Depth 85%; architecture sd2 85%
spec=stable-diffusion-v2-unclip →
    base SD 2.1 Unclip 85%; architecture sd2 85%
spec=stable-diffusion-xl-v0-9-base →
    base SDXL 0.9 85%; architecture sdxl 85%
spec=stable-diffusion-xl-v0-9-refiner →
    base SDXL 0.9 85%; variant Refiner 85%; architecture sdxl-refiner 85%
spec=stable-diffusion-xl-v1-base →
    base SDXL 1.0 85%; architecture sdxl 85%
spec=stable-diffusion-xl-v1-refiner →
    base SDXL 1.0 85%; variant Refiner 85%; architecture sdxl-refiner 85%
spec=stable-diffusion-xl-v1-inpainting →
    base SDXL 1.0 85%; variant Inpainting 85%; architecture sdxl 85%
spec=stable-diffusion-xl-turbo-v1 →
    base SDXL Turbo 85%; architecture sdxl 85%
spec=stable-diffusion-v3-medium →
    base SD 3 85%; architecture sd3 85%
spec=stable-diffusion-3-medium →
    base SD 3 85%; architecture sd3 85%
spec=stable-diffusion-3-m →
    base SD 3 85%; architecture sd3 85%
spec=stable-diffusion-v3.5-medium →
    base SD 3.5 Medium 85%; architecture sd3.5-medium 85%
spec=stable-diffusion-3-5-medium →
    base SD 3.5 Medium 85%; architecture sd3.5-medium 85%
spec=stable-diffusion-v3.5-large →
    base SD 3.5 Large 85%; architecture sd3.5-large 85%
spec=stable-diffusion-3-5-large →
    base SD 3.5 Large 85%; architecture sd3.5-large 85%
spec=stable-diffusion-3-large →
    base SD 3.5 Large 85%; architecture sd3.5-large 85%
spec=stable-cascade-v1-stage-b →
    base Stable Cascade 85%; architecture stable-cascade 85%
spec=stable-cascade-v1-stage-c →
    base Stable Cascade 85%; architecture stable-cascade 85%
spec=stable-video-diffusion-img2vid-v1 →
    base SVD 85%; architecture svd 85%
spec=flux-1-dev →
    base Flux.1 D 85%; architecture flux.1 85%
spec=flux.1-dev →
    base Flux.1 D 85%; architecture flux.1 85%
spec=flux-1-schnell →
    base Flux.1 S 85%; architecture flux.1 85%
spec=flux.1-schnell →
    base Flux.1 S 85%; architecture flux.1 85%
spec=flux-1-kontext →
    base Flux.1 Kontext 85%; architecture flux.1 85%
spec=flux.1-dev-kontext →
    base Flux.1 Kontext 85%; architecture flux.1 85%
spec=flux-2-dev →
    base Flux.2 D 85%; architecture flux.2 85%
spec=flux.2-dev →
    base Flux.2 D 85%; architecture flux.2 85%
spec=chroma →
    base Chroma 85%; architecture chroma 85%
spec=lumina-2 →
    base Lumina 85%; architecture lumina2 85%
spec=qwen-image →
    base Qwen 85%; architecture qwen-image 85%
spec=z-image →
    base ZImageTurbo 85%; architecture z-image 85%
spec=auraflow-v1 →
    base AuraFlow 85%; architecture auraflow 85%
spec=hunyuan-video →
    base Hunyuan Video 85%; architecture hunyuan-video 85%
spec=new/lora →
    type lora 50%
spec=new/textual-inversion →
    type textualinversion 50%
spec=new/controlnet →
    type controlnet 50%
spec=new/control-lora →
    type controlnet 50%
spec=new/vae →
    type vae 50%
spec=Stable_Diffusion_v1/LoRA →
    type lora 50%; base SD 1.5 85%; architecture sd1 85%
spec=new/thing →
    -
kohya=sd_v1 →
    base SD 1.5 85%; architecture sd1 85%
kohya=sd_1.5 →
    base SD 1.5 85%; architecture sd1 85%
kohya=sd1 →
    base SD 1.5 85%; architecture sd1 85%
kohya=sd_v2 →
    base SD 2.x 85%; architecture sd2 85%
kohya=sd_v2_v →
    base SD 2.x 85%; architecture sd2 85%
kohya=sd2 →
    base SD 2.x 85%; architecture sd2 85%
kohya=sdxl_base_v0-9 →
    base SDXL 0.9 85%; architecture sdxl 85%
kohya=sdxl_base_v1-0 →
    base SDXL 1.0 85%; architecture sdxl 85%
kohya=sdxl_1.0 →
    base SDXL 1.0 85%; architecture sdxl 85%
kohya=sdxl →
    base SDXL 1.0 85%; architecture sdxl 85%
kohya=sd3 →
    base SD 3 85%; architecture sd3 85%
kohya=sd3_m →
    base SD 3 85%; architecture sd3 85%
kohya=sd3_5-large →
    base SD 3.5 Large 85%; architecture sd3.5-large 85%
kohya=sd3_5-medium →
    base SD 3.5 Medium 85%; architecture sd3.5-medium 85%
kohya=flux1 →
    base Flux.1 D 85%; architecture flux.1 85%
kohya=flux1_dev →
    base Flux.1 D 85%; architecture flux.1 85%
kohya=chroma →
    base Chroma 85%; architecture chroma 85%
kohya=lumina2 →
    base Lumina 85%; architecture lumina2 85%
kohya=qwen_image →
    base Qwen 85%; architecture qwen-image 85%
kohya=z_image →
    base ZImageTurbo 85%; architecture z-image 85%
kohya=sd_v9 →
    -
ss_v2=True →
    base SD 2.x 85%; architecture sd2 85%
ss_v2=False →
    -
trained on=ponyDiffusionV6XL →
    base Pony 85%; architecture sdxl 85%
trained on=noobaiXLNAIXL_epsilonPred11 →
    base NoobAI 85%; architecture sdxl 85%
trained on=Illustrious-XL-v0.1 →
    base Illustrious 85%; architecture sdxl 85%
trained on=waiNSFWIllustrious_v140 →
    base Illustrious 85%; architecture sdxl 85%
trained on=WAI-illu →
    base Illustrious 85%; architecture sdxl 85%
trained on=sd_xl_turbo_1.0 →
    base SDXL Turbo 85%; architecture sdxl 85%
trained on=sdxlturbo →
    base SDXL Turbo 85%; architecture sdxl 85%
trained on=sd_xl_base_1.0 →
    base SDXL 1.0 85%; architecture sdxl 85%
trained on=stabilityai/stable-diffusion-xl-base-1.0 →
    base SDXL 1.0 85%; architecture sdxl 85%
trained on=sd_xl_base_0.9 →
    base SDXL 0.9 85%; architecture sdxl 85%
trained on=stable-diffusion-xl-base-0.9 →
    base SDXL 0.9 85%; architecture sdxl 85%
trained on=v1-5-pruned-emaonly →
    base SD 1.5 85%; architecture sd1 85%
trained on=rev2v1-5-pruned →
    -
trained on=stable-diffusion-v1-5 →
    base SD 1.5 85%; architecture sd1 85%
trained on=sd-v1-4 →
    base SD 1.4 85%; architecture sd1 85%
trained on=stable-diffusion-v1-4 →
    base SD 1.4 85%; architecture sd1 85%
trained on=v2-1_768-ema →
    base SD 2.1 768 85%; architecture sd2 85%
trained on=stabilityai/stable-diffusion-2-1 →
    base SD 2.1 768 85%; architecture sd2 85%
trained on=v2-1_512-ema →
    base SD 2.1 85%; architecture sd2 85%
trained on=stable-diffusion-2-1-base →
    base SD 2.1 85%; architecture sd2 85%
trained on=flux1-kontext →
    base Flux.1 Kontext 85%; architecture flux.1 85%
trained on=flux-1-kontext →
    base Flux.1 Kontext 85%; architecture flux.1 85%
trained on=flux1-schnell →
    base Flux.1 S 85%; architecture flux.1 85%
trained on=flux.1-schnell →
    base Flux.1 S 85%; architecture flux.1 85%
trained on=FLUX.1-dev →
    base Flux.1 D 85%; architecture flux.1 85%
trained on=flux1-dev →
    base Flux.1 D 85%; architecture flux.1 85%
trained on=model →
    -
sd_checkpoint_name=pony →
    base Pony 85%; architecture sdxl 85%
ss_base_model_name=pony →
    base Pony 85%; architecture sdxl 85%
base_model=pony →
    base Pony 85%; architecture sdxl 85%
model=pony →
    -
kohya=SD_v1 →
    base SD 1.5 85%; architecture sd1 85%
sdxl lora + trained on=pony →
    type lora 99%; base Pony 85%; architecture sdxl 85%
    chooses among what the tensors leave open
sdxl lora + spec=stable-diffusion-xl-turbo-v1 →
    type lora 99%; base SDXL Turbo 85%; architecture sdxl 85%
    chooses among what the tensors leave open
sdxl lora + spec=stable-diffusion-xl-v1-base/lora →
    type lora 99%; base SDXL 1.0 50%; architecture sdxl 85%
    agrees
sdxl lora + spec=stable-diffusion-v1/vae →
    type lora 99%; base SDXL 1.0 50%; architecture sdxl 85%
    contradicts the tensors; not followed
sdxl lora + kohya=sdxl_base_v1-0 →
    type lora 99%; base SDXL 1.0 50%; architecture sdxl 85%
    agrees
sdxl lora + trained on=pony, spec=stable-diffusion-xl-turbo-v1 →
    type lora 99%; base Pony 85%; architecture sdxl 85%
    chooses among what the tensors leave open
    agrees on the family
sdxl lora + spec=stable-diffusion-xl-turbo-v1, trained on=pony, kohya=sdxl_base_v1-0 →
    type lora 99%; base Pony 85%; architecture sdxl 85%
    chooses among what the tensors leave open
    agrees on the family
    agrees on the family
sdxl lora + ss_v2=true →
    type lora 99%; base SDXL 1.0 50%; architecture sdxl 85%
    contradicts the tensors; not followed
sd1 lora + kohya=sd_v1 →
    type lora 99%; base SD 1.5 85%; architecture sd1 85%
    agrees
sd1 lora + trained on=sd-v1-4 →
    type lora 99%; base SD 1.4 85%; architecture sd1 85%
    chooses among what the tensors leave open
sd1 lora + spec=stable-diffusion-xl-v1-base/lora →
    type lora 99%; base SD 1.5 85%; architecture sd1 85%
    contradicts the tensors; not followed
sd1 lora + ss_v2=true →
    type lora 99%; base SD 1.5 85%; architecture sd1 85%
    contradicts the tensors; not followed
sd1 lora + trained on=sd-v1-4, kohya=sd_v1 →
    type lora 99%; base SD 1.4 85%; architecture sd1 85%
    chooses among what the tensors leave open
    agrees on the family
sd1 lora + trained on=pony →
    type lora 99%; base SD 1.5 85%; architecture sd1 85%
    contradicts the tensors; not followed
lora + trained on=pony →
    type lora 99%; base Pony 85%
    chooses among what the tensors leave open
lora + spec=stable-diffusion-xl-v1-base/lora →
    type lora 99%; base SDXL 1.0 85%
    chooses among what the tensors leave open
lora + kohya=sd_v1 →
    type lora 99%; base SD 1.5 85%
    chooses among what the tensors leave open
lora + trained on=sd-v1-4, kohya=sd_v1 →
    type lora 99%; base SD 1.4 85%
    chooses among what the tensors leave open
    contradicts the tensors; not followed
lora + spec=stable-diffusion-xl-v1-inpainting →
    type lora 99%; base SDXL 1.0 85%; variant Inpainting 85%
    chooses among what the tensors leave open
lora + spec=flux-1-dev/vae →
    type lora 99%; base Flux.1 D 85%
    chooses among what the tensors leave open
sdxl unet + trained on=pony →
    type checkpoint 99%; base Pony 85%; architecture sdxl 99%
    chooses among what the tensors leave open
sdxl unet + spec=stable-diffusion-xl-v1-inpainting →
    type checkpoint 99%; base SDXL 1.0 50%; variant Inpainting 85%; architecture sdxl 99%
    agrees
sdxl unet + spec=stable-diffusion-xl-turbo-v1 →
    type checkpoint 99%; base SDXL Turbo 85%; architecture sdxl 99%
    chooses among what the tensors leave open
sdxl unet + kohya=sdxl_base_v1-0 →
    type checkpoint 99%; base SDXL 1.0 50%; architecture sdxl 99%
    agrees
sd1 unet + spec=stable-diffusion-xl-v1-inpainting →
    type checkpoint 99%; base SD 1.5 85%; variant Standard 99%; architecture sd1 99%
    contradicts the tensors; not followed
sd1 unet + spec=stable-diffusion-v1/vae →
    type checkpoint 99%; base SD 1.5 85%; variant Standard 99%; architecture sd1 99%
    agrees
sd1 unet + trained on=sd-v1-4 →
    type checkpoint 99%; base SD 1.4 85%; variant Standard 99%; architecture sd1 99%
    chooses among what the tensors leave open
flux vae + spec=flux-1-dev/vae →
    type vae 99%; base Flux.1 D 85%; architecture kl-f8-16 99%
    chooses among what the tensors leave open
flux vae + spec=stable-diffusion-3-medium →
    type vae 99%; base SD 3 85%; architecture kl-f8-16 99%
    chooses among what the tensors leave open
flux vae + spec=stable-diffusion-v1/vae →
    type vae 99%; architecture kl-f8-16 99%
    contradicts the tensors; not followed
flux vae + spec=stable-diffusion-xl-v1-base/lora →
    type vae 99%; architecture kl-f8-16 99%
    contradicts the tensors; not followed
new + trained on=pony, spec=stable-diffusion-v1/vae →
    type vae 50%; base Pony 85%; architecture sdxl 85%
    the name of the model it was trained on
    contradicts the tensors; not followed
new + spec=stable-diffusion-xl-v1-base/lora, kohya=sd_v1 →
    type lora 50%; base SDXL 1.0 85%; architecture sdxl 85%
    -
    contradicts the tensors; not followed
new + spec=stable-diffusion-v1/vae, trained on=pony →
    type vae 50%; base Pony 85%; architecture sdxl 85%
    the name of the model it was trained on
    contradicts the tensors; not followed
"""


def describe_ending(line: str) -> str:
    endings = line.partition(" → ")[0]
    found = identify_shapes({f"lora_unet_new.{ending}": (8, 8) for ending in endings.split()})
    why = found.type.evidence[0] if found.type.evidence else None
    return f"{endings} → {found.type.value}, {found.dialect.value}" + (f", {why.value}, {why.says}" if why else "")


def test_each_end_of_a_tensors_name_has_this_role() -> None:
    assert ENDINGS.strip().split("\n") == [describe_ending(line) for line in ENDINGS.strip().split("\n")]


ENDINGS = """
lora_down.weight → lora, kohya, down, low-rank factors of linear layers
lora_up.weight → lora, kohya, up, low-rank factors of linear layers
lora_mid.weight → unknown, unknown
lora_A.weight → lora, kohya, down, low-rank factors of linear layers
lora_B.weight → lora, kohya, up, low-rank factors of linear layers
lora_B.bias → unknown, unknown
down.weight → lora, kohya, down, low-rank factors of linear layers
up.weight → lora, kohya, up, low-rank factors of linear layers
alpha → unknown, unknown
dora_scale → dora, kohya full, dora, a scale for each direction (dora_scale)
lora_magnitude_vector → dora, kohya full, dora, a scale for each direction (dora_scale)
lora_magnitude_vector.weight → dora, kohya full, dora, a scale for each direction (dora_scale)
hada_w1_a → locon, kohya loha, loha, LyCORIS's loha
hada_w1_b → locon, kohya loha, loha, LyCORIS's loha
hada_w2_a → locon, kohya loha, loha, LyCORIS's loha
hada_w2_b → locon, kohya loha, loha, LyCORIS's loha
hada_t1 → locon, kohya loha, loha, LyCORIS's loha
hada_t2 → locon, kohya loha, loha, LyCORIS's loha
lokr_w1 → locon, kohya lokr, lokr, LyCORIS's lokr
lokr_w1_a → locon, kohya lokr, lokr, LyCORIS's lokr
lokr_w1_b → locon, kohya lokr, lokr, LyCORIS's lokr
lokr_w2 → locon, kohya lokr, lokr, LyCORIS's lokr
lokr_w2_a → locon, kohya lokr, lokr, LyCORIS's lokr
lokr_w2_b → locon, kohya lokr, lokr, LyCORIS's lokr
lokr_t2 → locon, kohya lokr, lokr, LyCORIS's lokr
oft_diag → locon, kohya oft, oft, LyCORIS's oft
oft_blocks → locon, kohya oft, oft, LyCORIS's oft
oft_R.weight → locon, kohya oft, oft, LyCORIS's oft
diff → locon, kohya full, full, LyCORIS's full
diff_b → locon, kohya full, full, LyCORIS's full
on_input → locon, kohya ia3, ia3, LyCORIS's ia3
a1.weight → locon, kohya glora, glora, LyCORIS's glora
a2.weight → locon, kohya glora, glora, LyCORIS's glora
b1.weight → locon, kohya glora, glora, LyCORIS's glora
b2.weight → locon, kohya glora, glora, LyCORIS's glora
lora_down.weight lora_up.weight → lora, kohya, down, up, low-rank factors of linear layers
lora_down.weight lora_up.weight lora_mid.weight → locon, kohya, down, mid, up, Tucker-decomposed convolutions (lora_mid)
lora_down.weight lora_up.weight dora_scale → dora, kohya, dora, down, up, a scale for each direction (dora_scale)
lora_A.default.weight lora_B.default.weight → lora, kohya, down, up, low-rank factors of linear layers
hada_w1_a lokr_w1 → locon, kohya lokr, loha, lokr, LyCORIS's lokr
oft_diag glora.a1.weight a1.weight → locon, kohya oft, glora, oft, LyCORIS's oft
a1.weight on_input → locon, kohya glora, glora, ia3, LyCORIS's glora
alpha lora_mid.weight → unknown, unknown
down.weight → lora, kohya, down, low-rank factors of linear layers
lora.down.weight → lora, kohya, down, low-rank factors of linear layers
x.processor.down.weight → lora, kohya, down, low-rank factors of linear layers
weight → unknown, unknown
bias → unknown, unknown
"""


def describe_beginning(line: str) -> str:
    names = line.partition(" → ")[0]
    found = identify_shapes(dict.fromkeys(names.split(), (8, 768)))
    return f"{names} → {found.type.value}, {found.dialect.value}, base {found.base_model.value}"


def test_each_beginning_of_a_layers_name_has_this_dialect_and_part() -> None:
    assert BEGINNINGS.strip().split("\n") == [describe_beginning(line) for line in BEGINNINGS.strip().split("\n")]


BEGINNINGS = """
lora_unet_down_blocks_0_attn2_to_k.lora_down.weight → lora, kohya, base SD 1.5
lora_te1_down_blocks_0_attn2_to_k.lora_down.weight → lora, kohya, base unknown
lora_te2_down_blocks_0_attn2_to_k.lora_down.weight → lora, kohya, base SDXL 1.0
lora_te3_down_blocks_0_attn2_to_k.lora_down.weight → lora, kohya, base unknown
lora_te_down_blocks_0_attn2_to_k.lora_down.weight → lora, kohya, base unknown
lora_transformer_down_blocks_0_attn2_to_k.lora_down.weight → lora, onetrainer, base SD 1.5
lora_prior_unet_down_blocks_0_attn2_to_k.lora_down.weight → lora, kohya, base SD 1.5
lycoris_down_blocks_0_attn2_to_k.lora_down.weight → lora, lycoris, base SD 1.5
oft_unet_down_blocks_0_attn2_to_k.lora_down.weight → lora, kohya, base SD 1.5
base_model.model.down_blocks.0.attn2.to_k.lora_down.weight → lora, peft, base SD 1.5
transformer.down_blocks.0.attn2.to_k.lora_down.weight → lora, diffusers, base SD 1.5
unet.down_blocks.0.attn2.to_k.lora_down.weight → lora, diffusers, base SD 1.5
text_encoder.down_blocks.0.attn2.to_k.lora_down.weight → lora, diffusers, base unknown
text_encoder_2.down_blocks.0.attn2.to_k.lora_down.weight → lora, diffusers, base SDXL 1.0
text_encoders.clip_l.down_blocks.0.attn2.to_k.lora_down.weight → lora, comfyui, base unknown
text_encoders.clip_g.down_blocks.0.attn2.to_k.lora_down.weight → lora, comfyui, base SDXL 1.0
clip_l.down_blocks.0.attn2.to_k.lora_down.weight → lora, onetrainer, base unknown
clip_g.down_blocks.0.attn2.to_k.lora_down.weight → lora, onetrainer, base SDXL 1.0
model.diffusion_model.down_blocks.0.attn2.to_k.lora_down.weight → lora, comfyui, base SD 1.5
diffusion_model.down_blocks.0.attn2.to_k.lora_down.weight → lora, ai-toolkit, base SD 1.5
other.down_blocks.0.attn2.to_k.lora_down.weight → lora, diffusers, base unknown
down_blocks.0.attn2.to_k.lora_down.weight → lora, diffusers, base SD 1.5
lora_unet_layers_0_q_proj.lora_down.weight → lora, kohya, base unknown
lora_te1_layers_0_q_proj.lora_down.weight → lora, kohya, base unknown
lora_te2_layers_0_q_proj.lora_down.weight → lora, kohya, base SDXL 1.0
lora_te3_layers_0_q_proj.lora_down.weight → lora, kohya, base unknown
lora_te_layers_0_q_proj.lora_down.weight → lora, kohya, base SD 1.5
lora_transformer_layers_0_q_proj.lora_down.weight → lora, onetrainer, base unknown
lora_prior_unet_layers_0_q_proj.lora_down.weight → lora, kohya, base unknown
lycoris_layers_0_q_proj.lora_down.weight → lora, lycoris, base unknown
oft_unet_layers_0_q_proj.lora_down.weight → lora, kohya, base unknown
base_model.model.layers.0.q_proj.lora_down.weight → lora, peft, base unknown
transformer.layers.0.q_proj.lora_down.weight → lora, diffusers, base unknown
unet.layers.0.q_proj.lora_down.weight → lora, diffusers, base unknown
text_encoder.layers.0.q_proj.lora_down.weight → lora, diffusers, base unknown
text_encoder_2.layers.0.q_proj.lora_down.weight → lora, diffusers, base SDXL 1.0
text_encoders.clip_l.layers.0.q_proj.lora_down.weight → lora, comfyui, base unknown
text_encoders.clip_g.layers.0.q_proj.lora_down.weight → lora, comfyui, base SDXL 1.0
clip_l.layers.0.q_proj.lora_down.weight → lora, onetrainer, base unknown
clip_g.layers.0.q_proj.lora_down.weight → lora, onetrainer, base SDXL 1.0
model.diffusion_model.layers.0.q_proj.lora_down.weight → lora, comfyui, base unknown
diffusion_model.layers.0.q_proj.lora_down.weight → lora, ai-toolkit, base unknown
other.layers.0.q_proj.lora_down.weight → lora, diffusers, base unknown
layers.0.q_proj.lora_down.weight → lora, diffusers, base unknown
unet.down_blocks.0.attn2.processor.to_k_lora.down.weight → lora, diffusers, base SD 1.5
text_encoder.layers.0.q_proj.lora_linear_layer.down.weight → lora, diffusers, base unknown
unet.down_blocks.0.attn2.to_k.lora.down.weight → lora, diffusers, base SD 1.5
double_blocks.0.processor.qkv_lora1.down.weight → lora, xlabs, base Flux.1 D
diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight → lora, ai-toolkit, base Flux.1 D
diffusion_model.double_blocks.0.img_attn.qkv.diff → locon, bfl full, base Flux.1 D
diffusion_model.single_blocks.0.linear1.diff → locon, bfl full, base Flux.1 D
double_blocks.0.img_attn.qkv.lora_A.weight → lora, bfl, base Flux.1 D
double_blocks.0.txt_attn.qkv.diff → locon, bfl full, base Flux.1 D
single_blocks.0.linear1.diff → locon, bfl full, base Flux.1 D
blocks.0.linear1.diff → locon, plain full, base unknown
blocks.0.linear1.lora_A.weight → lora, diffusers, base unknown
lora_unet_transformer_blocks_0_attn.lora_down.weight → lora, onetrainer, base unknown
ip_adapter.1.to_k_ip.lora_down.weight → unknown, unknown, base unknown
lora_unet_a.lora_down.weight b.weight → lora, kohya, base unknown
lora_unet_a.lora_down.weight b.weight c.weight → lora, kohya, base unknown
lora_unet_a.lora_down.weight b.weight c.weight d.weight → unknown, unknown, base unknown
lora_unet_a.lora_down.weight unet.b.lora_down.weight unet.c.lora_down.weight → lora, diffusers, base unknown
lora_unet_x_conv.lora_down.weight → locon, kohya, base unknown
lora_unet_x_conv1.lora_down.weight → locon, kohya, base unknown
lora_unet_x_conv2.lora_down.weight → locon, kohya, base unknown
lora_unet_x_conv3.lora_down.weight → lora, kohya, base unknown
lora_unet_x_conv_shortcut.lora_down.weight → locon, kohya, base unknown
lora_unet_x_conv_in.lora_down.weight → locon, kohya, base unknown
lora_unet_x_conv_out.lora_down.weight → locon, kohya, base unknown
lora_unet_x_in_layers_2.lora_down.weight → locon, kohya, base unknown
lora_unet_x_out_layers_3.lora_down.weight → locon, kohya, base unknown
lora_unet_x_skip_connection.lora_down.weight → locon, kohya, base unknown
lora_unet_x_op.lora_down.weight → locon, kohya, base unknown
lora_unet_x_proj_in.lora_down.weight → lora, kohya, base unknown
lycoris_x_conv1.lora_down.weight → locon, lycoris, base unknown
unet.x.conv1.lora_down.weight → lora, diffusers, base unknown
lora_te_x_conv1.lora_down.weight → lora, kohya, base unknown
"""


def describe_precision(line: str) -> str:
    dtypes = line.partition(" → ")[0]
    counts = [each.split("*") for each in dtypes.split(" + ")]
    header = Header({f"t{n}": Tensor(dtype, (int(count),)) for n, (dtype, count) in enumerate(counts)}, {})
    found = identify(header)
    says = [f"{each.name}, {each.value}" for each in found.precision.evidence]
    return ", ".join([f"{dtypes} → {show_finding(found.precision)}", f"{found.parameters} numbers", *says])


def test_each_type_of_number_has_this_name() -> None:
    assert PRECISIONS.strip().split("\n") == [describe_precision(line) for line in PRECISIONS.strip().split("\n")]


PRECISIONS = """
F64*10 → fp64 99%, 10 numbers, 1 tensors, 100.0% F64
F32*10 → fp32 99%, 10 numbers, 1 tensors, 100.0% F32
F16*10 → fp16 99%, 10 numbers, 1 tensors, 100.0% F16
BF16*10 → bf16 99%, 10 numbers, 1 tensors, 100.0% BF16
F8_E4M3*10 → fp8_e4m3 99%, 10 numbers, 1 tensors, 100.0% F8_E4M3
F8_E5M2*10 → fp8_e5m2 99%, 10 numbers, 1 tensors, 100.0% F8_E5M2
F8_E4M3FNUZ*10 → fp8_e4m3fnuz 99%, 10 numbers, 1 tensors, 100.0% F8_E4M3FNUZ
F8_E5M2FNUZ*10 → fp8_e5m2fnuz 99%, 10 numbers, 1 tensors, 100.0% F8_E5M2FNUZ
F4*10 → fp4 99%, 10 numbers, 1 tensors, 100.0% F4
I8*10 → int8 99%, 10 numbers, 1 tensors, 100.0% I8
U8*10 → uint8 99%, 10 numbers, 1 tensors, 100.0% U8
I16*10 → I16 99%, 10 numbers, 1 tensors, 100.0% I16
unknown*10 → unknown 0%, 10 numbers
F16*90 + F32*10 → fp16 99%, 100 numbers, 2 tensors, 90.0% F16
F16*89 + F32*11 → fp16 85%, 100 numbers, 2 tensors, 89.0% F16
F16*4 + F32*6 → fp32 85%, 10 numbers, 2 tensors, 60.0% F32
F16*0 → unknown 0%, 0 numbers
unknown*6 + F16*4 → unknown 0%, 10 numbers
"""


def describe_part(line: str) -> str:
    name = line.partition(" → ")[0]
    part = identify_shapes({**HEADERS["sd1 unet"], name: (8, 8)}).part
    where = "there" if part.evidence[0].name == name else part.evidence[0].name
    return f"{name} → {show_finding(part)}, {where}, {part.evidence[0].value}"


def test_each_of_these_tensors_is_of_a_text_encoder_or_a_vae() -> None:
    assert PARTS.strip().split("\n") == [describe_part(line) for line in PARTS.strip().split("\n")]


PARTS = """
first_stage_model.decoder.conv_in.weight → whole 99%, there, present
vae.decoder.conv_in.weight → whole 99%, there, present
cond_stage_model.transformer.text_model.embeddings.token_embedding.weight → whole 99%, there, present
cond_stage_model.transformer.embeddings.token_embedding.weight → whole 99%, there, present
cond_stage_model.model.token_embedding.weight → whole 99%, there, present
conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight → whole 99%, there, present
conditioner.embedders.0.model.token_embedding.weight → whole 99%, there, present
text_encoders.clip_l.transformer.text_model.embeddings.token_embedding.weight → whole 99%, there, present
text_encoders.t5xxl.transformer.shared.weight → whole 99%, there, present
text_encoder.text_model.embeddings.token_embedding.weight → whole 99%, there, present
something.else.weight → unet 85%, (no prefix), alone
"""
