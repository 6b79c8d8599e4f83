"""Names of models that are one family's own: in notes of what a model was trained on, and in names of files.

A name is what somebody typed, so it chooses only among what the tensors leave open. The name of a file is the weakest
of all: people name files after characters, styles and other models too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedBase:
    """A base model that a name tells, and its architecture."""

    architecture: str
    base_model: str


def _row(pattern: str, architecture: str, base_model: str) -> tuple[re.Pattern[str], NamedBase]:
    return re.compile(pattern, re.IGNORECASE), NamedBase(architecture, base_model)


# Words are joined by any of these, or by nothing.
_J = r"[-_. ]?"
# The first that matches counts, so the more exact stands first.
_NAMES = (
    _row(r"pony(?!tail|girl|boy| ?hair|[-_ ]tail)", "sdxl", "Pony"),
    _row("noob", "sdxl", "NoobAI"),
    _row("illustrious|waiNSFWIllustrious|WAI-.*illu|(?<![a-z])(illu(?=[-_. ]|$)|il+u?xl)", "sdxl", "Illustrious"),
    _row(f"(sd|stable{_J}diffusion){_J}xl.*hyper|hyper.*sd{_J}xl", "sdxl", "SDXL Hyper"),
    _row(f"(sd|stable{_J}diffusion){_J}xl.*lightning|lightning.*sd{_J}xl", "sdxl", "SDXL Lightning"),
    _row(f"sd_?xl_?turbo|(sd|stable{_J}diffusion){_J}xl{_J}turbo", "sdxl", "SDXL Turbo"),
    _row(f"(sd|stable{_J}diffusion){_J}xl.*(?<![a-z])lcm|(?<![a-z])lcm.*sd{_J}xl", "sdxl", "SDXL 1.0 LCM"),
    _row(r"sd_xl_base_1\.0|stable-diffusion-xl-base-1\.0", "sdxl", "SDXL 1.0"),
    _row(r"sd_xl_base_0\.9|stable-diffusion-xl-base-0\.9", "sdxl", "SDXL 0.9"),
    _row(r"(^|[^0-9])v1-5-pruned|stable-diffusion-v1-5", "sd1", "SD 1.5"),
    _row("sd-v1-4|stable-diffusion-v1-4", "sd1", "SD 1.4"),
    _row("v2-1_768|stable-diffusion-2-1(?!-base)", "sd2", "SD 2.1 768"),
    _row("v2-1_512|stable-diffusion-2-1-base", "sd2", "SD 2.1"),
    _row(f"sd3{_J}5{_J}large{_J}turbo|stable-diffusion-3{_J}5-large-turbo", "sd3.5-large", "SD 3.5 Large Turbo"),
    _row(f"sd3{_J}5{_J}medium|stable-diffusion-3{_J}5-medium", "sd3.5-medium", "SD 3.5 Medium"),
    _row("sd3_medium|stable-diffusion-3-medium", "sd3", "SD 3"),
    _row("flux1?[-_.]?(1[-_.])?kontext", "flux.1", "Flux.1 Kontext"),
    _row(r"flux\.?1?[-_.](dev[-_.])?krea", "flux.1", "Flux.1 Krea"),
    _row(f"klein{_J}4b{_J}base|klein{_J}base{_J}4b", "flux.2", "Flux.2 Klein 4B-base"),
    _row(f"klein{_J}9b{_J}base|klein{_J}base{_J}9b", "flux.2", "Flux.2 Klein 9B-base"),
    _row(f"klein{_J}4b", "flux.2", "Flux.2 Klein 4B"),
    _row(f"klein{_J}9b", "flux.2", "Flux.2 Klein 9B"),
    _row("z[-_]?image[-_]?turbo", "z-image", "ZImageTurbo"),
    _row("z[-_]?image[-_]?base", "z-image", "ZImageBase"),
    _row(r"flux\.?1?[-_.]schnell", "flux.1", "Flux.1 S"),
    _row(r"flux\.?1?[-_.]dev", "flux.1", "Flux.1 D"),
    _row(f"wan{_J}2{_J}2.*(i2v|img2vid|image{_J}to{_J}video)", "wan", "Wan Video 2.2 I2V-A14B"),
    _row(f"wan{_J}2{_J}2.*(t2v|text{_J}to{_J}video)", "wan", "Wan Video 2.2 T2V-A14B"),
    _row("wan.*i2v.*720p?", "wan", "Wan Video 14B i2v 720p"),
    _row("wan.*i2v.*480p?", "wan", "Wan Video 14B i2v 480p"),
    _row(f"wan{_J}2{_J}1.*t2v.*14b", "wan", "Wan Video 14B t2v"),
    _row(f"pixart{_J}sigma", "pixart", "PixArt E"),
    _row(f"pixart{_J}alpha", "pixart", "PixArt a"),
    _row(f"pony{_J}v7", "auraflow", "Pony V7"),
    _row(f"ltx(v|{_J}video)?{_J}2{_J}3", "ltxv", "LTXV 2.3"),
    _row(f"svd{_J}xt|img2vid{_J}xt", "svd", "SVD XT"),
)
# A note that has the plain name of a family means its first model; a file of this name may be of any of them.
_NAMES_IN_NOTES = (*_NAMES, _row("z[-_]?image", "z-image", "ZImageBase"))


def named_bases(text: str, *, is_note: bool) -> Iterator[NamedBase]:
    """Yield the base models that a text names, the most exact first."""
    return (named for pattern, named in (_NAMES_IN_NOTES if is_note else _NAMES) if pattern.search(text))
