"""What a model is, from its header: type, base, variant, dialect, precision, size, trigger words; each with evidence.

Order of belief: tensors decide type and architecture. Notes in the metadata (``modelspec.*``, ``ss_*``) then choose
among the bases that the tensors leave open, and speak alone where no tensor rule matches. A note that contradicts
the tensors is shown as evidence and not followed. Last come the names of file and folder: they only choose.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.inspection import adapter_bases, adapters, header_metadata, marks, recognition
from modelyard.inspection.families import BY_INPUTS, Family
from modelyard.inspection.findings import CERTAIN, LIKELY, NONE, PLAUSIBLE, UNKNOWN, Evidence, Finding
from modelyard.inspection.header import Header
from modelyard.inspection.header_metadata import Claim
from modelyard.inspection.layers import layers_of, prefixes_of
from modelyard.inspection.marks import Mark
from modelyard.inspection.precision import read_precision
from modelyard.inspection.recognition import Recognition

_NOT_KNOWN = Finding()
# The parts of a checkpoint that a file has: the diffusion model alone, or what is needed beside it as well.
WHOLE, UNET = "whole", "unet"
# The conclusions of notes and names.
CHOSEN = "chooses among what the tensors leave open"
NOT_FOLLOWED = "contradicts the tensors; not followed"


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a model, from its header."""

    type: Finding = _NOT_KNOWN
    base_model: Finding = _NOT_KNOWN
    base_model_type: Finding = _NOT_KNOWN
    architecture: Finding = _NOT_KNOWN
    dialect: Finding = _NOT_KNOWN
    # For checkpoints: "whole" (text encoder or VAE inside) or "unet" (the diffusion model alone).
    part: Finding = _NOT_KNOWN
    precision: Finding = _NOT_KNOWN
    parameters: int | None = None
    trigger_words: tuple[str, ...] = ()


def identify(header: Header, name: str = "") -> Identity:
    """Identify the model with this header. ``name`` is that of its folder and file, where they have one.

    Cost: a few passes over the tensors' names, 1–3 ms for a thousand.
    """
    claims = header_metadata.claims(header.metadata)
    adapter = adapters.read_adapter(header)
    if adapter is not None:
        identity = _of_adapter(adapter)
    else:
        identity = _of_model(header)
    if named := header_metadata.claim_of_name(name, identity.base_model):
        claims.append(named)
    identity = _with_notes(identity, claims)
    precision = read_precision(header)
    return Identity(
        type=identity.type,
        base_model=identity.base_model,
        base_model_type=identity.base_model_type,
        architecture=identity.architecture,
        dialect=identity.dialect,
        part=identity.part,
        precision=precision.finding,
        parameters=precision.parameters,
        trigger_words=header_metadata.trigger_words(header.metadata),
    )


# Fewer layers than these, and only a part of a layout: nothing is said.
_LAYERS_MIN = 20


def _of_model(header: Header) -> Identity:
    """A file that has all that a layout has is of its family; marks know what no layout is printed of."""
    layers = layers_of(header)
    match = marks.first_match(header, prefixes_of(layers))
    if match is not None and match[0].family.type in _INSIDE and _is_minority(header, match[1]):
        match = None
    found = recognition.recognise_layers(layers)
    if match is None:
        return _of_recognition(found, header) if found is not None and _is_telling(found) else Identity()
    if found is not None and found.is_whole and found.has_sizes and _knows_better(found, match[0]):
        return _of_recognition(found, header)
    return _of_mark(*match, header)


def _knows_better(found: Recognition, mark: Mark) -> bool:
    """Whether a whole layout says something else than a mark, or the same more surely. What is beside a network, such
    as a ControlNet, a mark sees by a tensor that the network does not have."""
    if mark.family.type != found.first.type:
        return found.first.type != "checkpoint" or mark.family.type in _INSIDE
    return mark.family.bases[:1] != found.first.bases[:1] or found.confidence > mark.confidence


def _is_minority(header: Header, prefix: str) -> bool:
    """Whether most of a file's tensors have another prefix: what was recognised is only a part of it."""
    return bool(prefix) and 2 * sum(name.startswith(prefix) for name in header.tensors) < len(header.tensors)


