"""The whole text and all links of each page for one small catalogue, so that a change of any of them is seen."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from modelyard.domain import MODEL_TYPES, Hashes, Licence, Scope, Source, Status
from modelyard.facts import Entry, Facts, Layer, Record
from tests.app_fixture import App, a_model, a_private, open_app
from tests.web.pages.page_text import main_text, page_text
from tests.web.pages.test_pages import Browser, signed_in

OWN, OTHERS = 1_000_000_001, 1_000_000_002
SHA256, AUTOV3 = "AB" * 32, "CD" * 32
COVER = "/covers/" + "0123456789abcdef" * 2 + "/640.webp"
LORA, CHECKPOINT, VAE, INVERSION = (MODEL_TYPES[name] for name in ("lora", "checkpoint", "vae", "textualinversion"))
HARBOUR = Facts(
    name="v2",
    sd_name="harbourLights_v2_77.safetensors",
    type=LORA,
    base_model="SDXL 1.0",
    base_model_type="Standard",
    tags=("harbour", "night"),
    categories=("style", "concept"),
    rank=12_345,
    is_nsfw=True,
    cover_url=COVER,
    hashes=Hashes(autov1="0123ABCD", sha256=SHA256, autov3=AUTOV3, blake3="EF" * 32, crc32="89ABCDEF"),
    upstream_model_id=7,
    title="Harbour Lights",
    trigger_words=("harbour lights", "at dusk"),
    size_bytes=228_600_000,
    licence=Licence(name="CreativeML"),
    notes="Made at sea.",
    published_at="2023-07-01T08:09:10Z",
    file_name="harbourLights.safetensors",
)
HEADER = Facts(base_model="SDXL 1.0", evidence=("type lora: lora_down and lora_up",))
OTHER_MODELS = {
    78: Facts(
        name="v1",
        sd_name="harbourLights_v1_78.safetensors",
        type=LORA,
        base_model="SD 1.5",
        tags=HARBOUR.tags,
        upstream_model_id=7,
        rank=950,
    ),
    79: Facts(
        name="copy",
        sd_name="copy_79.safetensors",
        type=INVERSION,
        hashes=Hashes(sha256=SHA256),
        cover_url="https://elsewhere.example/a.png",
    ),
    80: Facts(
        name="again",
        sd_name="again_80.safetensors",
        type=CHECKPOINT,
        base_model="SD 1.5",
        hashes=Hashes(sha256="11" * 32, autov3=AUTOV3),
        rank=1_200_000,
    ),
    81: Facts(name="v1", sd_name="harbourLights_v9_81.safetensors", type=LORA, tags=HARBOUR.tags, upstream_model_id=8),
}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Five models from Civitai, and one of each of two teams. The tests of this module change nothing."""
    with open_app(tmp_path_factory.mktemp("pages"), clock=lambda: 1_700_000_000) as yard:
        records = [
            Record(77, Source.CIVITAI, Layer.UPSTREAM, HARBOUR),
            Record(77, Source.CIVITAI, Layer.HEADER, HEADER),
        ]
        records += [Record(id_, Source.CIVITAI, Layer.UPSTREAM, facts) for id_, facts in OTHER_MODELS.items()]
        assert [] == [outcome for outcome in yard.catalog.register_many(records) if outcome.result == "skipped"]
        own = a_private(OWN, "red", name="own", sd_name="own.pt", type=VAE, rank=0, status=Status.UNAVAILABLE)
        with yard.store.transaction() as transaction:
            transaction.put([Entry(own, {Layer.USER: Facts(name="own", sd_name="own.pt", type=VAE, is_nsfw=True)})])
        yard.put(a_private(OTHERS, "blue", sd_name="b.pt", name="b"))
        yield yard


