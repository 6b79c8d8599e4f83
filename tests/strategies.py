"""Generated catalogues and questions: small vocabularies, so that questions meet models, and odd scripts throughout."""

from dataclasses import replace

from hypothesis import strategies as st

from modelyard.domain import (
    ANONYMOUS,
    COMMERCIAL_USES,
    POPULAR,
    SORTS,
    Hashes,
    Licence,
    Model,
    ModelQuery,
    Offset,
    Position,
    SortPosition,
    Source,
    Status,
    Viewer,
    Visibility,
    fold,
    fold_base,
    model_type,
    words_of,
)

TEAMS = ("red", "blue")
TYPES = ("checkpoint", "LORA", "LoCon", "VAE", "Controlnet", "Upscaler", "TextualInversion", "Poses")
BASES = ("SD 1.5", "SDXL 1.0", "Pony", "SD_1.5", "Ünknown 9", "")
WORDS = (
    "realistic",
    "Vision",
    "手",
    "жанр",
    "ﬁsh",
    "ΣΑΣ",
    "a",
    "v1.5",
    "İx",
    "ß",
    "mix",
    "XL",
    "\u00a0nb",
    "😀",
    "_",
    "real",
    # Every trigram of the first lies in the second, and the word does not.
    "animetic",
    "animexx nimetic",
)
TAGS = ("anime", "Base Model", "手描き", "anatomical", " padded ", "ß", "line\nfeed", "real")
HEX = "0123456789ABCDEF"

names = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).flatmap(
    lambda words: st.sampled_from(("", " ", "_", "\t")).map(lambda joint: joint.join(words))
)
digests = st.integers(0, 5).map(lambda n: HEX[n] * 64)
hashes = st.builds(
    Hashes,
    autov1=st.none() | digests.map(lambda d: d[:8]),
    autov3=st.none() | digests,
    sha256=st.none() | digests,
    blake3=st.none() | digests,
    crc32=st.none() | digests.map(lambda d: d[:8]),
)


three_valued = st.none() | st.booleans()
licences = st.none() | st.builds(
    Licence,
    id=st.none() | st.sampled_from(("Apache-2.0", " MIT ")),
    allow_commercial=st.none() | st.lists(st.sampled_from(COMMERCIAL_USES), unique=True).map(tuple),
    allow_no_credit=three_valued,
    allow_derivatives=three_valued,
)
sort_numbers = st.none() | st.integers(-1, 5)
few_ids = st.integers(1, 40)


@st.composite
def models(draw: st.DrawFn, ids: st.SearchStrategy[int] = few_ids) -> Model:
    team = draw(st.none() | st.sampled_from(TEAMS))
    private = team is not None and draw(st.booleans())
    return Model(
        id=draw(ids),
        name=draw(names),
        sd_name=draw(names) + draw(st.sampled_from((".safetensors", ".pt", ""))),
        type=model_type(draw(st.sampled_from(TYPES))),
        source=draw(st.sampled_from(Source)),
        visibility=Visibility.PRIVATE if private else Visibility.PUBLIC,
        team=team,
        status=draw(st.sampled_from(Status)),
        base_model=draw(st.sampled_from(BASES)),
        base_model_type=draw(st.sampled_from(("Standard", "Inpainting", ""))),
        is_sdxl=draw(st.booleans()),
        is_nsfw=draw(st.booleans()),
        tags=tuple(draw(st.lists(st.sampled_from(TAGS), max_size=4))),
        rank=draw(st.integers(-2, 6)),
        hashes=draw(hashes),
        licence=draw(licences),
        title=draw(st.just("") | names),
        creator=draw(st.sampled_from(("", "An.Artist", "手"))),
        trigger_words=tuple(draw(st.lists(st.sampled_from(("trigger-word", "style (one)", "real")), max_size=2))),
        file_names=tuple(draw(st.lists(st.sampled_from(("real_is'tic.pt", "f.pt")), max_size=2))),
        published_at=draw(sort_numbers),
        updated_at=draw(sort_numbers),
        added_at=draw(sort_numbers),
        size_bytes=draw(sort_numbers),
    )