# Models that lie inside a checkpoint, and say nothing of it.
_INSIDE = ("vae", "textencoder", "clip", "clipvision")


def _is_telling(found: Recognition) -> bool:
    return found.confidence >= LIKELY or found.layers >= _LAYERS_MIN


def _of_recognition(found: Recognition, header: Header) -> Identity:
    return _of_family(found.first, found.base(), found.confidence, (found.evidence(),), found.prefix, header)


def _of_mark(mark: Mark, prefix: str, header: Header) -> Identity:
    evidence = _evidence(mark, prefix, header)
    base = recognition.base_of((mark.family,), mark.confidence, evidence)
    return _of_family(mark.family, base, mark.confidence, evidence, prefix, header)


def _of_family(
    family: Family, base: Finding, sureness: float, evidence: tuple[Evidence, ...], prefix: str, header: Header
) -> Identity:
    is_known = family.architecture != UNKNOWN
    return Identity(
        type=Finding(family.type, sureness, evidence),
        base_model=base,
        base_model_type=_variant(family, sureness, evidence[:1], prefix, header),
        architecture=Finding(family.architecture, sureness, evidence) if is_known else _NOT_KNOWN,
        part=_part(header, prefix) if family.type == "checkpoint" else _NOT_KNOWN,
    )


def _base_of_adapter(adapter: adapters.Adapter) -> tuple[Finding, Finding]:
    """The base of an adapter and its architecture, from the layouts, or else from the rules."""
    found = recognition.recognise_adapter(adapter)
    if found is not None and (base := found.base()).is_known:
        sureness = min(LIKELY, base.confidence)
        architecture = Finding(found.first.architecture, LIKELY, base.evidence)
        return Finding(base.value, sureness, base.evidence, base.candidates), architecture
    base, name = adapter_bases.find_base(adapter)
    return base, Finding(name, LIKELY, base.evidence) if name != UNKNOWN else _NOT_KNOWN


def _of_adapter(adapter: adapters.Adapter) -> Identity:
    type_, why = adapters.type_of(adapter)
    base, architecture = _base_of_adapter(adapter)
    roles = ", ".join(sorted(adapter.roles))
    return Identity(
        type=Finding(type_, CERTAIN, (Evidence("adapter", "tensor", f"{len(adapter.layers)} layers", roles, why),)),
        base_model=base,
        architecture=architecture,
        dialect=Finding(
            adapter.dialect if adapter.kind == "lora" else f"{adapter.dialect} {adapter.kind}",
            LIKELY,
            (Evidence("dialect", "tensor", "layers", f"{len(adapter.layers)} layers spelled so"),),
        ),
    )


def _evidence(mark: Mark, prefix: str, header: Header) -> tuple[Evidence, ...]:
    """Return at most three tensors of a mark as evidence, and what its family's record says of them."""
    telling = dict.fromkeys([size.tensor for size in mark.sizes] + list(mark.needs))
    names = [prefix + name for name in telling] or [next(iter(header.tensors))]
    return tuple(
        Evidence(mark.name, "tensor", name, f"{header.tensors[name].dtype} {list(header.tensors[name].shape)}", says)
        for name, says in zip(names, (mark.family.note, "", ""), strict=False)
    )


# Channels of the first convolution: the latent's 4, with the mask and masked latent (5 more), with the source image's
# latent (4 more), with a depth map (1 more), with a small picture (3 more).
_VARIANTS = {4: "Standard", 9: "Inpainting", 8: "Pix2Pix", 5: "Depth"}


# The first convolution of a UNet, in the names of the original code and of diffusers.
_INPUTS = ("input_blocks.0.0.weight", "conv_in.weight")


def _variant(family: Family, sureness: float, evidence: tuple[Evidence, ...], prefix: str, header: Header) -> Finding:
    if family.variant not in (UNKNOWN, BY_INPUTS):
        return Finding(family.variant, sureness, evidence)
    for name in _INPUTS if family.variant == BY_INPUTS else ():
        if header.shape(prefix + name):
            return _variant_by_inputs(header, prefix + name)
    return _NOT_KNOWN


