"""What metadata may decide, what it may not, and families that no header was recorded of."""

import json

import pytest

from modelyard.inspection import Header, Identity, Tensor, identify
from modelyard.inspection.findings import CERTAIN, LIKELY
from modelyard.inspection.header_metadata import bounded, trigger_words

SD1_WIDTH, SD2_WIDTH, SDXL_WIDTH = 768, 1024, 2048


def lora(
    width: int = SD1_WIDTH,
    metadata: dict[str, str] | None = None,
    layer: str = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k",
    ends: tuple[str, str] = ("lora_down", "lora_up"),
    **more: Tensor,
) -> Identity:
    down, up = (f"{layer}.{end}.weight" for end in ends)
    return identify(Header({down: Tensor("F16", (8, width)), up: Tensor("F16", (640, 8))} | more, metadata or {}))


def of(tensors: dict[str, tuple[int, ...]], metadata: dict[str, str] | None = None) -> Identity:
    return identify(Header({name: Tensor("F16", shape) for name, shape in tensors.items()}, metadata or {}))


SDXL_UNET = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
}


def test_sdxl_is_said_of_its_shape_and_the_ambiguity_with_it() -> None:
    base = of(SDXL_UNET).base_model

    assert "SDXL 1.0" == base.value
    assert base.confidence < LIKELY
    assert {"Pony", "Illustrious", "NoobAI"} <= set(base.candidates)
    assert any("Pony" in evidence.says for evidence in base.evidence)
    assert CERTAIN == of(SDXL_UNET).architecture.confidence


@pytest.mark.parametrize(
    ("trained_on", "base"),
    [
        ("ponyDiffusionV6XL_v6StartWithThisOne.safetensors", "Pony"),
        ("Illustrious-XL-v0.1.safetensors", "Illustrious"),
        ("noobaiXLNAIXL_epsilonPred11.safetensors", "NoobAI"),
        ("sd_xl_base_1.0.safetensors", "SDXL 1.0"),
    ],
)
def test_a_trainers_note_chooses_among_what_the_tensors_leave_open(trained_on: str, base: str) -> None:
    found = lora(SDXL_WIDTH, {"ss_sd_model_name": trained_on, "ss_base_model_version": "sdxl_base_v1-0"})

    assert (base, LIKELY) == (found.base_model.value, found.base_model.confidence)
    assert "ss_sd_model_name" in {evidence.name for evidence in found.base_model.evidence}


def test_a_familys_own_name_in_a_note_makes_nothing_surer() -> None:
    """kohya writes sdxl_base_v1-0 into every LoRA of SDXL's shape, Pony's too."""
    plain, noted = lora(SDXL_WIDTH), lora(SDXL_WIDTH, {"ss_base_model_version": "sdxl_base_v1-0"})

    assert plain.base_model.confidence == noted.base_model.confidence


