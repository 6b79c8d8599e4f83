"""Print the layouts of the families: names, sizes and counts of layers, as the inspection compares them.

    python scripts/layouts.py [FAMILY …]

A development tool: it needs torch and diffusers (and spandrel for upscalers), which nothing else here does. It makes
each class that ``families.toml`` names on torch's meta device, which takes no memory, and writes ``layouts.txt``. A new
family is a record there and a run of this script.
"""

import importlib
import inspect
import pkgutil
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

import diffusers
import spandrel.architectures
import torch
from torch import nn

FOLDER = Path(__file__).parent.parent / "src/modelyard/inspection"
TABLE = FOLDER / "layouts.txt"
NUMBER = re.compile(r"(?<![^_])\d+(?![^_])")
Layers = list[tuple[str, tuple[int, ...]]]

SDXL_CONTROL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SDXL = SDXL_CONTROL | {"up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")}
HUNYUAN_DIT = {
    "in_channels": 4,
    "patch_size": 2,
    "hidden_size": 1408,
    "num_layers": 40,
    "mlp_ratio": 4.3637,
    "cross_attention_dim": 1024,
    "sample_size": 128,
}
LTXV_095 = {
    "block_out_channels": (128, 256, 512, 1024, 2048),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "decoder_block_out_channels": (256, 512, 1024),
    "layers_per_block": (4, 6, 6, 2, 2),
    "decoder_layers_per_block": (5, 5, 5, 5),
    "spatio_temporal_scaling": (True, True, True, True),
    "decoder_spatio_temporal_scaling": (True, True, True),
    "decoder_inject_noise": (False, False, False, False),
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "upsample_residual": (True, True, True),
    "upsample_factor": (2, 2, 2),
    "timestep_conditioning": True,
}


# --- networks that no installed package has a class for: the names and sizes of their published code ---


def blocks(prefix: str, count: int, **sizes: tuple[int, ...]) -> Layers:
    """Repeat the layers of a block; a double underscore in a keyword stands for a dot."""
    return [(f"{prefix}.{index}.{name}", size) for index in range(count) for name, size in sizes.items()]


def stream(name: str, width: int, mlp: int, *, gated: bool = False) -> dict[str, tuple[int, ...]]:
    """The layers of one stream of a double block of Black Forest Labs."""
    return {
        f"{name}_attn.qkv": (3 * width, width),
        f"{name}_attn.proj": (width, width),
        f"{name}_mlp.0": ((2 if gated else 1) * mlp, width),
        f"{name}_mlp.2": (width, mlp),
    }


def bfl_flux(*, guidance: bool = True, context: int = 4096, vector: bool = True, width: int = 3072) -> Layers:
    """Flux.1 in the names of Black Forest Labs."""
    embedders = ["time_in"] + ["guidance_in"] * guidance + ["vector_in"] * vector
    layers: Layers = [("img_in", (width, 64)), ("txt_in", (width, context))]
    for name in embedders:
        layers += [(f"{name}.in_layer", (width, 768 if name == "vector_in" else 256))]
        layers += [(f"{name}.out_layer", (width, width))]
    modulation = {f"{name}_mod.lin": (6 * width, width) for name in ("img", "txt")}
    double = stream("img", width, 4 * width) | stream("txt", width, 4 * width) | modulation
    layers += blocks("double_blocks", 19, **double)
    single = {"linear1": (7 * width, width), "linear2": (width, 5 * width), "modulation.lin": (3 * width, width)}
    layers += blocks("single_blocks", 38, **single)
    return [*layers, ("final_layer.linear", (64, width)), ("final_layer.adaLN_modulation.1", (2 * width, width))]


def bfl_chroma(width: int = 3072) -> Layers:
    """Chroma: Flux.1 with a network that gives the modulation."""
    layers: Layers = [("img_in", (width, 64)), ("txt_in", (width, 4096)), ("final_layer.linear", (64, width))]
    layers += blocks("double_blocks", 19, **stream("img", width, 4 * width), **stream("txt", width, 4 * width))
    layers += blocks("single_blocks", 38, linear1=(7 * width, width), linear2=(width, 5 * width))
    guidance = "distilled_guidance_layer"
    layers += [(f"{guidance}.in_proj", (5120, 64)), (f"{guidance}.out_proj", (3072, 5120))]
    return layers + blocks(f"{guidance}.layers", 5, in_layer=(5120, 5120), out_layer=(5120, 5120))


def bfl_flux2(width: int, context: int, double: int, single: int, *, guidance: bool = True) -> Layers:
    """Flux.2: gated MLPs, and a modulation that all blocks share."""
    layers: Layers = [("img_in", (width, 128)), ("txt_in", (width, context))]
    for name in ["time_in"] + ["guidance_in"] * guidance:
        layers += [(f"{name}.in_layer", (width, 256)), (f"{name}.out_layer", (width, width))]
    streams = stream("img", width, 3 * width, gated=True) | stream("txt", width, 3 * width, gated=True)
    layers += blocks("double_blocks", double, **streams)
    layers += blocks("single_blocks", single, linear1=(9 * width, width), linear2=(width, 4 * width))
    layers += [(f"double_stream_modulation_{name}.lin", (6 * width, width)) for name in ("img", "txt")]
    layers += [("single_stream_modulation.lin", (3 * width, width)), ("final_layer.linear", (128, width))]
    return [*layers, ("final_layer.adaLN_modulation.1", (2 * width, width))]