SIGNED_IN_PAGES = {
    "/": """
# Models
{ checkbox}
Filters
## Visibility
[ Public](/?filter.visibility=public)
[ Private to red](/?filter.visibility=private)
## Type
[ LoRA family 3](/?filter.types=lora)[ Not LoRA family](/?filter.types=%21lora)
[ Checkpoint 1](/?filter.types=checkpoint)[ Not Checkpoint](/?filter.types=%21checkpoint)
[ Textual Inversion 1](/?filter.types=textualinversion)[ Not Textual Inversion](/?filter.types=%21textualinversion)
[ VAE 1](/?filter.types=vae)[ Not VAE](/?filter.types=%21vae)
## Base model
[ SD 1.5 3](/?filter.base_model=SD+1.5)[ Not SD 1.5](/?filter.base_model=%21SD+1.5)
[ SDXL 1.0 1](/?filter.base_model=SDXL+1.0)[ Not SDXL 1.0](/?filter.base_model=%21SDXL+1.0)
## Tags
form get /
{find.filter.tags= search max=100}
[ #harbour 3](/?filter.tags=harbour)
[ #night 3](/?filter.tags=night)
## Size
[ 100–500 MB 1](/?filter.size=100-500mb)[ Not 100–500 MB](/?filter.size=%21100-500mb)
## Published
[ 2023 1](/?filter.published=2023)[ Not 2023](/?filter.published=%212023)
## Source
[ Civitai 5](/?filter.source=civitai)[ Not Civitai](/?filter.source=%21civitai)
[ Uploaded 1](/?filter.source=uploading)[ Not Uploaded](/?filter.source=%21uploading)
## Other
[ For inpainting](/?filter.is_inpainting=true)
Numbers beside filters count versions.
Show 5
5 models
form get /
Sort by
{sort select} {popular selected}Most popular {newest}Newest {added}Added here {updated}Updated {name}Name
    {size}Largest
<Sort>
form post /preferences
{to=/ hidden} <><>
form post /preferences
{to=/ hidden} NSFW <Hide NSFW models><Blur NSFW models><Show NSFW models>
[Show versions singly](/?versions=singly) [Models of a picture](/resolve)
form post /covers
{token} Models here have covers on other sites. <Download the covers>
{id=80 checkbox} Choose again 80
[ !/static/art.svg#hills again 80 again Checkpoint · SD 1.5 popularity 1.2M ADDED](/models/80)
{id=77 checkbox} Choose Harbour Lights
[ !/covers/0123…/320.webp /covers/0123…/320.webp 320w, /covers/0123…/640.webp 640w,
    /covers/0123…/1280.webp 1280w Harbour Lights v2 · 2 versions LoRA · SDXL 1.0 NSFW popularity 12k 228.6 MB 1 Jul 2023](/models/77)
{id=1000000001 checkbox} Choose own
[ !/static/art.svg#lens own VAE · SD 1.5 private not available popularity 0 Uploaded](/models/1000000001)
{id=81 checkbox} Choose harbourLights v9 81
[ !/static/art.svg#arcs harbourLights v9 81 v1 LoRA · Unknown base model popularity 0 ADDED](/models/81)
{id=79 checkbox} Choose copy 79
[ !/static/art.svg#letters copy 79 copy Textual Inversion · Unknown base model popularity 0 ADDED](/models/79)
No more models
form get /selection
<Use the chosen models> <Choose none>
form post /resolve
Drop a picture or a workflow to see which models it needs
{file= file hidden}
""",  # noqa: E501 # a link is not broken
    "/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0&filter.source=civitai": """
# Models
{ checkbox}
Filters (4)
## Visibility
[ Public](/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai&filter.visibility=public)
[ Private to red](/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai&filter.visibility=private)
## Type 1
[ LoRA family 1](/?filter.search=harbour&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai)[ Not LoRA family](/?filter.search=harbour&filter.tags=night
    &filter.base_model=SDXL+1.0&filter.source=civitai&filter.types=%21lora)
## Base model 1
[ SD 1.5 1](/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai&filter.base_model=SD+1.5)[ Not SD 1.5](/?filter.search=harbour&filter.types=lora
    &filter.tags=night&filter.base_model=SDXL+1.0&filter.source=civitai&filter.base_model=%21SD+1.5)
[ SDXL 1.0 1](/?filter.search=harbour&filter.types=lora&filter.tags=night
    &filter.source=civitai)[ Not SDXL 1.0](/?filter.search=harbour&filter.types=lora&filter.tags=night
    &filter.source=civitai&filter.base_model=%21SDXL+1.0)
## Tags 1
form get /
{filter.search=harbour hidden} {filter.types=lora hidden} {filter.tags=night hidden}
    {filter.base_model=SDXL 1.0 hidden} {filter.source=civitai hidden} {find.filter.tags= search max=100}
[ #night 1](/?filter.search=harbour&filter.types=lora&filter.base_model=SDXL+1.0&filter.source=civitai)
[ #harbour 1](/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai&filter.tags=harbour)
## Size
[ 100–500 MB 1](/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai&filter.size=100-500mb)[ Not 100–500 MB](/?filter.search=harbour&filter.types=lora
    &filter.tags=night&filter.base_model=SDXL+1.0&filter.source=civitai&filter.size=%21100-500mb)
## Published
[ 2023 1](/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai&filter.published=2023)[ Not 2023](/?filter.search=harbour&filter.types=lora
    &filter.tags=night&filter.base_model=SDXL+1.0&filter.source=civitai&filter.published=%212023)
## Source 1
[ Civitai 1](/?filter.search=harbour&filter.types=lora&filter.tags=night
    &filter.base_model=SDXL+1.0)[ Not Civitai](/?filter.search=harbour&filter.types=lora&filter.tags=night
    &filter.base_model=SDXL+1.0&filter.source=%21civitai)
## Other
[ For inpainting](/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai&filter.is_inpainting=true)
[Remove all](/?filter.search=harbour)
Show 1
1 model
form get /
{filter.search=harbour hidden} {filter.types=lora hidden} {filter.tags=night hidden}
    {filter.base_model=SDXL 1.0 hidden} {filter.source=civitai hidden}
Sort by
{sort select} {popular selected}Most popular {newest}Newest {added}Added here {updated}Updated {name}Name
    {size}Largest
<Sort>
form post /preferences
{to=/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai hidden} <><>
form post /preferences
{to=/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai hidden} NSFW <Hide NSFW models><Blur NSFW models><Show NSFW models>
[Show versions singly](/?filter.search=harbour&filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai&versions=singly) [Models of a picture](/resolve)
[Tag: harbour (1) →](/?filter.types=lora&filter.tags=night&filter.base_model=SDXL+1.0&filter.source=civitai
    &filter.tags=harbour)
[ Remove the filter LoRA family](/?filter.search=harbour&filter.tags=night&filter.base_model=SDXL+1.0
    &filter.source=civitai)
[ Remove the filter #night](/?filter.search=harbour&filter.types=lora&filter.base_model=SDXL+1.0
    &filter.source=civitai)
[ Remove the filter SDXL 1.0](/?filter.search=harbour&filter.types=lora&filter.tags=night
    &filter.source=civitai)
[ Remove the filter Civitai](/?filter.search=harbour&filter.types=lora&filter.tags=night
    &filter.base_model=SDXL+1.0)
[Remove all filters](/?filter.search=harbour)
{id=77 checkbox} Choose Harbour Lights
[ !/covers/0123…/320.webp /covers/0123…/320.webp 320w, /covers/0123…/640.webp 640w,
    /covers/0123…/1280.webp 1280w Harbour Lights v2 · 2 versions LoRA · SDXL 1.0 NSFW popularity 12k 228.6 MB 1 Jul 2023](/models/77)
No more models
form get /selection
<Use the chosen models> <Choose none>
form post /resolve
Drop a picture or a workflow to see which models it needs
{file= file hidden}
""",  # noqa: E501 # a link is not broken
    "/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false": """
# Models
{ checkbox}
Filters (2)
## Visibility
[ Public](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false&filter.visibility=public)
[ Private to red](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.visibility=private)
## Type
[ LoRA family 2](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.types=lora)[ Not LoRA family](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.types=%21lora)
[ Checkpoint 1](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.types=checkpoint)[ Not Checkpoint](/?pagination.limit=2&filter.is_nsfw=false
    &filter.is_inpainting=false&filter.types=%21checkpoint)
[ Textual Inversion 1](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.types=textualinversion)[ Not Textual Inversion](/?pagination.limit=2&filter.is_nsfw=false
    &filter.is_inpainting=false&filter.types=%21textualinversion)
[ VAE 1](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.types=vae)[ Not VAE](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.types=%21vae)
## Base model
[ SD 1.5 3](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.base_model=SD+1.5)[ Not SD 1.5](/?pagination.limit=2&filter.is_nsfw=false
    &filter.is_inpainting=false&filter.base_model=%21SD+1.5)
## Tags
form get /
{pagination.limit=2 hidden} {filter.is_nsfw=false hidden} {filter.is_inpainting=false hidden}
    {find.filter.tags= search max=100}
[ #harbour 2](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false&filter.tags=harbour)
[ #night 2](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false&filter.tags=night)
## Source
[ Civitai 4](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.source=civitai)[ Not Civitai](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.source=%21civitai)
[ Uploaded 1](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &filter.source=uploading)[ Not Uploaded](/?pagination.limit=2&filter.is_nsfw=false
    &filter.is_inpainting=false&filter.source=%21uploading)
## Other
[ For inpainting](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=true)
[Remove all](/)
Show 5
5 models
form get /
{pagination.limit=2 hidden} {filter.is_nsfw=false hidden} {filter.is_inpainting=false hidden}
Sort by
{sort select} {popular selected}Most popular {newest}Newest {added}Added here {updated}Updated {name}Name
    {size}Largest
<Sort>
form post /preferences
{to=/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false hidden} <><>
form post /preferences
{to=/?pagination.limit=2&filter.is_nsfw=false
    &filter.is_inpainting=false hidden} NSFW <Hide NSFW models><Blur NSFW models><Show NSFW models>
[Show versions singly](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &versions=singly) [Models of a picture](/resolve)
[ Remove the filter is nsfw: false](/?pagination.limit=2&filter.is_inpainting=false)
[ Remove the filter is inpainting: false](/?pagination.limit=2&filter.is_nsfw=false)
[Remove all filters](/)
{id=80 checkbox} Choose again 80
[ !/static/art.svg#hills again 80 again Checkpoint · SD 1.5 popularity 1.2M ADDED](/models/80)
{id=78 checkbox} Choose harbourLights v1 78
[ !/static/art.svg#bars harbourLights v1 78 v1 · 2 versions LoRA · SD 1.5 popularity 950 ADDED](/models/78)
[Show more models](/?pagination.limit=2&filter.is_nsfw=false&filter.is_inpainting=false
    &pagination.cursor=c_Wzk1MCwiNzgiXQ%3D%3D)
form get /selection
<Use the chosen models> <Choose none>
form post /resolve
Drop a picture or a workflow to see which models it needs
{file= file hidden}
""",
    "/?pagination.limit=1&pagination.cursor=c_WzEyMzQ1LCI3NyJd&filter.types=lora&filter.types=vae": """
# Models
{ checkbox}
Filters (2)
## Visibility
[ Public](/?pagination.limit=1&filter.types=lora&filter.types=vae&filter.visibility=public)
[ Private to red](/?pagination.limit=1&filter.types=lora&filter.types=vae&filter.visibility=private)
## Type 2
[ LoRA family 3](/?pagination.limit=1&filter.types=vae)[ Not LoRA family](/?pagination.limit=1
    &filter.types=vae&filter.types=%21lora)
[ Checkpoint 1](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.types=checkpoint)[ Not Checkpoint](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.types=%21checkpoint)
[ Textual Inversion 1](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.types=textualinversion)[ Not Textual Inversion](/?pagination.limit=1&filter.types=lora
    &filter.types=vae&filter.types=%21textualinversion)
[ VAE 1](/?pagination.limit=1&filter.types=lora)[ Not VAE](/?pagination.limit=1&filter.types=lora
    &filter.types=%21vae)
## Base model
[ SD 1.5 2](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.base_model=SD+1.5)[ Not SD 1.5](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.base_model=%21SD+1.5)
[ SDXL 1.0 1](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.base_model=SDXL+1.0)[ Not SDXL 1.0](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.base_model=%21SDXL+1.0)
## Tags
form get /
{pagination.limit=1 hidden} {filter.types=lora hidden} {filter.types=vae hidden}
    {find.filter.tags= search max=100}
[ #harbour 3](/?pagination.limit=1&filter.types=lora&filter.types=vae&filter.tags=harbour)
[ #night 3](/?pagination.limit=1&filter.types=lora&filter.types=vae&filter.tags=night)
## Size
[ 100–500 MB 1](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.size=100-500mb)[ Not 100–500 MB](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.size=%21100-500mb)
## Published
[ 2023 1](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.published=2023)[ Not 2023](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.published=%212023)
## Source
[ Civitai 3](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.source=civitai)[ Not Civitai](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.source=%21civitai)
[ Uploaded 1](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.source=uploading)[ Not Uploaded](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &filter.source=%21uploading)
## Other
[ For inpainting](/?pagination.limit=1&filter.types=lora&filter.types=vae&filter.is_inpainting=true)
Numbers beside filters count versions.
[Remove all](/)
Show 3
3 models
form get /
{pagination.limit=1 hidden} {filter.types=lora hidden} {filter.types=vae hidden}
Sort by
{sort select} {popular selected}Most popular {newest}Newest {added}Added here {updated}Updated {name}Name
    {size}Largest
<Sort>
form post /preferences
{to=/?pagination.limit=1&filter.types=lora&filter.types=vae hidden} <><>
form post /preferences
{to=/?pagination.limit=1&filter.types=lora
    &filter.types=vae hidden} NSFW <Hide NSFW models><Blur NSFW models><Show NSFW models>
[Show versions singly](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &versions=singly) [Models of a picture](/resolve)
[ Remove the filter LoRA family](/?pagination.limit=1&filter.types=vae)
[ Remove the filter VAE](/?pagination.limit=1&filter.types=lora)
[Remove all filters](/)
[Back to the first page](/?pagination.limit=1&filter.types=lora&filter.types=vae)
{id=1000000001 checkbox} Choose own
[ !/static/art.svg#lens own VAE · SD 1.5 private not available popularity 0 Uploaded](/models/1000000001)
[Show more models](/?pagination.limit=1&filter.types=lora&filter.types=vae
    &pagination.cursor=c_WzAsIjEwMDAwMDAwMDEiXQ%3D%3D)
form get /selection
<Use the chosen models> <Choose none>
form post /resolve
Drop a picture or a workflow to see which models it needs
{file= file hidden}
""",
    "/?filter.search=harbuor": """
# Models
{ checkbox}
Filters
## Visibility
[ Public](/?filter.search=harbuor&filter.visibility=public)
[ Private to red](/?filter.search=harbuor&filter.visibility=private)
## Other
[ For inpainting](/?filter.search=harbuor&filter.is_inpainting=true)
Show 0
0 models
form get /
{filter.search=harbuor hidden}
Sort by
{sort select} {popular selected}Most popular {newest}Newest {added}Added here {updated}Updated {name}Name
    {size}Largest
<Sort>
form post /preferences
{to=/?filter.search=harbuor hidden} <><>
form post /preferences
{to=/?filter.search=harbuor hidden} NSFW <Hide NSFW models><Blur NSFW models><Show NSFW models>
[Show versions singly](/?filter.search=harbuor&versions=singly) [Models of a picture](/resolve)
!/static/art.svg#sun
## No models found for “harbuor”
Did you mean [harbour](/?filter.search=harbour)?
form get /selection
<Use the chosen models> <Choose none>
form post /resolve
Drop a picture or a workflow to see which models it needs
{file= file hidden}
""",
    "/?filter.search=harbuor&filter.types=lora&filter.is_inpainting=true": """
# Models
{ checkbox}
Filters (2)
## Visibility
[ Public](/?filter.search=harbuor&filter.types=lora&filter.is_inpainting=true&filter.visibility=public)
[ Private to red](/?filter.search=harbuor&filter.types=lora&filter.is_inpainting=true
    &filter.visibility=private)
## Other 1
[ For inpainting](/?filter.search=harbuor&filter.types=lora)
[Remove all](/?filter.search=harbuor)
Show 0
0 models
form get /
{filter.search=harbuor hidden} {filter.types=lora hidden} {filter.is_inpainting=true hidden}
Sort by
{sort select} {popular selected}Most popular {newest}Newest {added}Added here {updated}Updated {name}Name
    {size}Largest
<Sort>
form post /preferences
{to=/?filter.search=harbuor&filter.types=lora&filter.is_inpainting=true hidden} <><>
form post /preferences
{to=/?filter.search=harbuor&filter.types=lora
    &filter.is_inpainting=true hidden} NSFW <Hide NSFW models><Blur NSFW models><Show NSFW models>
[Show versions singly](/?filter.search=harbuor&filter.types=lora&filter.is_inpainting=true
    &versions=singly) [Models of a picture](/resolve)
[ Remove the filter LoRA family](/?filter.search=harbuor&filter.is_inpainting=true)
[ Remove the filter is inpainting: true](/?filter.search=harbuor&filter.types=lora)
[Remove all filters](/?filter.search=harbuor)
!/static/art.svg#sun
## No models found for “harbuor”
[Search without filters](/?filter.search=harbuor)
form get /selection
<Use the chosen models> <Choose none>
form post /resolve
Drop a picture or a workflow to see which models it needs
{file= file hidden}
""",
    "/?filter.search=zzz": """
# Models
{ checkbox}
Filters
## Visibility
[ Public](/?filter.search=zzz&filter.visibility=public)
[ Private to red](/?filter.search=zzz&filter.visibility=private)
## Other
[ For inpainting](/?filter.search=zzz&filter.is_inpainting=true)
Show 0
0 models
form get /
{filter.search=zzz hidden}
Sort by
{sort select} {popular selected}Most popular {newest}Newest {added}Added here {updated}Updated {name}Name
    {size}Largest
<Sort>
form post /preferences
{to=/?filter.search=zzz hidden} <><>
form post /preferences
{to=/?filter.search=zzz hidden} NSFW <Hide NSFW models><Blur NSFW models><Show NSFW models>
[Show versions singly](/?filter.search=zzz&versions=singly) [Models of a picture](/resolve)
!/static/art.svg#sun
## No models found for “zzz”
Each word must be part of a model’s title, names, trigger words, creator or tags, or be a hash.
    [Show all models](/)
form get /selection
<Use the chosen models> <Choose none>
form post /resolve
Drop a picture or a workflow to see which models it needs
{file= file hidden}
""",
    "/models/77": """
[← All models](/)
!/covers/0123…/320.webp /covers/0123…/320.webp 320w, /covers/0123…/640.webp 640w, /covers/0123…/1280.webp 1280w
form post /preferences
{nsfw=shown hidden} {to=/models/77 hidden}<Show NSFW covers>
LoRA NSFW SDXL 1.0
# Harbour Lights
v2
[ v2 SDXL 1.0 · 2023-07-01 · 228.6 MB](/models/77) [ v1 SD 1.5 · CREATED](/models/78)
form post /fetches
{token} {source=civitai:7@77 hidden}<Get the file · 228.6 MB>
[Open on Civitai (another site)](https://civitai.com/models/7?modelVersionId=77)
The file of this model is not on this server. It has 228.6 MB.
[#harbour](/?filter.tags=harbour)
[#night](/?filter.tags=night)
## May I use it?
CreativeML (from upstream)
The licence does not say which uses it allows in a form that this page can show.
## Use this model
Prompt
<lora:harbourLights_v2_77:1><Copy Prompt>
Trigger words
harbour lights, at dusk<Copy Trigger words>
Name in calls
harbourLights_v2_77<Copy Name in calls>
## Details
Base model
[SDXL 1.0](/?filter.base_model=SDXL+1.0) (from upstream)
Categories
style, concept (from upstream)
Published
2023-07-01 (from upstream)
Added here
CREATED
Popularity
12,345
## File
harbourLights.safetensors 228.6 MB not on this server
## Notes
Made at sea.
## Duplicates
[copy 79](/models/79) same file
[again 80](/models/80) same tensors
## For developers
Id
77
sd_name
harbourLights_v2_77.safetensors<Copy sd_name>
sd_name_in_api
harbourLights_v2_77<Copy sd_name_in_api>
API request
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1/v3/model?filter.model_version_id=77'
<Copy API request>
### Hashes
AutoV2
ABABABABAB<Copy AutoV2>
SHA-256
ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB<Copy SHA-256>
AutoV1
0123ABCD<Copy AutoV1>
AutoV3
CDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCDCD<Copy AutoV3>
BLAKE3
EFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFEF<Copy BLAKE3>
CRC32
89ABCDEF<Copy CRC32>
### Facts and their origins
|Fact|Value|Origin
| name|v2|from upstream
| sd_name|harbourLights_v2_77.safetensors|from upstream
| type|Lora|from upstream
| base_model|SDXL 1.0|from upstream
| base_model_type|Standard|from upstream
| is_nsfw|True|from upstream
| tags|harbour, night|from upstream
| categories|style, concept|from upstream
| cover_url|/covers/0123…/640.webp|from upstream
| rank|12345|from upstream
| file_name|harbourLights.safetensors|from upstream
| size_bytes|228600000|from upstream
| upstream_model_id|7|from upstream
| title|Harbour Lights|from upstream
| trigger_words|harbour lights, at dusk|from upstream
| published_at|2023-07-01T08:09:10Z|from upstream
| licence|CreativeML|from upstream
| source|Civitai|
### Evidence
From the file
type lora: lora_down and lora_up
""",
    "/models/79": """
[← All models](/)
!/static/art.svg#letters
The cover is on another site, and this page does not load it. [Open the cover](https://elsewhere.example/a.png)
Textual Inversion Unknown base model
# copy 79
copy
The file of this model is not on this server.
## May I use it?
The licence is not known. Ask the creator before you use it for more than yourself.
## Use this model
Prompt
copy_79<Copy Prompt>
Name in calls
copy_79<Copy Name in calls>
## Details
Base model
unknown
Added here
CREATED
## File
copy_79.safetensors not on this server
## Duplicates
[harbourLights v2 77](/models/77) same file
## For developers
Id
79
sd_name
copy_79.safetensors<Copy sd_name>
sd_name_in_api
copy_79<Copy sd_name_in_api>
API request
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1/v3/model?filter.model_version_id=79'
<Copy API request>
### Hashes
AutoV2
ABABABABAB<Copy AutoV2>
SHA-256
ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB<Copy SHA-256>
### Facts and their origins
|Fact|Value|Origin
| name|copy|from upstream
| sd_name|copy_79.safetensors|from upstream
| type|Textual Inversion|from upstream
| cover_url|https://elsewhere.example/a.png|from upstream
| source|Civitai|
""",
    "/models/1000000001": """
[← All models](/)
!/static/art.svg#lens
VAE SD 1.5 private
# own
Not available: no file, the owner or the server has not made it available
[Edit](/models/1000000001/edit) Delete
form post /models/1000000001/delete
{token}
Your team can restore it for 30 days.
<Delete this model>
## Details
Base model
[SD 1.5](/?filter.base_model=SD+1.5)
Visible to
your team team red
## File
own.pt
## For developers
Id
1000000001
sd_name
own.pt<Copy sd_name>
sd_name_in_api
own.pt<Copy sd_name_in_api>
API request
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1/v3/model?filter.model_version_id=1000000001'
<Copy API request>
### Facts and their origins
|Fact|Value|Origin
| name|own|set by the owner
| sd_name|own.pt|set by the owner
| type|VAE|set by the owner
| is_nsfw|True|set by the owner
| source|Uploaded|
""",
    "/models/1000000001/edit": """
[← own](/models/1000000001)
# Edit model
A value that you change takes precedence over the file and over imports, including later imports.
    With “Use that”, the field follows its source again.
form post /models/1000000001/edit
{token} {before_name=own hidden} {before_type_name=vae hidden} {before_base_model=SD 1.5 hidden}
    {before_base_model_type=Standard hidden} {before_description=0123… hidden}
    {before_trigger_words=0123… hidden} {before_weight= hidden} {before_weight_min= hidden}
    {before_weight_max= hidden} {before_tags= hidden} {before_licence_name= hidden}
    {before_licence_url= hidden} {before_licence_image= hidden} {before_licence_rent= hidden}
    {before_licence_sell= hidden} {before_licence_credit= hidden} {before_licence_derivatives= hidden}
    {before_licence_different= hidden} {before_cover_url= hidden} {before_visibility=private hidden}<Save>
Name
{name=own required max=100}
Description
Type
{type_name select} {checkpoint}Checkpoint {lora}LoRA {vae selected}VAE {controlnet}ControlNet
    {upscaler}Upscaler {textualinversion}Textual Inversion {locon}LoCon {dora}DoRA {hypernetwork}Hypernetwork
    {aestheticgradient}AestheticGradient {motionmodule}MotionModule {poses}Poses {wildcards}Wildcards
    {workflows}Workflows {detection}Detection {textencoder}TextEncoder {unet}UNet {clip}CLIP
    {clipvision}CLIPVision {ipadapter}IPAdapter {t2iadapter}T2IAdapter {other}Other {unknown}Unknown
Base model
{base_model=SD 1.5 max=100}
Variant
{base_model_type select} {}– { selected}Standard {}Inpainting {}Refiner {}Pix2Pix {}Depth
Visible to
{visibility select} {private selected}Your team {public}Everyone
How to use it
Trigger words, one on each line
Weight
{weight= max=10}
From
{weight_min= max=10}
To
{weight_max= max=10}
Tags, separated by commas
{tags=}
Categories
{category=realistic checkbox}realistic
{category=anime checkbox}anime
{category=character checkbox}character
{category=style checkbox}style
{category=concept checkbox}concept
{category=clothing checkbox}clothing
{category=poses checkbox}poses
{category=background checkbox}background
{category=buildings checkbox}buildings
{category=vehicle checkbox}vehicle
{category=objects checkbox}objects
{category=animal checkbox}animal
{category=action checkbox}action
{category=assets checkbox}assets
{category=tool checkbox}tool
{category=base model checkbox}base model
Licence
Name of the licence
{licence_name= max=200}
Address of the licence
{licence_url= max=2048}
Sell images
{licence_image select} { selected}not stated {yes}allowed {no}not allowed
Offer it in a paid service
{licence_rent select} { selected}not stated {yes}allowed {no}not allowed
Sell the model
{licence_sell select} { selected}not stated {yes}allowed {no}not allowed
Use without credit
{licence_credit select} { selected}not stated {yes}allowed {no}not allowed
Share derivatives
{licence_derivatives select} { selected}not stated {yes}allowed {no}not allowed
Other permissions for these
{licence_different select} { selected}not stated {yes}allowed {no}not allowed
Cover
Cover image
{cover= file}
Or a cover URL
{cover_url= max=2048}
{is_nsfw=1 checkbox}Not safe for work
<Save>[Cancel](/models/1000000001)
{Anima} {AuraFlow} {Chroma} {CogVideoX} {Flux 3 Video} {Flux.1 D} {Flux.1 Kontext} {Flux.1 Krea} {Flux.1 S}
    {Flux.2 D} {Flux.2 Klein 4B} {Flux.2 Klein 4B-base} {Flux.2 Klein 9B} {Flux.2 Klein 9B-base} {HiDream}
    {HiDream-O1} {Hunyuan 1} {Hunyuan Video} {Hunyuan3D} {Illustrious} {Imagen4} {Kling} {Kolors} {LTXV}
    {LTXV 2.3} {LTXV2} {Lumina} {Mochi} {Nano Banana} {NoobAI} {ODOR} {OpenAI} {PixArt E} {PixArt a}
    {Playground v2} {Pony} {Pony V7} {Qwen} {Qwen 2} {Qwen 3} {SD 1.4} {SD 1.5} {SD 1.5 Hyper} {SD 1.5 LCM}
    {SD 2.0} {SD 2.0 768} {SD 2.1} {SD 2.1 768} {SD 2.1 Unclip} {SD 3} {SD 3.5} {SD 3.5 Large}
    {SD 3.5 Large Turbo} {SD 3.5 Medium} {SDXL 0.9} {SDXL 1.0} {SDXL 1.0 LCM} {SDXL Distilled} {SDXL Hyper}
    {SDXL Lightning} {SDXL Turbo} {SVD} {SVD XT} {Seedance} {Seedream} {Sora 2} {Stable Cascade} {Upscaler}
    {Veo 3} {Vidu Q1} {Wan Image 2.7} {Wan Video} {Wan Video 1.3B t2v} {Wan Video 14B i2v 480p}
    {Wan Video 14B i2v 720p} {Wan Video 14B t2v} {Wan Video 2.2 I2V-A14B} {Wan Video 2.2 T2V-A14B}
    {Wan Video 2.2 TI2V-5B} {Wan Video 2.5 I2V} {Wan Video 2.5 T2V} {Wan Video 2.7} {ZImageBase} {ZImageTurbo}
""",
    "/keys": """
# API keys of red
[Overview](/team) [Keys](/keys) [Webhooks](/webhooks) [Audit](/audit) [Fetches](/fetches) \
[Sent to generators](/sends) [Recently deleted](/deleted)
|Name|Key|Permissions|Created|Last used|Expires|Status
|–| sk_KEY this session|admin, read, write|CREATED|never|never|Revoke sk_KEY
form post /keys/revoke
{token} {id=1 hidden}
This ends your session.
<Revoke sk_KEY>
Rotate sk_KEY
form post /keys/rotate
{token} {key=… hidden}
A new key takes its place. This key works for 24 more hours.
<Rotate sk_KEY>
form post /keys
## Create a key
{token}
Name
{name= max=60}
Purpose
{purpose= max=200}
Permissions
{scope=read checkbox checked}read
{scope=write checkbox}upload and edit
{scope=admin checkbox}everything, including keys
{scope=download checkbox}only download files
Expires
{days select} {}never {30}after 30 days {90}after 90 days {365}after 365 days
<Create key>
""",
    "/upload": """
# Upload
After the upload, the server computes the file’s hashes and checks its contents. It never executes the file.
Uploading from this page needs JavaScript. Without JavaScript, use a tus client with /v3/uploads;
    see [the API reference](/docs).
Drop model files here, or choose them
{ file multiple}
safetensors, gguf, ckpt, pt, pth, bin, onnx, sft · up to 100 GB
<Send all>
{Anima} {AuraFlow} {Chroma} {CogVideoX} {Flux 3 Video} {Flux.1 D} {Flux.1 Kontext} {Flux.1 Krea} {Flux.1 S}
    {Flux.2 D} {Flux.2 Klein 4B} {Flux.2 Klein 4B-base} {Flux.2 Klein 9B} {Flux.2 Klein 9B-base} {HiDream}
    {HiDream-O1} {Hunyuan 1} {Hunyuan Video} {Hunyuan3D} {Illustrious} {Imagen4} {Kling} {Kolors} {LTXV}
    {LTXV 2.3} {LTXV2} {Lumina} {Mochi} {Nano Banana} {NoobAI} {ODOR} {OpenAI} {PixArt E} {PixArt a}
    {Playground v2} {Pony} {Pony V7} {Qwen} {Qwen 2} {Qwen 3} {SD 1.4} {SD 1.5} {SD 1.5 Hyper} {SD 1.5 LCM}
    {SD 2.0} {SD 2.0 768} {SD 2.1} {SD 2.1 768} {SD 2.1 Unclip} {SD 3} {SD 3.5} {SD 3.5 Large}
    {SD 3.5 Large Turbo} {SD 3.5 Medium} {SDXL 0.9} {SDXL 1.0} {SDXL 1.0 LCM} {SDXL Distilled} {SDXL Hyper}
    {SDXL Lightning} {SDXL Turbo} {SVD} {SVD XT} {Seedance} {Seedream} {Sora 2} {Stable Cascade} {Upscaler}
    {Veo 3} {Vidu Q1} {Wan Image 2.7} {Wan Video} {Wan Video 1.3B t2v} {Wan Video 14B i2v 480p}
    {Wan Video 14B i2v 720p} {Wan Video 14B t2v} {Wan Video 2.2 I2V-A14B} {Wan Video 2.2 T2V-A14B}
    {Wan Video 2.2 TI2V-5B} {Wan Video 2.5 I2V} {Wan Video 2.5 T2V} {Wan Video 2.7} {ZImageBase} {ZImageTurbo}
form
Details of the model (optional)
Fields that you leave empty are filled from the file where possible.
Name
{name= max=100}
Type
{type_name select} {}from the file {checkpoint}Checkpoint {lora}LoRA {vae}VAE {controlnet}ControlNet
    {upscaler}Upscaler {textualinversion}Textual Inversion {locon}LoCon {dora}DoRA {hypernetwork}Hypernetwork
    {aestheticgradient}AestheticGradient {motionmodule}MotionModule {poses}Poses {wildcards}Wildcards
    {workflows}Workflows {detection}Detection {textencoder}TextEncoder {unet}UNet {clip}CLIP
    {clipvision}CLIPVision {ipadapter}IPAdapter {t2iadapter}T2IAdapter {other}Other
Base model
{base_model= max=100}
Variant
{base_model_type select} {}from the file {}Standard {}Inpainting {}Refiner {}Pix2Pix {}Depth
Visible to
{visibility select} {private selected}Your team {public}Everyone
Tags, separated by commas
{tags=}
Trigger words, one on each line
Description
{is_nsfw=1 checkbox}Not safe for work
""",
    "/models/404": """
!/static/art.svg#hourglass
# Not found
no model '404'
[Show all models](/)
""",
    "/?filter.types=none": """
!/static/art.svg#hourglass
# Invalid request
filter.types: 'none' is not accepted; accepted: checkpoint, lora, vae, controlnet, upscaler, textualinversion,
    aestheticgradient, clip, clipvision, detection, dora, hypernetwork, ipadapter, locon, motionmodule, other,
    poses, t2iadapter, textencoder, unet, unknown, wildcards, workflows
[Show all models](/)
""",
    "/parts/results?filter.types=vae": """
[ Remove the filter VAE](/)
{id=1000000001 checkbox} Choose own
[ !/static/art.svg#lens own VAE · SD 1.5 private not available popularity 0 Uploaded](/models/1000000001)
No more models
""",
    "/parts/filters?filter.types=vae": """
## Visibility
[ Public](/?filter.types=vae&filter.visibility=public)
[ Private to red](/?filter.types=vae&filter.visibility=private)
## Type 1
[ LoRA family 3](/?filter.types=vae&filter.types=lora)[ Not LoRA family](/?filter.types=vae
    &filter.types=%21lora)
[ Checkpoint 1](/?filter.types=vae&filter.types=checkpoint)[ Not Checkpoint](/?filter.types=vae
    &filter.types=%21checkpoint)
[ Textual Inversion 1](/?filter.types=vae
    &filter.types=textualinversion)[ Not Textual Inversion](/?filter.types=vae
    &filter.types=%21textualinversion)
[ VAE 1](/)[ Not VAE](/?filter.types=%21vae)
## Base model
[ SD 1.5 1](/?filter.types=vae&filter.base_model=SD+1.5)[ Not SD 1.5](/?filter.types=vae
    &filter.base_model=%21SD+1.5)
## Other
[ For inpainting](/?filter.types=vae&filter.is_inpainting=true)
[Remove all](/)
Show 1
1 model
form get /
{filter.types=vae hidden}
Sort by
{sort select} {popular selected}Most popular {newest}Newest {added}Added here {updated}Updated {name}Name
    {size}Largest
<Sort>
form post /preferences
{to=/?filter.types=vae hidden} <><>
form post /preferences
{to=/?filter.types=vae hidden} NSFW <Hide NSFW models><Blur NSFW models><Show NSFW models>
[Show versions singly](/?filter.types=vae&versions=singly) [Models of a picture](/resolve)
""",
}