def test_a_note_that_contradicts_the_tensors_is_shown_and_not_followed() -> None:
    found = lora(SD1_WIDTH, {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"})

    assert ("SD 1.5", "sd1") == (found.base_model.value, found.architecture.value)
    assert any("contradicts" in evidence.says for evidence in found.base_model.evidence)


def test_a_note_alone_speaks_where_no_rule_knows_the_tensors() -> None:
    found = of({"something.new": (4, 4)}, {"modelspec.architecture": "Flux-1-dev/lora"})

    assert ("lora", "Flux.1 D", "flux.1") == (found.type.value, found.base_model.value, found.architecture.value)
    assert found.type.confidence < LIKELY


def test_tensors_of_nothing_we_know_are_unknown() -> None:
    found = of({"a.weight": (4, 4), "b.bias": (4,)})

    assert {"unknown"} == {each.value for each in (found.type, found.base_model, found.base_model_type, found.dialect)}
    assert 20 == found.parameters
    assert "fp16" == found.precision.value


@pytest.mark.parametrize(
    ("channels", "variant"), [(4, "Standard"), (9, "Inpainting"), (8, "Pix2Pix"), (5, "Depth"), (7, "unknown")]
)
def test_the_first_convolution_tells_the_variant(channels: int, variant: str) -> None:
    found = of(
        {
            "model.diffusion_model.input_blocks.0.0.weight": (320, channels, 3, 3),
            "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
        }
    )

    assert ("checkpoint", "SD 2.x", variant) == (found.type.value, found.base_model.value, found.base_model_type.value)


def test_a_refiner_is_told_by_its_widths() -> None:
    found = of(
        {
            "model.diffusion_model.input_blocks.0.0.weight": (384, 4, 3, 3),
            "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": (768, 1280),
        }
    )

    assert ("SDXL 1.0", "Refiner") == (found.base_model.value, found.base_model_type.value)


@pytest.mark.parametrize("prefix", ["", "first_stage_model.", "vae."])
def test_a_vae_is_known_under_each_prefix_that_programs_give_it(prefix: str) -> None:
    shapes = {
        "decoder.conv_in.weight": (512, 4, 3, 3),
        "encoder.conv_in.weight": (128, 3, 3, 3),
        "decoder.conv_out.weight": (3, 128, 3, 3),
    }

    found = of({prefix + name: shape for name, shape in shapes.items()})

    assert ("vae", "kl-f8") == (found.type.value, found.architecture.value)


# The files of these bases have the same tensors, so that each of them is named.
SAME_TENSORS = {
    768: ("SD 1.5", {"SD 1.5", "SD 1.4"}),
    1024: ("SD 2.x", {"SD 2.0", "SD 2.0 768", "SD 2.1", "SD 2.1 768"}),
}
SDXL_BASES = {
    "SDXL 1.0",
    "SDXL 0.9",
    "SDXL Turbo",
    "SDXL Lightning",
    "SDXL Hyper",
    "SDXL 1.0 LCM",
    "Pony",
    "Illustrious",
    "NoobAI",
}


@pytest.mark.parametrize("width", SAME_TENSORS)
def test_a_unet_in_the_names_of_diffusers_names_every_base_of_its_width(width: int) -> None:
    base, bases = SAME_TENSORS[width]

    found = of(
        {
            "conv_in.weight": (320, 4, 3, 3),
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, width),
        }
    )

    assert (base, bases) == (found.base_model.value, set(found.base_model.candidates))


def test_a_checkpoint_of_sdxl_names_every_base_with_the_same_tensors() -> None:
    assert SDXL_BASES == set(of(SDXL_UNET).base_model.candidates)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("lora_down.weight", "lora_up.weight"), "lora"),
        (("lora_A.weight", "lora_B.weight"), "lora"),
        (("lora_A.default.weight", "lora_B.default.weight"), "lora"),
        (("lora.down.weight", "lora.up.weight"), "lora"),
        (("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"), "locon"),
        (("lokr_w1", "lokr_w2"), "locon"),
        (("lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"), "locon"),
        (("oft_diag",), "locon"),
        (("oft_blocks",), "locon"),
        (("diff",), "locon"),
        (("on_input",), "locon"),
        (("a1.weight", "a2.weight", "b1.weight", "b2.weight"), "locon"),
    ],
)
def test_every_spelling_of_an_adapters_parts_is_an_adapter(names: tuple[str, ...], kind: str) -> None:
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"

    found = of({f"{layer}.{name}": (8, 8) for name in names})

    assert kind == found.type.value


@pytest.mark.parametrize(
    ("width", "base"), [(5120, "Wan Video 14B t2v"), (1536, "Wan Video 1.3B t2v"), (999, "unknown")]
)
def test_the_width_of_a_wan_model_tells_its_size(width: int, base: str) -> None:
    found = of({"head.modulation": (1, 2, width), "blocks.0.cross_attn.k.weight": (width, width)})

    assert base == found.base_model.value


@pytest.mark.parametrize(("width", "architecture"), [(4096, "t5-xxl"), (2048, "unknown")])
def test_t5_in_the_names_of_llama_cpp_is_known_by_its_width(width: int, architecture: str) -> None:
    found = of({"enc.blk.0.attn_q.weight": (width, width), "token_embd.weight": (32128, width)})

    assert architecture == found.architecture.value


def test_a_lora_of_joint_attention_that_tells_neither_width_nor_depth_names_what_it_may_be() -> None:
    found = lora(640, layer="transformer.transformer_blocks.3.attn.add_k_proj", ends=("lora_A", "lora_B"))

    assert "unknown" == found.base_model.value
    assert {"Flux.1 D", "Qwen", "SD 3"} <= set(found.base_model.candidates)


