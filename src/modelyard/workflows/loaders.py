"""The table of loaders: which folder of ComfyUI a node reads the file of each of its inputs from.

The inputs are in the order of the node's widgets, because a saved graph may list their values without names. ``*`` at
the end of a name stands for a number, as in ``lora_name_1``.
"""

from collections.abc import Mapping

CHECKPOINTS = "checkpoints"
CONTROLNET = "controlnet"
DIFFUSION_MODELS = "diffusion_models"
LORAS = "loras"
TEXT_ENCODERS = "text_encoders"
VAE = "vae"

# Nodes that hold text for people, and nodes that only hand on what another node reads.
NOTES = frozenset({"Note", "MarkdownNote", "Note Plus (mtb)", "Label (rgthree)", "workflow_info"})
PASSING = frozenset({"PrimitiveNode", "Reroute", "PrimitiveString", "PrimitiveStringMultiline", "PreviewAny"})

_CLIP_PAIR = {"clip_name1": TEXT_ENCODERS, "clip_name2": TEXT_ENCODERS}
_CLIP_TRIPLE = _CLIP_PAIR | {"clip_name3": TEXT_ENCODERS}
_CLIP_QUADRUPLE = _CLIP_TRIPLE | {"clip_name4": TEXT_ENCODERS}
_CKPT = {"ckpt_name": CHECKPOINTS}
_LORA = {"lora_name": LORAS}
_UNET = {"unet_name": DIFFUSION_MODELS}
_CONTROLNET = {"control_net_name": CONTROLNET}
_CKPT_VAE_LORA = {"ckpt_name": CHECKPOINTS, "vae_name": VAE, "lora_name": LORAS}

