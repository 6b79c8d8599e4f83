"""The table of what models and their parts look like, by tensor names and shapes.

A rule names tensors that must be there, tensors that must not, and sizes; the first rule that matches under one of its
prefixes decides. So a rule stands before every rule that would match the same file with less knowledge. Every rule
carries the source of its evidence and, where headers cannot tell things apart, says so in ``candidates`` and
``cannot_tell``. Adapters (LoRA and kin) have their own table in ``layers``, because there the layers and not the whole
decide.

Sources, by the letters used in the rules: C: ComfyUI ``model_detection.py`` (which shapes its loader tells apart), S:
SwarmUI ``T2IModelClassSorter.cs``, I: InvokeAI's recorded state dicts and model configurations, M: sd-mecha's model
configurations, T: the component lists of the A1111 model toolkit, P: spandrel's architectures, K: kohya sd-scripts,
R: a real file's header.
"""

from modelyard.inspection.header import Header
from modelyard.inspection.rules import autoencoders, controls, embeddings, encoders, transformers, unets, upscalers
from modelyard.inspection.rules.rule import Rule

RULES: tuple[Rule, ...] = (
    # First, because some ControlNets hold the whole checkpoint beside the control network.
    *controls.CONTROL_RULES,
    *unets.UNET_RULES,
    *transformers.TRANSFORMER_RULES,
    *controls.ADAPTER_RULES,
    *controls.MOTION_RULES,
    *embeddings.EMBEDDING_RULES,
    *embeddings.HYPERNETWORK_RULES,
    *upscalers.UPSCALER_RULES,
    *autoencoders.VAE_RULES,
    *encoders.ENCODER_RULES,
)


def first_match(header: Header) -> tuple[Rule, str] | None:
    """Return the first rule that matches, and under which prefix."""
    for rule in RULES:
        for prefix in rule.prefixes:
            if rule.matches(header, prefix):
                return rule, prefix
    return None