@pytest.mark.parametrize(
    ("channels", "base"), [(64, "SD 1.5"), (192, "SD 1.5"), (256, "SDXL 1.0"), (768, "SDXL 1.0"), (320, "unknown")]
)
@pytest.mark.parametrize("names", ["original", "diffusers"])
def test_a_t2i_adapter_is_known_by_the_pixels_that_it_folds(names: str, channels: int, base: str) -> None:
    tensors = {
        "original": {"body.0.block1.weight": (320, 320, 3, 3), "conv_in.weight": (320, channels, 3, 3)},
        "diffusers": {
            "adapter.body.0.resnets.0.block1.weight": (320, 320, 3, 3),
            "adapter.conv_in.weight": (320, channels, 3, 3),
        },
    }

    found = of(tensors[names])

    assert base == found.base_model.value
    assert ("unknown" if base == "unknown" else "t2iadapter") == found.type.value


NORM = "double_blocks.0.img_attn.norm.key_norm.scale"
GUIDANCE = {"guidance_in.in_layer.weight": (3072, 256)}
FAMILIES = {
    "Flux.1 D": {"img_in.weight": (3072, 64), NORM: (128,)} | GUIDANCE,
    "AuraFlow": {"double_layers.0.attn.w1q.weight": (3072, 3072), "positional_encoding": (1, 4096, 3072)},
    "Lumina": {"cap_embedder.1.weight": (2304, 2304), "noise_refiner.0.attention.k_norm.weight": (96,)},
    "Wan Video 14B t2v": {
        "head.modulation": (1, 2, 5120),
        "blocks.0.cross_attn.k.weight": (5120, 5120),
        "patch_embedding.weight": (5120, 16, 1, 2, 2),
    },
    "Wan Video 14B i2v 480p": {
        "head.modulation": (1, 2, 5120),
        "blocks.0.cross_attn.k.weight": (5120, 5120),
        "patch_embedding.weight": (5120, 36, 1, 2, 2),
    },
    "Stable Cascade": {"clf.1.weight": (16, 2048, 1, 1), "clip_txt_mapper.weight": (2048, 1280)},
}


@pytest.mark.parametrize("base", FAMILIES)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_newer_families_are_known_alone_and_inside_a_checkpoint(base: str, prefix: str) -> None:
    found = of({prefix + name: shape for name, shape in FAMILIES[base].items()})

    assert ("checkpoint", base) == (found.type.value, found.base_model.value)
    assert "unet" == found.part.value


LORAS = {
    "lora_unet_double_blocks_0_img_mod_lin": (3072, "Flux.1 D"),
    "diffusion_model.single_blocks.3.linear1": (6144, "Flux.2 D"),
    "transformer.single_transformer_blocks.0.attn.to_k": (3072, "Flux.1 D"),
    "lora_unet_joint_blocks_0_x_block_attn_qkv": (2432, "SD 3.5 Large"),
    "diffusion_model.blocks.0.cross_attn.q": (5120, "Wan Video 14B t2v"),
    "transformer.transformer_blocks.45.attn.to_q": (3072, "Qwen"),
    "diffusion_model.layers.0.attention.to_q": (3840, "ZImageTurbo"),
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (2048, "SDXL 1.0"),
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k": (2048, "SDXL 1.0"),
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora": (768, "SD 1.5"),
    "lora_te2_text_model_encoder_layers_0_mlp_fc1": (1280, "SDXL 1.0"),
    "lora_te_text_model_encoder_layers_0_mlp_fc1": (1024, "SD 2.x"),
    "lora_unet_double_blocks_0_img_mlp_fc1": (3072, "Hunyuan Video"),
    "lora_unet_nothing_we_know": (77, "unknown"),
}


@pytest.mark.parametrize("layer", LORAS)
def test_the_layers_of_a_lora_tell_its_base(layer: str) -> None:
    width, base = LORAS[layer]

    found = lora(width, layer=layer, ends=("down", "up") if "processor" in layer else ("lora_down", "lora_up"))

    assert ("lora", base) == (found.type.value, found.base_model.value)