def sai_sd3(depth: int, positions: int, dual: int = 0) -> Layers:
    """Stable Diffusion 3 in the names of Stability AI: its width is 64 a block."""
    width = 64 * depth
    layers: Layers = [("x_embedder.proj", (width, 16, 2, 2)), ("context_embedder", (width, 4096))]
    layers += [("t_embedder.mlp.0", (width, 256)), ("t_embedder.mlp.2", (width, width))]
    layers += [("y_embedder.mlp.0", (width, 2048)), ("y_embedder.mlp.2", (width, width))]
    layers += [("pos_embed", (1, positions * positions, width)), ("final_layer.linear", (64, width))]
    layers += [("final_layer.adaLN_modulation.1", (2 * width, width))]
    for index in range(depth):
        for part in ("context_block", "x_block"):
            name, is_last = f"joint_blocks.{index}.{part}", part == "context_block" and index == depth - 1
            is_dual = part == "x_block" and index < dual
            layers += [(f"{name}.attn.qkv", (3 * width, width))]
            if is_dual:
                layers += [(f"{name}.attn2.qkv", (3 * width, width)), (f"{name}.attn2.proj", (width, width))]
            if not is_last:
                layers += [(f"{name}.attn.proj", (width, width)), (f"{name}.mlp.fc1", (4 * width, width))]
                layers += [(f"{name}.mlp.fc2", (width, 4 * width))]
            chunks = 2 if is_last else 9 if is_dual else 6
            layers += [(f"{name}.adaLN_modulation.1", (chunks * width, width))]
    return layers


def next_dit(width: int, depth: int, context: int, mlp: int, heads: int, kv_heads: int | None = None) -> Layers:
    """Lumina 2 and Z-Image in the names of their authors: one layer for query, key and value."""
    keys = width // heads * (kv_heads or heads)
    time = min(width, 1024) if kv_heads else 256
    attention = {"attention.qkv": (width + 2 * keys, width), "attention.out": (width, width)}
    feed = {f"feed_forward.w{number}": (width, mlp) if number == 2 else (mlp, width) for number in (1, 2, 3)}
    name = "adaLN_modulation.1" if kv_heads else "adaLN_modulation.0"
    modulated = attention | feed | {name: (4 * width, time)}
    layers = blocks("layers", depth, **modulated) + blocks("noise_refiner", 2, **modulated)
    layers += blocks("context_refiner", 2, **attention, **feed)
    layers += [("cap_embedder.1", (width, context)), ("t_embedder.mlp.0", (1024, 256))]
    layers += [("t_embedder.mlp.2", (time, 1024)), ("x_embedder", (width, 64)), ("final_layer.linear", (64, width))]
    layers += [("final_layer.adaLN_modulation.1", (width, time))]
    return layers + ([] if kv_heads else [("x_pad_token", (1, width)), ("cap_pad_token", (1, width))])


def z_image_control(count: int, refiners: int, channels: int, width: int = 3840, mlp: int = 10240) -> Layers:
    """The control network of Z-Image in its authors' names."""
    block = {
        "attention.qkv": (3 * width, width),
        "attention.out": (width, width),
        "adaLN_modulation.0": (4 * width, 256),
    }
    block |= {f"feed_forward.w{number}": (width, mlp) if number == 2 else (mlp, width) for number in (1, 2, 3)}
    block |= {"after_proj": (width, width)}
    layers = blocks("control_layers", count, **block) + blocks("control_noise_refiner", refiners, **block)
    layers += [
        ("control_layers.0.before_proj", (width, width)),
        ("control_noise_refiner.0.before_proj", (width, width)),
    ]
    return [*layers, ("control_all_x_embedder.2-1", (width, 4 * channels))]


def wan(width: int, mlp: int, depth: int, channels: int = 16, *, image: bool = False) -> Layers:
    """Wan in the names of its authors."""
    out = 48 if channels == 48 else 16
    block = {f"{kind}_attn.{name}": (width, width) for kind in ("self", "cross") for name in "qkvo"}
    block |= {"ffn.0": (mlp, width), "ffn.2": (width, mlp), "modulation": (1, 6, width)}
    if image:
        block |= {"cross_attn.k_img": (width, width), "cross_attn.v_img": (width, width)}
    layers = blocks("blocks", depth, **block)
    layers += [("patch_embedding", (width, channels, 1, 2, 2)), ("text_embedding.0", (width, 4096))]
    layers += [("text_embedding.2", (width, width)), ("time_embedding.0", (width, 256))]
    layers += [("time_embedding.2", (width, width)), ("time_projection.1", (6 * width, width))]
    layers += [("head.head", (4 * out, width)), ("head.modulation", (1, 2, width))]
    if image:
        layers += [("img_emb.proj.1", (1280, 1280)), ("img_emb.proj.3", (width, 1280))]
    return layers


def hunyuan(width: int, double: int, single: int) -> Layers:
    """Hunyuan Video and HunyuanImage: Flux's blocks in other names, and a refiner of the text."""
    mlp = 4 * width
    block: dict[str, tuple[int, ...]] = {}
    for name in ("img", "txt"):
        block |= {f"{name}_attn_qkv": (3 * width, width), f"{name}_attn_proj": (width, width)}
        block |= {f"{name}_mlp.fc1": (mlp, width), f"{name}_mlp.fc2": (width, mlp)}
        block |= {f"{name}_mod.linear": (6 * width, width), f"{name}_attn.qkv": (3 * width, width)}
        block |= {f"{name}_attn.proj": (width, width), f"{name}_mlp.0": (mlp, width), f"{name}_mlp.2": (width, mlp)}
        block |= {f"{name}_mod.lin": (6 * width, width)}
    layers = blocks("double_blocks", double, **block)
    layers += blocks(
        "single_blocks",
        single,
        linear1=(3 * width + mlp, width),
        linear2=(width, width + mlp),
        **{"modulation.linear": (3 * width, width), "modulation.lin": (3 * width, width)},
    )
    refiner = "txt_in.individual_token_refiner.blocks"
    sizes = {"self_attn_qkv": (3 * width, width), "self_attn_proj": (width, width), "mlp.fc1": (mlp, width)}
    sizes |= {"mlp.fc2": (width, mlp), "adaLN_modulation.1": (2 * width, width), "self_attn.qkv": (3 * width, width)}
    sizes |= {"self_attn.proj": (width, width), "mlp.0": (mlp, width), "mlp.2": (width, mlp)}
    return layers + blocks(refiner, 2, **sizes)


