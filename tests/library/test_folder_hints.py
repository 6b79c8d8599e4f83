"""What each folder's name says of the models in it, as a table. Not here: which folder decides (test_walk)."""

from modelyard.library.folder_hints import hint_of, is_type_folder

FOLDERS = """
stablediffusion → checkpoint
checkpoints → checkpoint
checkpoint → checkpoint
main → checkpoint
lora → lora
loras → lora
lycoris → locon
locon → locon
vae → vae
vaes → vae
vaeapprox → vae
approxvae → vae
controlnet → controlnet
controlnets → controlnet
controllora → controlnet
t2iadapter → t2iadapter
t2iadapters → t2iadapter
ipadapter → ipadapter
ipadapters → ipadapter
ipadapters15 → ipadapter
ipadaptersxl → ipadapter
esrgan → upscaler
realesrgan → upscaler
bsrgan → upscaler
swinir → upscaler
dat → upscaler
hat → upscaler
scunet → upscaler
ldsr → upscaler
upscalemodels → upscaler
upscalers → upscaler
upscaler → upscaler
spandrelimagetoimage → upscaler
embeddings → textualinversion
embedding → textualinversion
textualinversion → textualinversion
hypernetworks → hypernetwork
hypernetwork → hypernetwork
diffusionmodels → unet
unet → unet
textencoders → textencoder
textencoder → textencoder
clip → textencoder
t5encoder → textencoder
clipvision → clipvision
animatediffmodels → motionmodule
animatediffmotionlora → motionmodule
motionmodules → motionmodule
adetailer → detection
afterdetailer → detection
ultralytics → detection
Stable-diffusion → checkpoint
Lora → lora
ESRGAN → upscaler
diffusion_models → unet
text encoders → textencoder
models → -
other → -, no type folder
"""
BASES = """
sd1 → lora SD 1.5
sd2 → lora SD 2.1
sdxl → lora SDXL 1.0
sdxlrefiner → lora SDXL 1.0
sd3 → lora SD 3
flux → lora Flux.1 D
sd-1 → lora SD 1.5
SDXL → lora SDXL 1.0
other → -
"""


def describe_folder(line: str) -> str:
    name = line.partition(" → ")[0]
    hint = hint_of(f"/models/{name}/a.pt".encode(), b"/models", {})
    is_type = is_type_folder(f"/yard/{name}/".encode())
    return f"{name} → {hint.type if hint else '-'}{', no type folder' if not is_type else ''}"


def test_each_folder_of_a_program_has_this_type() -> None:
    assert FOLDERS.strip().split("\n") == [describe_folder(line) for line in FOLDERS.strip().split("\n")]


def describe_base(line: str) -> str:
    name = line.partition(" → ")[0]
    hint = hint_of(f"/models/{name}/lora/a.pt".encode(), b"/models", {})
    return f"{name} → {f'{hint.type} {hint.base_model}' if hint else '-'}"


def test_each_folder_of_a_base_has_this_base() -> None:
    assert BASES.strip().split("\n") == [describe_base(line) for line in BASES.strip().split("\n")]