def test_a_direction_scale_makes_a_dora() -> None:
    scale = {"lora_unet_down_blocks_1_attentions_0_proj_in.dora_scale": Tensor("F16", (1, 640))}

    assert "dora" == lora(**scale).type.value


def test_a_convolution_makes_a_locon() -> None:
    conv = {"lora_unet_down_blocks_1_resnets_0_conv1.lora_down.weight": Tensor("F16", (8, 320, 3, 3))}

    assert "locon" == lora(**conv).type.value
    assert "lora" == lora().type.value


@pytest.mark.parametrize(
    ("ending", "shapes", "dialect"),
    [
        ("hada_w1_a hada_w1_b hada_w2_a hada_w2_b", [(640, 8), (8, 768), (640, 8), (8, 768)], "kohya loha"),
        ("lokr_w1 lokr_w2", [(16, 16), (40, 48)], "kohya lokr"),
        ("diff", [(640, 768)], "kohya full"),
    ],
)
def test_lycoris_kinds_are_locons_and_their_sizes_still_tell_the_base(
    ending: str, shapes: list[tuple[int, ...]], dialect: str
) -> None:
    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    found = of({f"{layer}.{end}": shape for end, shape in zip(ending.split(), shapes, strict=True)})

    assert ("locon", dialect, "SD 1.5") == (found.type.value, found.dialect.value, found.base_model.value)


def test_a_tensor_that_only_ends_like_a_lora_makes_no_adapter() -> None:
    found = of(SDXL_UNET | {"extra.alpha": (1,), "blocks.0.down.weight": (4, 4)})

    assert "checkpoint" == found.type.value


def test_an_ip_adapter_with_low_rank_factors_is_no_lora() -> None:
    ends = [f"{number}.to_q_lora.{end}.weight" for number in range(9) for end in ("down", "up")]
    factors = {f"ip_adapter.{end}": (128, 320) for end in ends}

    found = of(factors | {"ip_adapter.1.to_k_ip.weight": (320, 768), "image_proj.proj.weight": (3072, 512)})

    assert ("ipadapter", "SD 1.5") == (found.type.value, found.base_model.value)


def test_a_hypernetwork_is_known_by_its_pairs() -> None:
    names = [f"{width}.{pair}.linear.0.weight" for width in (320, 640, 768, 1280) for pair in (0, 1)]

    assert "hypernetwork" == of(dict.fromkeys(names, (640, 320))).type.value


def test_trigger_words_are_the_authors_then_those_of_every_caption() -> None:
    frequency = {"10_hero": {"hero": 40, "1girl": 39, "sky": 7}, "2_town": {"old town": 12, "street": 2}}
    notes = {"modelspec.trigger_phrase": "my hero, cape", "ss_tag_frequency": json.dumps(frequency)}

    assert ("my hero", "cape", "hero", "1girl", "old town") == trigger_words(notes)


@pytest.mark.parametrize("text", ["", "{", "[]", "[1]", '{"a": 1}', '{"a": {"b": "c"}}', "[" * 100_000])
def test_trigger_words_of_damaged_notes_are_none(text: str) -> None:
    assert () == trigger_words({"ss_tag_frequency": text})


def test_metadata_is_kept_within_bounds() -> None:
    kept = bounded(
        {"modelspec.thumbnail": "data:image/png;base64," + "A" * 9_000_000, "a\0": "b\0c", "long": "x" * 9_000}
    )

    assert "9,000,022 characters" in kept["modelspec.thumbnail"]
    assert "9,000 characters" in kept["long"]
    assert "\0" not in "".join([*kept, *kept.values()])
    assert sum(map(len, bounded({str(number): "x" * 1_000 for number in range(1_000)}).values())) <= 64_000


def test_a_text_encoder_that_is_rotated_in_blocks_tells_its_width() -> None:
    layer = "lora_te_text_model_encoder_layers_{}_self_attn_q_proj.oft_blocks"
    unet = "lora_unet_down_blocks_{}_attentions_0_transformer_blocks_0_attn1_to_q.oft_blocks"

    found = of({layer.format(0): (96, 8, 8), layer.format(1): (96, 8, 8), unet.format(0): (40, 8, 8)})

    assert ("SD 1.5", "sd1") == (found.base_model.value, found.architecture.value)
