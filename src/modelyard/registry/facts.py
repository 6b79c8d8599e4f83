"""Facts from an inspection, with their evidence."""

from dataclasses import replace

from modelyard.domain import Hashes, model_type
from modelyard.facts import Facts
from modelyard.inspection import Finding, Identity, Inspection


def facts_from_inspection(inspection: Inspection) -> Facts:
    """Return the facts of an inspected file; the first line of the evidence is the verdict."""
    hashes = inspection.hashes
    facts = facts_from_identity(inspection.identity)
    return replace(
        facts,
        hashes=None
        if hashes is None
        else Hashes(hashes.autov1, hashes.autov3, hashes.sha256, hashes.blake3, hashes.crc32, hashes.autov2),
        size_bytes=inspection.size_bytes,
        evidence=(f"{inspection.verdict}: {inspection.reason}", *(facts.evidence or ())),
    )


def facts_from_identity(identity: Identity) -> Facts:
    """Return what the tensors and the metadata say, with the evidence of each finding."""
    findings = (("type", identity.type), ("base model", identity.base_model), ("variant", identity.base_model_type))
    evidence = [line for name, finding in findings if finding.is_known for line in _evidence(name, finding)]
    return Facts(
        type=model_type(identity.type.value) if identity.type.is_known else None,
        base_model=identity.base_model.value if identity.base_model.is_known else None,
        base_model_type=identity.base_model_type.value if identity.base_model_type.is_known else None,
        trigger_words=identity.trigger_words or None,
        evidence=tuple(evidence),
    )


def _evidence(name: str, finding: Finding) -> list[str]:
    return [
        f"{name} {finding.value}: {item.rule}: {item.name}: {item.value}" + (f" ({item.says})" if item.says else "")
        for item in finding.evidence
    ]