@pytest.mark.parametrize("target", SIGNED_IN_PAGES)
def test_the_text_and_links_of_a_page_for_a_team(yard: App, target: str) -> None:
    page = signed_in(yard).ask(target).body

    assert SIGNED_IN_PAGES[target].strip() == hide_dates(main_text(page))


ANONYMOUS_PAGES = {
    "/": """
Models · Modelyard
[Skip to main content](#results)
[ 32 Modelyard](/)
form get /
Search models
{filter.search= search max=256} /
[Status](/status) [API](/docs) [Sign in](/sign-in)
# Models
{ checkbox}
Filters
## Type
[ Checkpoint 1](/?filter.types=checkpoint)[ Not Checkpoint](/?filter.types=%21checkpoint)
## Base model
[ SD 1.5 1](/?filter.base_model=SD+1.5)[ Not SD 1.5](/?filter.base_model=%21SD+1.5)
## Tags
form get /
{find.filter.tags= search max=100}
[ #harbour 1](/?filter.tags=harbour)
## Other
[ For inpainting](/?filter.is_inpainting=true)
Show 1
1 model
form get /
Sort by
{sort select} {popular selected}Most popular {newest}Newest {added}Added here {updated}Updated {name}Name
    {size}Largest
<Sort>
form post /preferences
{to=/ hidden} <><>
form post /preferences
{to=/ hidden} NSFW <Hide NSFW models><Blur NSFW models><Show NSFW models>
[Show versions singly](/?versions=singly) [Models of a picture](/resolve)
{id=7 checkbox} Choose model7 7
[ !/static/art.svg#rings model7 7 v7 Checkpoint · SD 1.5 popularity 993](/models/7)
No more models
form get /selection
<Use the chosen models> <Choose none>
form post /resolve
Drop a picture or a workflow to see which models it needs
{file= file hidden}
""",
    "/?filter.visibility=private": """
→ /sign-in?to=%2F%3Ffilter.visibility%3Dprivate
""",
    "/models/7": """
model7 7 · Modelyard
[Skip to main content](#main)
[ 32 Modelyard](/)
form get /
Search models
{filter.search= search max=256} /
[Status](/status) [API](/docs) [Sign in](/sign-in)
[← All models](/)
!/static/art.svg#rings
Checkpoint SD 1.5
# model7 7
v7
The file of this model is not on this server.
[#harbour](/?filter.tags=harbour)
## May I use it?
The licence is not known. Ask the creator before you use it for more than yourself.
## Use this model
Name in calls
model7_7.safetensors<Copy Name in calls>
## Details
Base model
[SD 1.5](/?filter.base_model=SD+1.5)
Popularity
993
## File
model7_7.safetensors not on this server
## For developers
Id
7
sd_name
model7_7.safetensors<Copy sd_name>
sd_name_in_api
model7_7.safetensors<Copy sd_name_in_api>
API request
curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1/v3/model?filter.model_version_id=7'
<Copy API request>
### Facts and their origins
|Fact|Value|Origin
| source|Civitai|
""",
    "/models/404": """
Not found · Modelyard
[Skip to main content](#main)
[ 32 Modelyard](/)
[Status](/status) [API](/docs) [Sign in](/sign-in)
!/static/art.svg#hourglass
# Not found
no model '404'
[Show all models](/)
""",
    "/keys": """
→ /sign-in?to=%2Fkeys
""",
    "/sign-in": """
Sign in · Modelyard
[Skip to main content](#main)
[ 32 Modelyard](/)
[Status](/status) [API](/docs) [Sign in](/sign-in)
!/static/art.svg#hills
# Sign in
form post /sign-in
Use an API key of your team. The browser stores a session cookie, not the key.
API key
{key= password required max=256}
{to=/ hidden} <Sign in>
No key yet? Ask the administrator of this server to create one with modelyard key create --team NAME.
""",
    "/sign-in?ended=1&to=/keys": """
Sign in · Modelyard
[Skip to main content](#main)
[ 32 Modelyard](/)
[Status](/status) [API](/docs) [Sign in](/sign-in)
!/static/art.svg#hills
# Sign in
form post /sign-in
Use an API key of your team. The browser stores a session cookie, not the key.
Your key was revoked or has expired.
API key
{key= password required max=256}
{to=/keys hidden} <Sign in>
No key yet? Ask the administrator of this server to create one with modelyard key create --team NAME.
""",
    "/sign-in?code=nothing&to=//evil": """
Sign in · Modelyard
[Skip to main content](#main)
[ 32 Modelyard](/)
[Status](/status) [API](/docs) [Sign in](/sign-in)
!/static/art.svg#hills
# Sign in
form post /sign-in
Use an API key of your team. The browser stores a session cookie, not the key.
API key
{key= password required max=256}
{to=/ hidden} <Sign in>
No key yet? Ask the administrator of this server to create one with modelyard key create --team NAME.
""",
}