LOADERS: Mapping[str, Mapping[str, str]] = {
    # ComfyUI's own
    "AudioEncoderLoader": {"audio_encoder_name": "audio_encoders"},
    "CLIPLoader": {"clip_name": TEXT_ENCODERS},
    "CLIPVisionLoader": {"clip_name": "clip_vision"},
    "CheckpointLoader": {"config_name": "configs", **_CKPT},
    "CheckpointLoaderSimple": _CKPT,
    "ConditioningLoader": {"conditioning_name": "embeddings"},
    "ControlNetLoader": _CONTROLNET,
    "DiffControlNetLoader": {"model": CONTROLNET, **_CONTROLNET},
    "DualCLIPLoader": _CLIP_PAIR,
    "FrameInterpolationModelLoader": {"model_name": "frame_interpolation"},
    "GLIGENLoader": {"gligen_name": "gligen"},
    "HypernetworkLoader": {"hypernetwork_name": "hypernetworks"},
    "ImageOnlyCheckpointLoader": _CKPT,
    "LTXAVTextEncoderLoader": {"text_encoder": TEXT_ENCODERS, **_CKPT},
    "LTXVAudioVAELoader": _CKPT,
    "LatentUpscaleModelLoader": {"model_name": "latent_upscale_models"},
    "LoadBackgroundRemovalModel": {"model_name": "background_removal"},
    "LoadDA3Model": {"model_name": "geometry_estimation"},
    "LoadMoGeModel": {"model_name": "geometry_estimation"},
    "LoraLoader": _LORA,
    "LoraLoaderBypass": _LORA,
    "LoraLoaderBypassModelOnly": _LORA,
    "LoraLoaderModelOnly": _LORA,
    "LoraModelLoader": _LORA,
    "ModelPatchLoader": {"name": "model_patches"},
    "OpticalFlowLoader": {"model_name": "optical_flow"},
    "PhotoMakerLoader": {"photomaker_model_name": "photomaker"},
    "QuadrupleCLIPLoader": _CLIP_QUADRUPLE,
    "SAM3DBody_Loader": {"model_name": "detection"},
    "StyleModelLoader": {"style_model_name": "style_models"},
    "TripleCLIPLoader": _CLIP_TRIPLE,
    "UNETLoader": _UNET,
    "UpscaleModelLoader": {"model_name": "upscale_models"},
    "VAELoader": {"vae_name": VAE},
    "unCLIPCheckpointLoader": _CKPT,
    # Quantised files
    "CLIPLoaderGGUF": {"clip_name": TEXT_ENCODERS},
    "CheckpointLoaderNF4": _CKPT,
    "DualCLIPLoaderGGUF": _CLIP_PAIR,
    "LoaderGGUF": {"gguf_name": DIFFUSION_MODELS},
    "LoaderGGUFAdvanced": {"gguf_name": DIFFUSION_MODELS},
    "NunchakuFluxDiTLoader": {"model_path": DIFFUSION_MODELS},
    "NunchakuFluxLoraLoader": _LORA,
    "NunchakuQwenImageDiTLoader": {"model_name": DIFFUSION_MODELS},
    "NunchakuTextEncoderLoader": {"model_type": "", "text_encoder1": TEXT_ENCODERS, "text_encoder2": TEXT_ENCODERS},
    "QuadrupleCLIPLoaderGGUF": _CLIP_QUADRUPLE,
    "TripleCLIPLoaderGGUF": _CLIP_TRIPLE,
    "UnetLoaderGGUF": _UNET,
    "UnetLoaderGGUFAdvanced": _UNET,
    "UnetLoaderGGUFDisTorchMultiGPU": _UNET,
    # On a chosen device
    "CLIPLoaderMultiGPU": {"clip_name": TEXT_ENCODERS},
    "CheckpointLoaderSimpleMultiGPU": _CKPT,
    "DualCLIPLoaderMultiGPU": _CLIP_PAIR,
    "UNETLoaderMultiGPU": _UNET,
    "VAELoaderMultiGPU": {"vae_name": VAE},
    # Lists of LoRAs, and loaders of several kinds of files
    "CR LoRA Stack": {"lora_name_*": LORAS},
    "CR Load LoRA": _LORA,
    "Checkpoint Loader": _CKPT,
    "Checkpoint Loader (Simple)": _CKPT,
    "CheckpointLoaderSimple|pysssss": _CKPT,
    "CheckpointLoader|pysssss": _CKPT,
    "Eff. Loader SDXL": {"base_ckpt_name": CHECKPOINTS, "refiner_ckpt_name": CHECKPOINTS, "vae_name": VAE},
    "Efficient Loader": {"ckpt_name": CHECKPOINTS, "vae_name": VAE, "lora_name": LORAS},
    "Image Saver": {"modelname": CHECKPOINTS},
    "LoRA Stacker": {"lora_name_*": LORAS},
    "Lora Loader (LoraManager)": {"loras": LORAS},
    "Lora Loader Stack (rgthree)": {"lora_*": LORAS},
    "Lora Stacker (LoraManager)": {"loras": LORAS},
    "LoraLoader|pysssss": _LORA,
    "LoraLoaderBlockWeight //Inspire": _LORA,
    "LoraLoaderStackedAdvanced": {"lora_*": LORAS},
    "Power Lora Loader (rgthree)": {"lora_*": LORAS},
    "VAE Loader (WLSH)": {"vae_name": VAE},
    "easy a1111Loader": _CKPT_VAE_LORA,
    "easy comfyLoader": _CKPT_VAE_LORA,
    "easy controlnetLoader": _CONTROLNET,
    "easy fullLoader": _CKPT_VAE_LORA,
    "easy loraStack": {"lora_*": LORAS},
    "ttN pipeLoader": {"ckpt_name": CHECKPOINTS, "vae_name": VAE, "lora1_name": LORAS, "lora2_name": LORAS},
    "ttN pipeLoader_v2": {"ckpt_name": CHECKPOINTS, "vae_name": VAE, "loras": LORAS},
    # Adapters, identities, motion
    "ACN_SparseCtrlLoaderAdvanced": {"sparsectrl_name": CONTROLNET},
    "ADE_AnimateDiffLoRALoader": {"name": "animatediff_motion_lora"},
    "ADE_AnimateDiffLoaderGen1": {"model_name": "animatediff_models"},
    "ADE_AnimateDiffLoaderWithContext": {"model_name": "animatediff_models"},
    "ADE_LoadAnimateDiffModel": {"model_name": "animatediff_models"},
    "AnimateDiffLoaderV1": {"model_name": "animatediff_models"},
    "ControlNetLoaderAdvanced": _CONTROLNET,
    "FluxLoraLoader": {"lora_name": "xlabs/loras"},
    "IPAdapterFluxLoader": {"ipadapter": "ipadapter-flux"},
    "IPAdapterModelLoader": {"ipadapter_file": "ipadapter"},
    "InstantIDModelLoader": {"instantid_file": "instantid"},
    "LoadFluxControlNet": {"controlnet_path": "xlabs/controlnets"},
    "LoadFluxIPAdapter": {"ipadatper": "xlabs/ipadapters", "clip_vision": "clip_vision"},
    "PulidFluxModelLoader": {"pulid_file": "pulid"},
    "PulidModelLoader": {"pulid_file": "pulid"},
    # Detection, faces, upscaling
    "FaceRestoreModelLoader": {"model_name": "facerestore_models"},
    "LayerMask: LoadSAM2Model": {"sam2_model": "sam2"},
    "ONNXDetectorProvider": {"model_name": "onnx"},
    "SAMLoader": {"model_name": "sams"},
    "SUPIR_model_loader": {"supir_model": CHECKPOINTS, "sdxl_model": CHECKPOINTS},
    "SUPIR_model_loader_v2": {"supir_model": CHECKPOINTS},
    "SeedVR2LoadDiTModel": {"model": "SEEDVR2"},
    "SeedVR2LoadVAEModel": {"model": "SEEDVR2"},
    "UltralyticsDetectorProvider": {"model_name": "ultralytics"},
    "easy hiresFix": {"model_name": "upscale_models"},
    # Video
    "HyVideoLoraSelect": {"lora": LORAS},
    "HyVideoModelLoader": {"model": DIFFUSION_MODELS},
    "HyVideoVAELoader": {"model_name": VAE},
    "LTXVQ8LoraModelLoader": _LORA,
    "LoadWanVideoClipTextEncoder": {"model_name": TEXT_ENCODERS},
    "LoadWanVideoT5TextEncoder": {"model_name": TEXT_ENCODERS},
    "WanVideoExtraModelSelect": {"extra_model": DIFFUSION_MODELS},
    "WanVideoLoraSelect": {"lora": LORAS},
    "WanVideoLoraSelectMulti": {"lora_*": LORAS},
    "WanVideoModelLoader": {"model": DIFFUSION_MODELS},
    "WanVideoTextEncodeCached": {"model_name": TEXT_ENCODERS},
    "WanVideoTinyVAELoader": {"model_name": "vae_approx"},
    "WanVideoVACEModelSelect": {"vace_model": DIFFUSION_MODELS},
    "WanVideoVAELoader": {"model_name": VAE},
}


def directory_of(class_name: str, input_name: str | None, number: int) -> str | None:
    """Return the folder that a node of a class reads a file from; None if the class is not in the table.

    The input is known by its name, or else by ``number``, its place among the inputs that name a file.
    """
    inputs = LOADERS.get(class_name)
    if inputs is None:
        return None
    if input_name is not None:
        if input_name in inputs:
            return inputs[input_name] or None
        stem = input_name.rstrip("0123456789")
        for name, directory in inputs.items():
            if name.endswith("*") and name[:-1] == stem:
                return directory
    directories = [directory for directory in inputs.values() if directory not in ("", "configs")]
    return directories[min(number, len(directories) - 1)]