def cosmos(width: int, depth: int, *, adapter: bool = False) -> Layers:
    """Cosmos Predict2 in the names of NVIDIA; Anima has an adapter to its language model beside it."""
    block: dict[str, tuple[int, ...]] = {}
    for kind, context in (("self", width), ("cross", 1024)):
        sizes = {"q": width, "k": context, "v": context, "output": width}
        block |= {f"{kind}_attn.{name}_proj": (width, size) for name, size in sizes.items()}
        block |= {f"adaln_modulation_{kind}_attn.1": (256, width), f"adaln_modulation_{kind}_attn.2": (3 * width, 256)}
    block |= {"mlp.layer1": (4 * width, width), "mlp.layer2": (width, 4 * width)}
    block |= {"adaln_modulation_mlp.1": (256, width), "adaln_modulation_mlp.2": (3 * width, 256)}
    layers = blocks("blocks", depth, **block)
    layers += [("x_embedder.proj.1", (width, 68)), ("t_embedder.1.linear_1", (width, width))]
    layers += [("t_embedder.1.linear_2", (3 * width, width)), ("final_layer.linear", (64, width))]
    layers += [("final_layer.adaln_modulation.1", (256, width)), ("final_layer.adaln_modulation.2", (2 * width, 256))]
    if adapter:
        inner = {f"{kind}_attn.{name}_proj": (1024, 1024) for kind in ("self", "cross") for name in "qkvo"}
        layers += blocks("llm_adapter.blocks", 6, **inner, **{"mlp.0": (4096, 1024), "mlp.2": (1024, 4096)})
        layers += [("llm_adapter.embed", (32128, 1024)), ("llm_adapter.out_proj", (1024, 1024))]
    return layers


def genmo_mochi(width: int = 3072, text: int = 1536, depth: int = 48) -> Layers:
    """Mochi in the names of Genmo."""
    layers: Layers = []
    for index in range(depth):
        name, is_last = f"blocks.{index}", index == depth - 1
        layers += [(f"{name}.mod_x", (4 * width, width)), (f"{name}.attn.qkv_x", (3 * width, width))]
        layers += [(f"{name}.mod_y", ((1 if is_last else 4) * text, width)), (f"{name}.attn.qkv_y", (3 * width, text))]
        layers += [(f"{name}.attn.proj_x", (width, width)), (f"{name}.mlp_x.w1", (16384, width))]
        layers += [(f"{name}.mlp_x.w2", (width, 8192))]
        if not is_last:
            layers += [(f"{name}.attn.proj_y", (text, width)), (f"{name}.mlp_y.w1", (8192, text))]
            layers += [(f"{name}.mlp_y.w2", (text, 4096))]
    return layers


def fal_auraflow(width: int = 3072, double: int = 4, single: int = 32) -> Layers:
    """AuraFlow in the names of fal."""
    attention = {f"attn.w{number}{name}": (width, width) for number in (1, 2) for name in "qkvo"}
    mlp = {
        f"{name}.c_{part}": (width, 8192) if part == "proj" else (8192, width)
        for name in ("mlpX", "mlpC")
        for part in ("fc1", "fc2", "proj")
    }
    layers = blocks("double_layers", double, **attention, **mlp, **{f"mod{n}.1": (6 * width, width) for n in "XC"})
    one = {f"attn.w1{name}": (width, width) for name in "qkvo"} | {"modCX.1": (6 * width, width)}
    one |= {f"mlp.c_{part}": (width, 8192) if part == "proj" else (8192, width) for part in ("fc1", "fc2", "proj")}
    layers += blocks("single_layers", single, **one)
    layers += [("cond_seq_linear", (width, 2048)), ("init_x_linear", (width, 16)), ("final_linear", (16, width))]
    layers += [("t_embedder.mlp.0", (width, 256)), ("t_embedder.mlp.2", (width, width)), ("modF.1", (2 * width, width))]
    return [*layers, ("positional_encoding", (1, 4096, width)), ("register_tokens", (1, 8, width))]