@pytest.mark.parametrize("target", ANONYMOUS_PAGES)
def test_the_text_and_links_of_a_page_for_a_visitor_without_a_session(tmp_path: Path, target: str) -> None:
    with open_app(tmp_path, anonymous_access="public") as yard:
        yard.put(a_private(OWN, "red", name="own"), a_model(7, tags=("harbour",)))
        reply = yard.ask(target, None)

    shown = page_text(reply.body) if reply.body else f"→ {reply.headers['location']}"
    assert ANONYMOUS_PAGES[target].strip() == hide_dates(shown)


@pytest.fixture
def red(tmp_path: Path) -> Iterator[Browser]:
    """A team with one model, whose session may do everything."""
    with open_app(tmp_path, clock=lambda: 1_700_000_000) as yard:
        own = a_private(OWN, "red", name="own", sd_name="own.pt", type=VAE)
        with yard.store.transaction() as transaction:
            transaction.put([Entry(own, {Layer.USER: Facts(name="own", sd_name="own.pt", type=VAE)})])
        yield signed_in(yard)


def test_the_page_of_keys_shows_the_state_of_each_and_a_new_key_once(red: Browser) -> None:
    access = red.yard.access
    revoked, _ = access.create_key("red", [Scope.READ])
    access.revoke_key(revoked)
    access.create_key("red", [Scope.WRITE, Scope.READ], expires_in_seconds=86_400)

    made = red.post("/keys", fields={"scope": "admin", "days": "90", "name": "laptop", "purpose": "drawing"})
    refused = red.post("/keys")

    assert (200, 400) == (made.status, refused.status)
    assert NEW_KEY.strip() == CREATION.sub("CREATED", main_text(made.body))
    message = "Copy your new key “laptop” now. It is not shown again.\nsk_KEY<Copy key>"
    assert NEW_KEY.strip().replace(message, "Choose at least one permission.") == CREATION.sub(
        "CREATED", main_text(refused.body)
    )


