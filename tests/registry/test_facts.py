"""What an inspection says becomes facts, each with its evidence."""

from modelyard.domain import Hashes, Verdict, model_type
from modelyard.facts import Facts
from modelyard.inspection import Evidence, FileHashes, Finding, Identity, Inspection
from modelyard.registry.facts import facts_from_identity, facts_from_inspection


def finding(value: str, *evidence: Evidence) -> Finding:
    return Finding(value, 0.99, evidence)


IDENTITY = Identity(
    type=finding(
        "lora", Evidence("names", "tensor", "a.lora_up", "1 × 2", "a LoRA"), Evidence("r", "tensor", "b", "3")
    ),
    base_model=finding("SD 1.5", Evidence("width", "tensor", "k", "768")),
    base_model_type=finding("Inpainting", Evidence("inputs", "tensor", "conv_in", "9")),
    trigger_words=("night", "sea"),
)


def test_an_inspected_file_gives_its_facts_with_the_verdict_before_the_evidence() -> None:
    hashes = FileHashes("A" * 64, "B" * 8, "A" * 10, "C" * 64, "D" * 64, "E" * 8)

    facts = facts_from_inspection(Inspection(7, "safetensors", Verdict.CLEAN, "sound", IDENTITY, hashes))

    assert facts == Facts(
        type=model_type("lora"),
        base_model="SD 1.5",
        base_model_type="Inpainting",
        hashes=Hashes("B" * 8, "C" * 64, "A" * 64, "D" * 64, "E" * 8, "A" * 10),
        size_bytes=7,
        trigger_words=("night", "sea"),
        evidence=(
            "clean: sound",
            "type lora: names: a.lora_up: 1 × 2 (a LoRA)",
            "type lora: r: b: 3",
            "base model SD 1.5: width: k: 768",
            "variant Inpainting: inputs: conv_in: 9",
        ),
    )


def test_a_file_that_says_nothing_gives_no_fact_but_its_size_and_verdict() -> None:
    assert Facts(evidence=()) == facts_from_identity(Identity())
    assert Facts(evidence=("error: no model",), size_bytes=0) == facts_from_inspection(
        Inspection(0, "unknown", Verdict.ERROR, "no model")
    )