def krea2(width: int = 6144, depth: int = 28, text: int = 2560) -> Layers:
    """Krea 2 in the names of Krea: gated attention, and a fusion of the text encoder's layers."""

    def block(size: int, keys: int) -> dict[str, tuple[int, ...]]:
        mlp = -(-int(2 * size / 3) * 4 // 128) * 128
        attention = {
            "wq": (size, size),
            "wk": (keys, size),
            "wv": (keys, size),
            "gate": (size, size),
            "wo": (size, size),
        }
        sizes = {f"attn.{name}": shape for name, shape in attention.items()}
        return sizes | {"mlp.gate": (mlp, size), "mlp.up": (mlp, size), "mlp.down": (size, mlp)}

    layers = blocks("blocks", depth, **block(width, width // 4))
    layers += blocks("txtfusion.layerwise_blocks", 2, **block(text, text))
    layers += blocks("txtfusion.refiner_blocks", 2, **block(text, text))
    layers += [("first", (width, 64)), ("tmlp.0", (width, 256)), ("tmlp.2", (width, width))]
    layers += [("txtfusion.projector", (1, 12)), ("txtmlp.1", (width, text)), ("txtmlp.3", (width, width))]
    return [*layers, ("last.linear", (64, width)), ("last.modulation.lin", (2, width)), ("tproj.1", (6 * width, width))]


def ideogram4(width: int = 4608, depth: int = 34, mlp: int = 12288) -> Layers:
    """Ideogram 4 in ComfyUI's names: one layer for query, key and value."""
    block = {"attention.qkv": (3 * width, width), "attention.o": (width, width), "adaln_modulation": (4 * width, 512)}
    block |= {f"feed_forward.w{number}": (width, mlp) if number == 2 else (mlp, width) for number in (1, 2, 3)}
    layers = blocks("layers", depth, **block)
    layers += [("input_proj", (width, 128)), ("llm_cond_proj", (width, 53248)), ("adaln_proj", (512, width))]
    layers += [("t_embedding.mlp_in", (width, width)), ("t_embedding.mlp_out", (width, width))]
    layers += [("embed_image_indicator", (2, width)), ("final_layer.linear", (128, width))]
    return [*layers, ("final_layer.adaln_modulation", (width, 512))]


def omnigen2(width: int = 2304, depth: int = 26, keys: int = 768, text: int = 2048, *, boogu: bool = False) -> Layers:
    """OmniGen 2; Boogu has double blocks before its single ones."""
    mlp = -(-4 * width // 256) * 256
    attention = {"to_q": (width, width), "to_k": (keys, width), "to_v": (keys, width), "to_out.0": (width, width)}
    feed = {"linear_1": (mlp, width), "linear_2": (width, mlp), "linear_3": (mlp, width)}
    plain = {f"attn.{name}": size for name, size in attention.items()}
    plain |= {f"feed_forward.{name}": size for name, size in feed.items()}
    modulated = plain | {"norm1.linear": (4 * width, 1024)}
    layers = blocks("noise_refiner", 2, **modulated) + blocks("ref_image_refiner", 2, **modulated)
    layers += blocks("context_refiner", 2, **plain)
    layers += blocks("single_stream_layers" if boogu else "layers", depth, **modulated)
    if boogu:
        joint = {
            f"img_instruct_attn.processor.{stream}_to_{name}": attention[f"to_{name}"]
            for stream in ("img", "instruct")
            for name in "qkv"
        }
        joint |= {f"img_instruct_attn.processor.{stream}_out": (width, width) for stream in ("img", "instruct")}
        joint |= {"img_instruct_attn.to_out.0": (width, width)}
        joint |= {f"img_self_attn.{name}": size for name, size in attention.items()}
        joint |= {
            f"{stream}_feed_forward.{name}": size for stream in ("img", "instruct") for name, size in feed.items()
        }
        norms = ("img_norm1", "img_norm2", "img_norm3", "instruct_norm1", "instruct_norm2")
        layers += blocks("double_stream_layers", 8, **joint, **{f"{name}.linear": (4 * width, 1024) for name in norms})
    layers += [
        ("x_embedder", (width, 64)),
        ("ref_image_patch_embedder", (width, 64)),
        ("image_index_embedding", (5, width)),
    ]
    layers += [("time_caption_embed.timestep_embedder.linear_1", (1024, 256))]
    layers += [("time_caption_embed.timestep_embedder.linear_2", (1024, 1024))]
    layers += [("time_caption_embed.caption_embedder.1", (width, text)), ("norm_out.linear_1", (width, 1024))]
    return [*layers, ("norm_out.linear_2", (64, width))]


def hunyuan3d(width: int = 1024, double: int = 16, single: int = 32) -> Layers:
    """Hunyuan3D 2: Flux's blocks over a shape's latents."""
    modulation = {f"{name}_mod.lin": (6 * width, width) for name in ("img", "txt")}
    layers = blocks("double_blocks", double, **stream("img", width, 4 * width), **stream("txt", width, 4 * width))
    layers += blocks("double_blocks", double, **modulation)
    one = {"linear1": (7 * width, width), "linear2": (width, 5 * width), "modulation.lin": (3 * width, width)}
    layers += blocks("single_blocks", single, **one)
    layers += [("latent_in", (width, 64)), ("cond_in", (width, 1536)), ("time_in.in_layer", (width, 256))]
    layers += [("time_in.out_layer", (width, width)), ("final_layer.linear", (64, width))]
    return [*layers, ("final_layer.adaLN_modulation.1", (2 * width, width))]


def ace_step(width: int = 2560, depth: int = 24) -> Layers:
    """ACE-Step 1: linear attention over music, and an encoder of lyrics."""
    linear = dict.fromkeys(("to_q", "to_k", "to_v", "to_out.0"), (width, width))
    block = {f"attn.{name}": size for name, size in linear.items()}
    block |= {f"cross_attn.{name}": size for name, size in linear.items()}
    block |= {f"cross_attn.{name}": (width, width) for name in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")}
    block |= {"scale_shift_table": (6, width)}
    inner = int(2.5 * width)
    block |= {"ff.inverted_conv.conv": (2 * inner, width, 1), "ff.depth_conv.conv": (2 * inner, 1, 3)}
    layers = blocks("transformer_blocks", depth, **block, **{"ff.point_conv.conv": (width, inner, 1)})
    lyric = {f"self_attn.linear_{name}": (1024, 1024) for name in ("q", "k", "v", "out", "pos")}
    lyric |= {"self_attn.pos_bias_u": (16, 64), "self_attn.pos_bias_v": (16, 64)}
    layers += blocks(
        "lyric_encoder.encoders", 6, **lyric, **{"feed_forward.w_1": (4096, 1024), "feed_forward.w_2": (1024, 4096)}
    )
    layers += [("lyric_encoder.embed.out.0", (1024, 1024)), ("lyric_embs", (6693, 1024)), ("lyric_proj", (width, 1024))]
    layers += [("speaker_embedder", (width, 512)), ("genre_embedder", (width, 768)), ("t_block.1", (6 * width, width))]
    layers += [("timestep_embedder.linear_1", (width, 256)), ("timestep_embedder.linear_2", (width, width))]
    for index, size in enumerate((1024, 768)):
        layers += [(f"projectors.{index}.0", (2 * width, width)), (f"projectors.{index}.2", (2 * width, 2 * width))]
        layers += [(f"projectors.{index}.4", (size, 2 * width))]
    layers += [("proj_in.early_conv_layers.0", (2048, 8, 16, 1)), ("proj_in.early_conv_layers.2", (width, 2048, 1, 1))]
    return [*layers, ("final_layer.linear", (128, width)), ("final_layer.scale_shift_table", (2, width))]


def ace_step_15(width: int = 2048, mlp: int = 6144, depth: int = 24) -> Layers:
    """ACE-Step 1.5 in its authors' names: its decoder has blocks of a language model; and what conditions it."""
    attention = {"q_proj": (width, width), "k_proj": (width // 2, width), "v_proj": (width // 2, width)}
    attention |= {"o_proj": (width, width)}
    own = {f"self_attn.{name}": size for name, size in attention.items()}
    own |= {"mlp.gate_proj": (mlp, width), "mlp.up_proj": (mlp, width), "mlp.down_proj": (width, mlp)}
    cross = {f"cross_attn.{name}": size for name, size in attention.items()} | {"scale_shift_table": (1, 6, width)}
    layers = blocks("decoder.layers", depth, **own, **cross)
    layers += [("decoder.proj_in.1", (width, 192, 2)), ("decoder.proj_out.1", (width, 64, 2))]
    layers += [("decoder.condition_embedder", (width, width)), ("decoder.scale_shift_table", (1, 2, width))]
    for name in ("time_embed", "time_embed_r"):
        layers += [(f"decoder.{name}.linear_1", (width, 256)), (f"decoder.{name}.linear_2", (width, width))]
        layers += [(f"decoder.{name}.time_proj", (6 * width, width))]
    for part, count in (("encoder.lyric_encoder", 8), ("encoder.timbre_encoder", 4), ("tokenizer.attention_pooler", 2)):
        layers += blocks(f"{part}.layers", count, **own)
    layers += blocks("detokenizer.layers", 2, **own)
    layers += [("encoder.text_projector", (width, 1024)), ("encoder.lyric_encoder.embed_tokens", (width, 1024))]
    layers += [("encoder.timbre_encoder.embed_tokens", (width, 64)), ("tokenizer.audio_acoustic_proj", (width, 64))]
    layers += [
        ("tokenizer.attention_pooler.embed_tokens", (width, width)),
        ("detokenizer.embed_tokens", (width, width)),
    ]
    layers += [("tokenizer.quantizer.project_in", (6, width)), ("tokenizer.quantizer.project_out", (width, 6))]
    layers += [("detokenizer.proj_out", (64, width)), ("detokenizer.special_tokens", (1, 5, width))]
    tokens = ("null_condition_emb", "encoder.timbre_encoder.special_token", "tokenizer.attention_pooler.special_token")
    return layers + [(name, (1, 1, width)) for name in tokens]


def seedvr2(width: int, depth: int, *, apart: int = 10, gated: bool = True) -> Layers:
    """SeedVR2: video and text have layers of their own in the first blocks (``apart``), then share them."""
    mlp = 256 * -(-8 * width // 768) if gated else 4 * width
    layers: Layers = [("vid_in.proj", (width, 132)), ("txt_in", (width, 5120)), ("vid_out.proj", (64, width))]
    layers += [("emb_in.proj_in", (width, 256)), ("emb_in.proj_hid", (width, width))]
    layers += [("emb_in.proj_out", (6 * width, width))]
    layers += [("positive_conditioning", (58, 5120)), ("negative_conditioning", (64, 5120))]
    for index in range(depth):
        for name in ("vid", "txt") if index < apart else ("all",):
            block = f"blocks.{index}"
            layers += [(f"{block}.attn.proj_qkv.{name}", (3 * width, width))]
            layers += [(f"{block}.attn.proj_out.{name}", (width, width))]
            layers += [(f"{block}.mlp.{name}.proj_in", (mlp, width)), (f"{block}.mlp.{name}.proj_out", (width, mlp))]
            layers += [(f"{block}.mlp.{name}.proj_in_gate", (mlp, width))] if gated else []
    return layers


def hidream_o1(width: int = 4096, eyes: int = 1152) -> Layers:
    """HiDream-O1: Qwen3-VL 8B, which draws pixels. Its language model has its name in front; without it, the layers
    are those of any language model of this size."""
    block = {"self_attn.q_proj": (width, width), "self_attn.k_proj": (1024, width), "self_attn.v_proj": (1024, width)}
    block |= {
        "self_attn.o_proj": (width, width),
        "mlp.gate_proj": (3 * width, width),
        "mlp.up_proj": (3 * width, width),
    }
    layers = blocks("language_model.layers", 36, **block, **{"mlp.down_proj": (width, 3 * width)})
    seen = {"attn.qkv": (3 * eyes, eyes), "attn.proj": (eyes, eyes)}
    layers += blocks("visual.blocks", 27, **seen, **{"mlp.linear_fc1": (4304, eyes), "mlp.linear_fc2": (eyes, 4304)})
    layers += [("visual.patch_embed.proj", (eyes, 3, 2, 16, 16)), ("visual.pos_embed", (2304, eyes))]
    layers += [("visual.merger.linear_fc1", (4 * eyes, 4 * eyes)), ("visual.merger.linear_fc2", (width, 4 * eyes))]
    layers += [("language_model.embed_tokens", (151936, width)), ("final_layer2.linear", (3072, width))]
    layers += [("t_embedder1.mlp.0", (width, 256)), ("t_embedder1.mlp.2", (width, width))]
    return [*layers, ("x_embedder.proj1", (1024, 3072)), ("x_embedder.proj2", (width, 1024))]


def nunchaku_qwen(depth: int = 60) -> Layers:
    """Qwen-Image quantised by nunchaku: layers packed together, of sizes that say nothing."""
    names = ("attn.to_qkv", "attn.add_qkv_proj", "attn.to_out.0", "attn.to_add_out", "img_mod.1", "txt_mod.1")
    feed = tuple(f"{stream}_mlp.net.{part}" for stream in ("img", "txt") for part in ("0.proj", "2"))
    layers = [(f"transformer_blocks.{index}.{name}", ()) for index in range(depth) for name in (*names, *feed)]
    ends = ("img_in", "txt_in", "proj_out", "norm_out.linear", "time_text_embed.timestep_embedder.linear_1")
    return [*layers, *((name, ()) for name in ends)]


def nunchaku_z_image(depth: int = 30) -> Layers:
    """Z-Image quantised by nunchaku."""
    names = ("attention.to_qkv", "attention.to_out.0", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
    every = (*names, "adaLN_modulation.0")
    groups = (("layers", depth, every), ("noise_refiner", 2, every), ("context_refiner", 2, names))
    layers = [
        (f"{group}.{index}.{name}", ()) for group, count, parts in groups for index in range(count) for name in parts
    ]
    ends = ("cap_embedder.1", "t_embedder.mlp.0", "x_pad_token", "cap_pad_token", "all_x_embedder.2-1")
    return [
        *layers,
        *((name, ()) for name in (*ends, "all_final_layer.2-1.linear", "all_final_layer.2-1.adaLN_modulation.1")),
    ]


def lens(width: int = 1536, depth: int = 48, text: int = 2880) -> Layers:
    """Lens: two streams, each with one layer for query, key and value."""
    mlp = 8 * width // 3
    block: dict[str, tuple[int, ...]] = {"attn.to_out.0": (width, width), "attn.to_add_out": (width, width)}
    for name in ("img", "txt"):
        block |= {f"attn.{name}_qkv": (3 * width, width), f"{name}_mod.1": (6 * width, width)}
        block |= {f"{name}_mlp.w1": (mlp, width), f"{name}_mlp.w2": (width, mlp), f"{name}_mlp.w3": (mlp, width)}
    layers = blocks("transformer_blocks", depth, **block)
    layers += [("img_in", (width, 128)), ("txt_in", (width, 4 * text)), ("norm_out.linear", (2 * width, width))]
    layers += [("time_text_embed.timestep_embedder.linear_1", (width, 256)), ("proj_out", (128, width))]
    return [*layers, ("time_text_embed.timestep_embedder.linear_2", (width, width))]


def ldm_unet(
    context: int,
    channels: tuple[int, ...] = (320, 640, 1280, 1280),
    depths: tuple[int, ...] = (1, 1, 1, 0),
    middle: int | None = 1,
    *,
    inputs: int = 4,
    linear: bool = False,
    adm: int = 0,
    classes: int = 0,
    residuals: int = 2,
    outer: tuple[int, ...] | None = None,
) -> Layers:
    """A UNet of latent diffusion: channels and depth of the transformers by level."""
    time = 4 * channels[0]
    layers: Layers = [("time_embed.0", (time, channels[0])), ("time_embed.2", (time, time))]
    layers += [("label_emb.0.0", (time, adm)), ("label_emb.0.2", (time, time))] if adm else []
    layers += [("label_emb", (classes, time))] if classes else []

    def residual(name: str, before: int, after: int) -> Layers:
        found: Layers = [(f"{name}.in_layers.2", (after, before, 3, 3)), (f"{name}.emb_layers.1", (after, time))]
        found += [(f"{name}.out_layers.3", (after, after, 3, 3))]
        return found + ([(f"{name}.skip_connection", (after, before, 1, 1))] if before != after else [])

    def transformer(name: str, width: int, depth: int) -> Layers:
        ends = (width, width) if linear else (width, width, 1, 1)
        inner: dict[str, tuple[int, ...]] = {"ff.net.0.proj": (8 * width, width), "ff.net.2": (width, 4 * width)}
        for number, source in ((1, width), (2, context)):
            inner |= {f"attn{number}.to_q": (width, width), f"attn{number}.to_out.0": (width, width)}
            inner |= {f"attn{number}.to_k": (width, source), f"attn{number}.to_v": (width, source)}
        return [
            (f"{name}.proj_in", ends),
            (f"{name}.proj_out", ends),
            *blocks(f"{name}.transformer_blocks", depth, **inner),
        ]

    layers += [("input_blocks.0.0", (channels[0], inputs, 3, 3))]
    stack, number, before = [channels[0]], 1, channels[0]
    for level, width in enumerate(channels):
        for _ in range(residuals):
            layers += residual(f"input_blocks.{number}.0", before, width)
            layers += transformer(f"input_blocks.{number}.1", width, depths[level]) if depths[level] else []
            before, number = width, number + 1
            stack.append(width)
        if level < len(channels) - 1:
            layers += [(f"input_blocks.{number}.0.op", (width, width, 3, 3))]
            stack.append(width)
            number += 1
    if middle is not None:
        layers += residual("middle_block.0", before, before) + residual("middle_block.2", before, before)
        layers += transformer("middle_block.1", before, middle) if middle else []
    number = 0
    for level, width in reversed(list(enumerate(channels))):
        depth = (outer or depths)[level]
        for index in range(residuals + 1):
            layers += residual(f"output_blocks.{number}.0", before + stack.pop(), width)
            layers += transformer(f"output_blocks.{number}.1", width, depth) if depth else []
            if index == residuals and level:
                layers += [(f"output_blocks.{number}.{2 if depth else 1}.conv", (width, width, 3, 3))]
            before, number = width, number + 1
    return [*layers, ("out.2", (4, channels[0], 3, 3))]


def taesd_pair(channels: int) -> Layers:
    """TAESD as ComfyUI's two halves in one file."""
    sizes = [(64, 3, 3, 3), (64, 64, 3, 3), (channels, 64, 3, 3)]
    layers: Layers = []
    for half, count in (("taesd_encoder", 15), ("taesd_decoder", 20)):
        layers += [(f"{half}.{index}", size) for index in range(count) for size in sizes]
        layers += [(f"{half}.{index}.conv.{number}", sizes[1]) for index in range(count) for number in (0, 2, 4)]
        layers += [(f"{half}.1", (64, channels, 3, 3)), (f"{half}.19", (3, 64, 3, 3))]
    return layers


def t5(width: int, mlp: int, depth: int, heads: int, words: int, *, each: bool = False, prefix: str = "") -> Layers:
    """T5's encoder in the names of transformers; ``each``: every block has its table of positions."""
    inner = 64 * heads
    layers: Layers = [("shared", (words, width)), ("encoder.embed_tokens", (words, width))]
    for index in range(depth):
        block = f"encoder.block.{index}.layer"
        layers += [(f"{block}.0.SelfAttention.{name}", (inner, width)) for name in "qkv"]
        layers += [(f"{block}.0.SelfAttention.o", (width, inner)), (f"{block}.1.DenseReluDense.wo", (width, mlp))]
        layers += [(f"{block}.1.DenseReluDense.wi_{number}", (mlp, width)) for number in (0, 1)]
        if each or index == 0:
            layers += [(f"{block}.0.SelfAttention.relative_attention_bias", (32, heads))]
    return [(prefix + name, size) for name, size in layers] if prefix else layers


def umt5(width: int, mlp: int, depth: int, heads: int, words: int) -> Layers:
    """umT5's encoder in the names of Wan."""
    attention = {f"attn.{name}": (width, width) for name in "qkvo"}
    feed = {"ffn.gate.0": (mlp, width), "ffn.fc1": (mlp, width), "ffn.fc2": (width, mlp)}
    layers = blocks("blocks", depth, **attention, **feed, **{"pos_embedding.embedding": (32, heads)})
    return [*layers, ("token_embedding", (words, width))]


def language_model(
    width: int, mlp: int, depth: int, heads: int, kv_heads: int, head: int, words: int, vision: tuple[int, ...] = ()
) -> Layers:
    """A language model in the names of transformers, and of llama.cpp."""
    sizes = {"q": (heads * head, width), "k": (kv_heads * head, width), "v": (kv_heads * head, width)}
    sizes |= {"o": (width, heads * head)}
    feed = {"gate": (mlp, width), "up": (mlp, width), "down": (width, mlp)}
    block = {f"self_attn.{name}_proj": size for name, size in sizes.items()}
    layers = blocks("model.layers", depth, **block, **{f"mlp.{name}_proj": size for name, size in feed.items()})
    layers += [("model.embed_tokens", (words, width)), ("lm_head", (words, width))]
    llama = {f"attn_{'output' if name == 'o' else name}": size for name, size in sizes.items()}
    layers += blocks("blk", depth, **llama, **{f"ffn_{name}": size for name, size in feed.items()})
    layers += [("token_embd", (words, width)), ("output", (words, width))]
    return layers + (vision_tower(*vision) if vision else [])


def vision_tower(width: int, mlp: int, depth: int, out: int) -> Layers:
    """The eyes of a language model, in the names of Qwen, of Pixtral and of SigLIP."""
    wide, back, square = (mlp, width), (width, mlp), (width, width)
    qwen = {"attn.qkv": (3 * width, width), "attn.proj": square}
    qwen |= {"mlp.gate_proj": wide, "mlp.up_proj": wide, "mlp.down_proj": back}
    layers = blocks("model.visual.blocks", depth, **qwen)
    layers += [("model.visual.patch_embed.proj", (width, 3, 2, 14, 14))]
    layers += [("model.visual.merger.mlp.0", (4 * width, 4 * width)), ("model.visual.merger.mlp.2", (out, 4 * width))]
    pixtral = {f"attention.{name}_proj": square for name in "qkvo"}
    pixtral |= {"feed_forward.gate_proj": wide, "feed_forward.up_proj": wide, "feed_forward.down_proj": back}
    layers += blocks("vision_tower.transformer.layers", depth, **pixtral)
    layers += [("vision_tower.patch_conv", (width, 3, 14, 14))]
    layers += [("multi_modal_projector.linear_1", (out, width)), ("multi_modal_projector.linear_2", (out, out))]
    layers += [("multi_modal_projector.patch_merger.merging_layer", (width, 4 * width))]
    siglip = {f"self_attn.{name}_proj": square for name in ("q", "k", "v", "out")} | {"mlp.fc1": wide, "mlp.fc2": back}
    for tower in ("vision_tower.vision_model", "vision_model"):
        layers += blocks(f"{tower}.encoder.layers", depth, **siglip)
        layers += [(f"{tower}.embeddings.patch_embedding", (width, 3, 14, 14))]
        layers += [(f"{tower}.embeddings.position_embedding", (4096, width))]
    return [*layers, ("multi_modal_projector.mm_input_projection_weight", (width, out))]


def dinov2(width: int, depth: int) -> Layers:
    """DINOv2 in the names of transformers."""
    layers: Layers = [("embeddings.cls_token", (1, 1, width)), ("embeddings.mask_token", (1, width))]
    layers += [("embeddings.position_embeddings", (1, 1370, width))]
    layers += [("embeddings.patch_embeddings.projection", (width, 3, 14, 14))]
    block = {f"attention.attention.{name}": (width, width) for name in ("query", "key", "value")}
    block |= {"attention.output.dense": (width, width), "mlp.weights_in": (8192, width)}
    block |= {"mlp.gate_proj": (4096, width), "mlp.up_proj": (4096, width), "mlp.down_proj": (width, 4096)}
    return layers + blocks("encoder.layer", depth, **block, **{"mlp.weights_out": (width, 4096)})


# --- printing ---


def layers_of(source: str) -> Layers:
    """Make the network of a line of ``families.toml`` without memory, and list its layers."""
    name = source.partition("(")[0]
    scope = globals() if name in globals() else globals() | {name: getattr(diffusers, name)}
    with torch.device("meta"):
        network = eval(source, scope)  # noqa: S307  # our own file
    return list_layers(network) if isinstance(network, nn.Module) else network


def list_layers(network: nn.Module) -> Layers:
    """List a network's tensors of two and more dimensions."""
    state = network.state_dict()
    return [(name.removesuffix(".weight"), tuple(value.shape)) for name, value in state.items() if value.dim() > 1]


def show_layout(title: str, layers: Layers, *, has_sizes: bool = True) -> list[str]:
    """Return a layout as lines: a name with # for numbers, then its sizes and how many layers have them."""
    sizes: dict[str, Counter[str]] = {}
    for name, size in layers:
        pattern = NUMBER.sub("#", name.replace(".processor.", ".").replace(".", "_"))
        sizes.setdefault(pattern, Counter())["x".join(map(str, size)) or "*" if has_sizes else "*"] += 1
    rows = (" ".join([name, *(f"{size}:{count}" for size, count in counts.items())]) for name, counts in sizes.items())
    return [f"= {title}", *rows]


def upscalers() -> list[str]:
    """Print the architectures of spandrel, by names alone: their sizes are settings."""
    lines: list[str] = []
    packages = [(spandrel.architectures.__path__, "spandrel.architectures.")]
    extra = importlib.import_module("spandrel_extra_arches.architectures")
    packages.append((extra.__path__, "spandrel_extra_arches.architectures."))
    for path, prefix in packages:
        for module in sorted(pkgutil.iter_modules(path), key=lambda each: each.name):
            package = importlib.import_module(prefix + module.name)
            for name, cls in vars(package).items():
                if inspect.isclass(cls) and issubclass(cls, nn.Module) and module.name in cls.__module__:
                    try:
                        layers = list_layers(make_upscaler(cls))
                    except (TypeError, RuntimeError) as error:
                        print("left out:", name, error)
                        continue
                    lines += show_layout(f"upscaler {name}", layers, has_sizes=False)
    return lines


def make_upscaler(cls: type[nn.Module]) -> nn.Module:
    """Make a network of spandrel with the settings that it insists on; some compute with numbers, so not on meta."""
    settings = {"dim": 64, "num_in_ch": 3, "num_out_ch": 3, "image_size": 64, "input_image_size": 64}
    needs = inspect.signature(cls.__init__).parameters.values()
    return cls(
        **{each.name: settings[each.name] for each in needs if each.default is each.empty and each.name in settings}
    )


def main() -> None:
    """Write layouts.txt anew; with names of families as arguments, only theirs."""
    records = tomllib.loads((FOLDER / "families.toml").read_text())
    lines = ["# Written by scripts/layouts.py from families.toml; not to be edited."]
    chosen = sys.argv[1:] or [*records, "upscaler"]
    earlier: dict[str, list[str]] = {}
    for block in ("\n" + TABLE.read_text()).split("\n= ")[1:] if TABLE.exists() else ():
        earlier.setdefault(block.split()[0], []).extend(f"= {block.rstrip()}".split("\n"))
    for family, record in records.items():
        if family not in chosen:
            lines += earlier.get(family, [])
            continue
        for source in record.get("classes", []):
            try:
                lines += show_layout(family, layers_of(source))
            except (TypeError, ValueError, RuntimeError, AttributeError, AssertionError, KeyError, IndexError) as error:
                print("left out:", family, source[:80], error)
    lines += upscalers() if "upscaler" in chosen else earlier.get("upscaler", [])
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