viewers = st.sampled_from((ANONYMOUS, *(Viewer(team) for team in (*TEAMS, "nobody"))))
terms = st.lists(
    st.sampled_from((*WORDS, "e", "al", "жа", "手", "visi", "zzz", "safetensors", "s", "bas"))
    .map(lambda word: tuple(fold(word).split()))
    .filter(bool)
    .map(lambda parts: parts[0]),
    max_size=3,
).map(lambda found: tuple(dict.fromkeys(found)))


def choices(*values: str) -> st.SearchStrategy[frozenset[str]]:
    """Values that are asked for, and values that are excluded; often none."""
    signed = st.tuples(st.sampled_from(("", "", "!")), st.sampled_from(values)).map("".join)
    return (
        st.just(frozenset())
        | st.just(frozenset())
        | st.just(frozenset())
        | st.frozensets(signed, min_size=1, max_size=3)
    )


positions = st.builds(Position, st.integers(-3, 7), st.integers(0, 41))
plain_queries = st.builds(
    ModelQuery,
    visibility=st.none() | st.sampled_from(Visibility),
    sources=choices(*(source.value for source in Source)),
    types=choices(*(name.casefold() for name in TYPES)),
    is_sdxl=st.none() | st.booleans(),
    is_inpainting=st.sampled_from((False, False, False, True)),
    is_nsfw=st.none() | st.booleans(),
    terms=terms,
    tags=st.just(()) | st.lists(st.sampled_from(TAGS).map(lambda tag: fold(tag).strip()), max_size=2).map(tuple),
    base_models=choices(*map(fold_base, BASES)),
    licences=choices("apache-2.0", "mit", "unknown"),
    commercial=choices(*COMMERCIAL_USES, "unknown"),
    credit=choices("required", "not_required", "unknown"),
    derivatives=choices("allowed", "not_allowed", "unknown"),
    sizes=choices("0-100mb", "2-8gb", "unknown"),
    years=choices("1970", "unknown"),
    id=st.none() | st.none() | st.none() | st.integers(1, 41),
    hash=st.none() | st.none() | digests.flatmap(lambda d: st.sampled_from((8, 10, 12, 64)).map(lambda n: d[:n])),
    limit=st.integers(1, 12),
    start=st.none() | positions | st.integers(0, 30).map(Offset),
)


@st.composite
def sorted_starts(draw: st.DrawFn) -> dict[str, object]:
    """An order, and a start in it."""
    name = draw(st.sampled_from(SORTS))
    sort = draw(st.sampled_from(("", "-"))) + name
    start: object = draw(st.none() | st.integers(0, 30).map(Offset))
    if sort == POPULAR:
        start = draw(st.none() | positions)
    elif start is None and draw(st.booleans()):
        keys = {POPULAR: st.integers(-3, 7), "name": st.sampled_from(("", "real", "mix_xl", "手"))}
        start = SortPosition(sort, draw(keys.get(name, st.none() | st.integers(-1, 6))), draw(st.integers(0, 41)))
    return {"sort": sort, "start": start}


words = st.lists(
    st.sampled_from((*WORDS, "al is", "mixxl", "artist", "visionv15", "trigger", "手描き", "style one", "f.pt"))
    | digests.flatmap(lambda d: st.sampled_from((8, 10, 12, 64)).map(lambda n: d[:n])),
    min_size=1,
    max_size=3,
).map(lambda found: words_of(fold(" ".join(found))))


# Half of them in the document's order.
listed = plain_queries | st.tuples(plain_queries, sorted_starts()).map(lambda pair: replace(pair[0], **pair[1]))
# A third of them search all fields.
queries = listed | listed | st.tuples(listed, words).map(lambda pair: replace(pair[0], terms=(), words=pair[1]))