def _variant_by_inputs(header: Header, name: str) -> Finding:
    shape = header.shape(name)
    if shape is None or len(shape) != 4:
        return _NOT_KNOWN
    evidence = Evidence("input-channels", "tensor", name, str(list(shape)), f"{shape[1]} input channels")
    variant = _VARIANTS.get(shape[1], UNKNOWN)
    return Finding(variant, CERTAIN if variant != UNKNOWN else NONE, (evidence,))


# One tensor each of the VAEs and text encoders that checkpoints carry.
_COMPANIONS = (
    "first_stage_model.decoder.conv_in.weight",
    "vae.decoder.conv_in.weight",
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    "cond_stage_model.transformer.embeddings.token_embedding.weight",
    "cond_stage_model.model.token_embedding.weight",
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
    "conditioner.embedders.0.model.token_embedding.weight",
    "text_encoders.clip_l.transformer.text_model.embeddings.token_embedding.weight",
    "text_encoders.t5xxl.transformer.shared.weight",
    "text_encoder.text_model.embeddings.token_embedding.weight",
)


def _part(header: Header, prefix: str) -> Finding:
    for name in _COMPANIONS:
        if name in header.tensors:
            says = "a text encoder or VAE is inside"
            return Finding(WHOLE, CERTAIN, (Evidence("parts", "tensor", name, "present", says),))
    says = "no text encoder and no VAE inside: the diffusion model alone"
    return Finding(UNET, LIKELY, (Evidence("parts", "tensor", prefix or "(no prefix)", "alone", says),))


def _with_notes(identity: Identity, claims: Sequence[Claim]) -> Identity:
    """Use the metadata to choose among candidates of the tensors, and to fill unknown findings."""
    base, architecture, type_, variant = (
        identity.base_model,
        identity.architecture,
        identity.type,
        identity.base_model_type,
    )
    tensors_spoke = type_.is_known
    chosen = False
    for claim in claims:
        if claim.base_model is not None:
            if not _agrees(claim, base, architecture, tensors_spoke):
                says = NOT_FOLLOWED
            elif not chosen and _is_finer(claim, base):
                confidence = max(claim.confidence, base.confidence) if claim.is_note else claim.confidence
                base = Finding(claim.base_model, confidence, base.evidence, base.candidates)
                says, chosen = CHOSEN if tensors_spoke else "", True
            else:
                says = "agrees" if claim.base_model == base.value else "agrees on the family"
            base = _and(base, claim.evidence, says)
        if claim.architecture is not None and not architecture.is_known and not tensors_spoke:
            architecture = Finding(claim.architecture, claim.confidence, (claim.evidence,))
        if claim.type is not None and not type_.is_known:
            type_ = Finding(claim.type, PLAUSIBLE, (claim.evidence,))
        if claim.variant is not None and not variant.is_known:
            variant = Finding(claim.variant, claim.confidence, (claim.evidence,))
    return Identity(type_, base, variant, architecture, identity.dialect, identity.part)


def _agrees(claim: Claim, base: Finding, architecture: Finding, tensors_spoke: bool) -> bool:
    """Whether a claim is one of the answers that the tensors allow."""
    if base.candidates:
        return claim.base_model in base.candidates or claim.base_model == base.value
    if architecture.is_known:
        return claim.architecture == architecture.value
    return not tensors_spoke or not base.is_known


def _is_finer(claim: Claim, base: Finding) -> bool:
    """Whether a claim tells more than the tensors. A family's own name tells nothing: kohya writes "sdxl_base_v1-0"
    into every LoRA for SDXL's shape, Pony and Illustrious included."""
    if not claim.is_note:
        return claim.base_model in base.candidates and claim.base_model != base.value
    if not base.is_known:
        return True
    if claim.evidence.rule == "trained-on":
        return claim.base_model in base.candidates
    return claim.evidence.rule == "modelspec" and claim.base_model in base.candidates and claim.base_model != base.value


def _and(finding: Finding, evidence: Evidence, says: str) -> Finding:
    observation = Evidence(evidence.rule, evidence.source, evidence.name, evidence.value, says or evidence.says)
    return Finding(finding.value, finding.confidence, (*finding.evidence, observation), finding.candidates)