def hide_dates(text: str) -> str:
    """The text without the days on which keys were made and models were added."""
    return ADDITION.sub("ADDED", CREATION.sub("CREATED", text))


ADDITION = re.compile(r"\d{1,2} [A-Z][a-z]{2} 20(?!23)\d\d")
# Days that a test run decides: of keys, and when the store got a model.
CREATION = re.compile(
    r"(?<=\|)20\d\d-\d\d-\d\d(?=\|never\|)|(?<=Added here\n)20\d\d-\d\d-\d\d|(?<=SD 1\.5 · )20\d\d-\d\d-\d\d(?=\])"
)
NEW_KEY = """
# API keys of red
[Overview](/team) [Keys](/keys) [Webhooks](/webhooks) [Audit](/audit) [Fetches](/fetches) \
[Sent to generators](/sends) [Recently deleted](/deleted)
Copy your new key “laptop” now. It is not shown again.
sk_KEY<Copy key>
|Name|Key|Permissions|Created|Last used|Expires|Status
over:|laptop drawing| sk_KEY|admin|CREATED|never|2024-02-12|expired
over:|–| sk_KEY|read, write|CREATED|never|2023-11-15|expired
over:|–| sk_KEY|read|CREATED|never|never|revoked
|–| sk_KEY this session|admin, read, write|CREATED|never|never|Revoke sk_KEY
form post /keys/revoke
{token} {id=1 hidden}
This ends your session.
<Revoke sk_KEY>
Rotate sk_KEY
form post /keys/rotate
{token} {key=… hidden}
A new key takes its place. This key works for 24 more hours.
<Rotate sk_KEY>
form post /keys
## Create a key
{token}
Name
{name= max=60}
Purpose
{purpose= max=200}
Permissions
{scope=read checkbox checked}read
{scope=write checkbox}upload and edit
{scope=admin checkbox}everything, including keys
{scope=download checkbox}only download files
Expires
{days select} {}never {30}after 30 days {90}after 90 days {365}after 365 days
<Create key>
"""


