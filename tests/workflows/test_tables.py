"""Every entry of the tables: which folder each loader reads each input from, and which kinds the generators name."""

import json
from typing import Any

import pytest

from modelyard.workflows import Need, read_needs
from tests.workflows.test_pictures import png

# Class, then its inputs and their folders; - for an input that names no file.
LOADERS = """
AudioEncoderLoader: audio_encoder_name audio_encoders
CLIPLoader: clip_name text_encoders
CLIPVisionLoader: clip_name clip_vision
CheckpointLoader: config_name configs, ckpt_name checkpoints
CheckpointLoaderSimple: ckpt_name checkpoints
ConditioningLoader: conditioning_name embeddings
ControlNetLoader: control_net_name controlnet
DiffControlNetLoader: model controlnet, control_net_name controlnet
DualCLIPLoader: clip_name1 text_encoders, clip_name2 text_encoders
FrameInterpolationModelLoader: model_name frame_interpolation
GLIGENLoader: gligen_name gligen
HypernetworkLoader: hypernetwork_name hypernetworks
ImageOnlyCheckpointLoader: ckpt_name checkpoints
LTXAVTextEncoderLoader: text_encoder text_encoders, ckpt_name checkpoints
LTXVAudioVAELoader: ckpt_name checkpoints
LatentUpscaleModelLoader: model_name latent_upscale_models
LoadBackgroundRemovalModel: model_name background_removal
LoadDA3Model: model_name geometry_estimation
LoadMoGeModel: model_name geometry_estimation
LoraLoader: lora_name loras
LoraLoaderBypass: lora_name loras
LoraLoaderBypassModelOnly: lora_name loras
LoraLoaderModelOnly: lora_name loras
LoraModelLoader: lora_name loras
ModelPatchLoader: name model_patches
OpticalFlowLoader: model_name optical_flow
PhotoMakerLoader: photomaker_model_name photomaker
QuadrupleCLIPLoader: clip_name1 text_encoders, clip_name2 text_encoders, clip_name3 text_encoders, clip_name4 text_encoders
SAM3DBody_Loader: model_name detection
StyleModelLoader: style_model_name style_models
TripleCLIPLoader: clip_name1 text_encoders, clip_name2 text_encoders, clip_name3 text_encoders
UNETLoader: unet_name diffusion_models
UpscaleModelLoader: model_name upscale_models
VAELoader: vae_name vae
unCLIPCheckpointLoader: ckpt_name checkpoints
CLIPLoaderGGUF: clip_name text_encoders
CheckpointLoaderNF4: ckpt_name checkpoints
DualCLIPLoaderGGUF: clip_name1 text_encoders, clip_name2 text_encoders
LoaderGGUF: gguf_name diffusion_models
LoaderGGUFAdvanced: gguf_name diffusion_models
NunchakuFluxDiTLoader: model_path diffusion_models
NunchakuFluxLoraLoader: lora_name loras
NunchakuQwenImageDiTLoader: model_name diffusion_models
NunchakuTextEncoderLoader: model_type -, text_encoder1 text_encoders, text_encoder2 text_encoders
QuadrupleCLIPLoaderGGUF: clip_name1 text_encoders, clip_name2 text_encoders, clip_name3 text_encoders, clip_name4 text_encoders
TripleCLIPLoaderGGUF: clip_name1 text_encoders, clip_name2 text_encoders, clip_name3 text_encoders
UnetLoaderGGUF: unet_name diffusion_models
UnetLoaderGGUFAdvanced: unet_name diffusion_models
UnetLoaderGGUFDisTorchMultiGPU: unet_name diffusion_models
CLIPLoaderMultiGPU: clip_name text_encoders
CheckpointLoaderSimpleMultiGPU: ckpt_name checkpoints
DualCLIPLoaderMultiGPU: clip_name1 text_encoders, clip_name2 text_encoders
UNETLoaderMultiGPU: unet_name diffusion_models
VAELoaderMultiGPU: vae_name vae
CR LoRA Stack: lora_name_* loras
CR Load LoRA: lora_name loras
Checkpoint Loader: ckpt_name checkpoints
Checkpoint Loader (Simple): ckpt_name checkpoints
CheckpointLoaderSimple|pysssss: ckpt_name checkpoints
CheckpointLoader|pysssss: ckpt_name checkpoints
Eff. Loader SDXL: base_ckpt_name checkpoints, refiner_ckpt_name checkpoints, vae_name vae
Efficient Loader: ckpt_name checkpoints, vae_name vae, lora_name loras
Image Saver: modelname checkpoints
LoRA Stacker: lora_name_* loras
Lora Loader (LoraManager): loras loras
Lora Loader Stack (rgthree): lora_* loras
Lora Stacker (LoraManager): loras loras
LoraLoader|pysssss: lora_name loras
LoraLoaderBlockWeight //Inspire: lora_name loras
LoraLoaderStackedAdvanced: lora_* loras
Power Lora Loader (rgthree): lora_* loras
VAE Loader (WLSH): vae_name vae
easy a1111Loader: ckpt_name checkpoints, vae_name vae, lora_name loras
easy comfyLoader: ckpt_name checkpoints, vae_name vae, lora_name loras
easy controlnetLoader: control_net_name controlnet
easy fullLoader: ckpt_name checkpoints, vae_name vae, lora_name loras
easy loraStack: lora_* loras
ttN pipeLoader: ckpt_name checkpoints, vae_name vae, lora1_name loras, lora2_name loras
ttN pipeLoader_v2: ckpt_name checkpoints, vae_name vae, loras loras
ACN_SparseCtrlLoaderAdvanced: sparsectrl_name controlnet
ADE_AnimateDiffLoRALoader: name animatediff_motion_lora
ADE_AnimateDiffLoaderGen1: model_name animatediff_models
ADE_AnimateDiffLoaderWithContext: model_name animatediff_models
ADE_LoadAnimateDiffModel: model_name animatediff_models
AnimateDiffLoaderV1: model_name animatediff_models
ControlNetLoaderAdvanced: control_net_name controlnet
FluxLoraLoader: lora_name xlabs/loras
IPAdapterFluxLoader: ipadapter ipadapter-flux
IPAdapterModelLoader: ipadapter_file ipadapter
InstantIDModelLoader: instantid_file instantid
LoadFluxControlNet: controlnet_path xlabs/controlnets
LoadFluxIPAdapter: ipadatper xlabs/ipadapters, clip_vision clip_vision
PulidFluxModelLoader: pulid_file pulid
PulidModelLoader: pulid_file pulid
FaceRestoreModelLoader: model_name facerestore_models
LayerMask: LoadSAM2Model: sam2_model sam2
ONNXDetectorProvider: model_name onnx
SAMLoader: model_name sams
SUPIR_model_loader: supir_model checkpoints, sdxl_model checkpoints
SUPIR_model_loader_v2: supir_model checkpoints
SeedVR2LoadDiTModel: model SEEDVR2
SeedVR2LoadVAEModel: model SEEDVR2
UltralyticsDetectorProvider: model_name ultralytics
easy hiresFix: model_name upscale_models
HyVideoLoraSelect: lora loras
HyVideoModelLoader: model diffusion_models
HyVideoVAELoader: model_name vae
LTXVQ8LoraModelLoader: lora_name loras
LoadWanVideoClipTextEncoder: model_name text_encoders
LoadWanVideoT5TextEncoder: model_name text_encoders
WanVideoExtraModelSelect: extra_model diffusion_models
WanVideoLoraSelect: lora loras
WanVideoLoraSelectMulti: lora_* loras
WanVideoModelLoader: model diffusion_models
WanVideoTextEncodeCached: model_name text_encoders
WanVideoTinyVAELoader: model_name vae_approx
WanVideoVACEModelSelect: vace_model diffusion_models
WanVideoVAELoader: model_name vae
"""  # noqa: E501 # one line a class