def test_the_form_to_edit_keeps_what_was_typed_and_says_what_is_wrong(red: Browser) -> None:
    fields = {"name": "a/b", "type_name": "lora", "tags": "x, y", "category": "style", "reset": "type_name"}
    reply = red.post(f"/models/{OWN}/edit", fields=fields | {"visibility": "public", "is_nsfw": "1", "uncover": "1"})

    assert 400 == reply.status
    assert EDIT_AGAIN.strip() == main_text(reply.body).partition("\n{Anima}")[0]


EDIT_AGAIN = """
[← own](/models/1000000001)
# Edit model
A value that you change takes precedence over the file and over imports, including later imports.
    With “Use that”, the field follows its source again.
name: 'a/b' is not accepted; accepted: 1 to 100 of A-Z a-z 0-9 _ . - and spaces, or a title in another script
form post /models/1000000001/edit
{token} {before_name=own hidden} {before_type_name=vae hidden} {before_base_model=SD 1.5 hidden}
    {before_base_model_type=Standard hidden} {before_description=0123… hidden}
    {before_trigger_words=0123… hidden} {before_weight= hidden} {before_weight_min= hidden}
    {before_weight_max= hidden} {before_tags= hidden} {before_licence_name= hidden}
    {before_licence_url= hidden} {before_licence_image= hidden} {before_licence_rent= hidden}
    {before_licence_sell= hidden} {before_licence_credit= hidden} {before_licence_derivatives= hidden}
    {before_licence_different= hidden} {before_cover_url= hidden} {before_visibility=private hidden}<Save>
Name
{name=a/b required max=100}
Description
Type
{type_name select} {checkpoint}Checkpoint {lora selected}LoRA {vae}VAE {controlnet}ControlNet
    {upscaler}Upscaler {textualinversion}Textual Inversion {locon}LoCon {dora}DoRA {hypernetwork}Hypernetwork
    {aestheticgradient}AestheticGradient {motionmodule}MotionModule {poses}Poses {wildcards}Wildcards
    {workflows}Workflows {detection}Detection {textencoder}TextEncoder {unet}UNet {clip}CLIP
    {clipvision}CLIPVision {ipadapter}IPAdapter {t2iadapter}T2IAdapter {other}Other {unknown}Unknown
Base model
{base_model= max=100}
Variant
{base_model_type select} {}– {}Standard {}Inpainting {}Refiner {}Pix2Pix {}Depth
Visible to
{visibility select} {private}Your team {public selected}Everyone
How to use it
Trigger words, one on each line
Weight
{weight= max=10}
From
{weight_min= max=10}
To
{weight_max= max=10}
Tags, separated by commas
{tags=x, y}
Categories
{category=realistic checkbox}realistic
{category=anime checkbox}anime
{category=character checkbox}character
{category=style checkbox checked}style
{category=concept checkbox}concept
{category=clothing checkbox}clothing
{category=poses checkbox}poses
{category=background checkbox}background
{category=buildings checkbox}buildings
{category=vehicle checkbox}vehicle
{category=objects checkbox}objects
{category=animal checkbox}animal
{category=action checkbox}action
{category=assets checkbox}assets
{category=tool checkbox}tool
{category=base model checkbox}base model
Licence
Name of the licence
{licence_name= max=200}
Address of the licence
{licence_url= max=2048}
Sell images
{licence_image select} { selected}not stated {yes}allowed {no}not allowed
Offer it in a paid service
{licence_rent select} { selected}not stated {yes}allowed {no}not allowed
Sell the model
{licence_sell select} { selected}not stated {yes}allowed {no}not allowed
Use without credit
{licence_credit select} { selected}not stated {yes}allowed {no}not allowed
Share derivatives
{licence_derivatives select} { selected}not stated {yes}allowed {no}not allowed
Other permissions for these
{licence_different select} { selected}not stated {yes}allowed {no}not allowed
Cover
Cover image
{cover= file}
Or a cover URL
{cover_url= max=2048}
{uncover=1 checkbox checked}Remove the cover
{is_nsfw=1 checkbox checked}Not safe for work
<Save>[Cancel](/models/1000000001)
"""