def needs_of(document: object) -> list[Need]:
    return [*read_needs(json.dumps(document).encode())]


def entries() -> dict[str, list[tuple[str, str]]]:
    """Each class with its inputs and their folders."""
    lines = (line.rpartition(": ") for line in LOADERS.strip().split("\n"))
    return {name: [tuple(part.split(" ", 1)) for part in inputs.split(", ")] for name, _, inputs in lines}  # type: ignore[misc] # pairs


def test_each_input_of_each_loader_has_its_folder() -> None:
    found, expected = {}, {}
    for class_name, inputs in entries().items():
        names = {name.replace("*", "7"): f"{number}.pt" for number, (name, _) in enumerate(inputs)}
        needs = needs_of({"1": {"class_type": class_name, "inputs": names}})
        found[class_name] = [(need.name, need.directory) for need in needs]
        expected[class_name] = [
            (f"{number}.pt", folder if folder != "-" else None) for number, (_, folder) in enumerate(inputs)
        ]

    assert expected == found


def test_without_names_the_folders_follow_the_order_of_the_files() -> None:
    """Inputs that name no file or a configuration take no place, and the last folder is that of all further files."""
    found, expected = {}, {}
    for class_name, inputs in entries().items():
        values = [f"{number}.pt" for number in range(5)]
        node = {"id": 1, "type": class_name, "widgets_values": values}
        found[class_name] = [need.directory for need in needs_of({"nodes": [node]})]
        folders = [folder for _, folder in inputs if folder not in ("-", "configs")]
        expected[class_name] = (folders + folders[-1:] * 5)[:5]

    assert expected == found


def test_an_input_that_the_table_does_not_have_is_known_by_its_place() -> None:
    inputs = {"other": "a.pt", "vae_name": "b.pt", "lora_name": "c.pt"}
    graph = {"1": {"class_type": "Efficient Loader", "inputs": inputs}}

    assert [("a.pt", "checkpoints"), ("b.pt", "vae"), ("c.pt", "loras")] == [
        (need.name, need.directory) for need in needs_of(graph)
    ]


@pytest.mark.parametrize("kind", ["Note", "MarkdownNote", "Note Plus (mtb)", "Label (rgthree)", "workflow_info"])
def test_a_note_names_no_file(kind: str) -> None:
    assert [] == needs_of({"nodes": [{"id": 1, "type": kind, "widgets_values": ["a.pt"]}]})


@pytest.mark.parametrize(
    "kind", ["PrimitiveNode", "Reroute", "PrimitiveString", "PrimitiveStringMultiline", "PreviewAny"]
)
def test_a_node_that_hands_on_a_value_is_no_unknown_loader(kind: str) -> None:
    graph = {"nodes": [{"id": 1, "type": kind, "widgets_values": ["a.pt"]}]}

    assert () == read_needs(json.dumps(graph).encode()).unknown_nodes


SWARM = """
model=checkpoints refinermodel=checkpoints vae=vae refinervae=vae controlnetmodel=controlnet
controlnettwomodel=controlnet controlnetthreemodel=controlnet loras=loras refinerupscalemethod=upscale_models
clipvisionmodel=clip_vision videomodel=checkpoints
"""
INVOKE = """
main=checkpoints lora=loras vae=vae controlnet=controlnet t2i_adapter=controlnet ip_adapter=ipadapter
embedding=embeddings t5_encoder=text_encoders clip_embed=text_encoders clip_vision=clip_vision
spandrel_image_to_image=upscale_models control_lora=controlnet flux_redux=style_models
"""
RESOURCES = """
checkpoint=checkpoints lora=loras lycoris=loras embed=embeddings embedding=embeddings vae=vae
"""


def pairs_of(text: str) -> list[tuple[str, str]]:
    return [(entry.partition("=")[0], entry.partition("=")[2]) for entry in text.split()]


@pytest.mark.parametrize(("key", "folder"), pairs_of(SWARM))
def test_each_parameter_of_swarmui(key: str, folder: str) -> None:
    value = "model-a.pt" if key == "refinerupscalemethod" else "a.pt"
    document = {"sui_image_params": {key: value, "prompt": "<lora:b:1>", "negativeprompt": "embedding:c"}}
    models = [{"name": "a.pt", "param": key, "hash": "0x" + "ab" * 6}, {"name": "(None)"}, {"param": key}, 7]

    prompt = [Need("b", "loras"), Need("c", "embeddings")]
    assert [Need("a.pt", folder), *prompt] == needs_of(document)
    assert [Need("a.pt", folder, ("ab" * 6,)), *prompt] == needs_of({**document, "sui_models": models})


def test_what_swarmui_writes_that_is_no_model() -> None:
    parameters: dict[str, Any] = {
        "refinerupscalemethod": "pixel-lanczos",
        "model": " None ",
        "vae": ["Automatic", 7, ""],
    }

    assert [] == needs_of({"sui_image_params": {**parameters, "loras": ["x\ny", "z" * 300], "prompt": 5}})
    assert [Need("a.pt", "loras")] == needs_of({"sui_image_params": {"loras": [" a.pt "]}})


@pytest.mark.parametrize(("kind", "folder"), pairs_of(RESOURCES))
def test_each_type_of_a_resource(kind: str, folder: str) -> None:
    text = f'x\nSteps: 1, Civitai resources: [{{"type": "{kind.upper()}", "modelVersionId": 7}}], Version: 1'

    assert [Need("version 7", folder, version_id=7)] == [*read_needs(text.encode())]


@pytest.mark.parametrize(("kind", "folder"), pairs_of(INVOKE))
def test_each_type_of_invokeai(kind: str, folder: str) -> None:
    document = {
        "new": {"name": "a", "type": kind, "hash": "sha256:" + "ab" * 32},
        "old": [{"model_name": "b", "model_type": kind, "base_model": "sdxl"}],
        "oldest": {"model_name": "c", "base_model": "sdxl"},
        "other": [{"name": "d", "type": "no_model"}, {"name": "e"}, {"type": kind}],
        "positive_prompt": "<lora:f:1>",
        "negative_prompt": "embedding:g",
    }

    assert [
        Need("a", folder, ("ab" * 32,)),
        Need("b", folder),
        Need("c"),
        Need("f", "loras"),
        Need("g", "embeddings"),
    ] == [*read_needs(png({"invokeai_metadata": json.dumps(document)}))]