def test_a_refused_key_and_a_forbidden_page_say_what_is_wrong(red: Browser) -> None:
    body = urlencode({"key": "sk_nobody", "to": "/keys"}).encode()
    refused = red.yard.ask("/sign-in", None, method="POST", body=body)
    forbidden = signed_in(red.yard, "red", Scope.READ).ask("/upload")

    assert (401, REFUSED.strip()) == (refused.status, main_text(refused.body))
    assert (403, FORBIDDEN.strip()) == (forbidden.status, page_text(forbidden.body))


REFUSED = """
!/static/art.svg#hills
# Sign in
form post /sign-in
Use an API key of your team. The browser stores a session cookie, not the key.
This key isn’t valid.
API key
{key= password required max=256}
{to=/keys hidden} <Sign in>
No key yet? Ask the administrator of this server to create one with modelyard key create --team NAME.
"""
FORBIDDEN = """
Not allowed · Modelyard
[Skip to main content](#main)
[ 32 Modelyard](/)
[Team](/team) [Status](/status) [API](/docs)
form post /sign-out
<Sign out red>
!/static/art.svg#hourglass
# Not allowed
this key lacks the scope 'write'
[Show all models](/)
"""


def test_the_gallery_remembers_what_is_done_with_covers_and_how_models_are_listed(red: Browser) -> None:
    reply = red.post("/preferences", fields={"nsfw": "shown", "to": "/?filter.types=vae"})
    assert (303, "/?filter.types=vae") == (reply.status, reply.headers["location"])
    assert "modelyard_nsfw=shown; Path=/; Max-Age=31622400; HttpOnly; SameSite=Lax" == reply.headers["set-cookie"]
    red.cookie += "; " + reply.headers["set-cookie"].partition(";")[0]

    page = red.ask("/").body

    assert b'<body class="shows-nsfw">' in page
    assert b'name="nsfw" value="shown" aria-pressed="true"' in page
    reply = red.post("/preferences", fields={"view": "list", "to": "/"})
    red.cookie += "; " + reply.headers["set-cookie"].partition(";")[0]
    assert b'<ol class="rows" id="grid">' in red.ask("/").body
