"""The facts that trainers write into headers. Not here: the models that a scan makes (test_scanner)."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from modelyard.library.trainers import Training, read_training
from modelyard.registry.names import sd_name_of_training

MODIFIED_AT = 1_700_000_000
FINISHED_AT = 1_699_325_939


@pytest.mark.parametrize(
    ("metadata", "trainer"),
    [
        ({"ss_network_module": "networks.lora"}, "kohya"),
        ({"ss_training_started_at": str(FINISHED_AT)}, "kohya"),
        ({"ot_revision": "1"}, "OneTrainer"),
        ({"ot_revision": "1", "ss_network_module": "networks.lora"}, "OneTrainer"),
        ({"software": '{"name": "ai-toolkit"}'}, "ai-toolkit"),
        ({"modelspec.implementation": "https://github.com/ostris/ai-toolkit"}, "ai-toolkit"),
        ({"software": '{"name": "other"}'}, None),
        ({"software": '["ai-toolkit"]'}, None),
        ({"software": "ai-toolkit"}, None),
        ({"software": "[" * 100_000}, None),
        ({"ss_output_name": "cat"}, None),
        ({}, None),
    ],
)
def test_the_trainer_is_known_by_its_notes(metadata: dict[str, str], trainer: str | None) -> None:
    assert trainer == read_training(metadata, MODIFIED_AT).trainer


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server whose own time is nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
@pytest.mark.parametrize(
    ("metadata", "finished_at"),
    [
        ({}, MODIFIED_AT),
        ({"ss_training_finished_at": f" {FINISHED_AT}.25 "}, FINISHED_AT),
        ({"ss_training_started_at": str(FINISHED_AT)}, FINISHED_AT),
        ({"ss_training_finished_at": "None", "ss_training_started_at": str(FINISHED_AT)}, FINISHED_AT),
        ({"ss_training_finished_at": str(FINISHED_AT), "ss_training_started_at": "1600000000"}, FINISHED_AT),
        ({"ss_training_finished_at": str(FINISHED_AT), "modelspec.date": "2024-01-01"}, FINISHED_AT),
        # An earlier time than 2020 comes from a clock that was not set.
        ({"ss_training_finished_at": "1577836800"}, 1_577_836_800),
        ({"ss_training_finished_at": "1577836799"}, MODIFIED_AT),
        ({"ss_training_finished_at": "8589934591"}, 8_589_934_591),
        ({"ss_training_finished_at": "8589934592"}, MODIFIED_AT),
        ({"ss_training_finished_at": "-1699325939"}, MODIFIED_AT),
        ({"ss_training_finished_at": "1" * 13}, MODIFIED_AT),
        ({"modelspec.date": "2023-11-07T02:58:59"}, int(datetime(2023, 11, 7, 2, 58, 59, tzinfo=UTC).timestamp())),
        (
            {"modelspec.date": "2023-11-07T02:58:59+02:00"},
            int(datetime(2023, 11, 7, 0, 58, 59, tzinfo=UTC).timestamp()),
        ),
        ({"modelspec.date": "2020-01-01"}, 1_577_836_800),
        ({"modelspec.date": "2019-12-31T23:59:59"}, MODIFIED_AT),
        ({"modelspec.date": "2242-03-16T12:56:31"}, 8_589_934_591),
        ({"modelspec.date": "2242-03-16T12:56:32"}, MODIFIED_AT),
        ({"modelspec.date": "2300-01-01"}, MODIFIED_AT),
        ({"modelspec.date": "yesterday"}, MODIFIED_AT),
    ],
)
def test_a_training_ended_when_its_notes_say_or_when_the_file_was_written(
    metadata: dict[str, str], finished_at: int
) -> None:
    assert finished_at == read_training(metadata, MODIFIED_AT).finished_at


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"ss_output_name": "cat", "name": "dog", "modelspec.title": "cow"}, "cat"),
        ({"name": "dog", "modelspec.title": "cow"}, "dog"),
        ({"modelspec.title": " a\n cow "}, "a cow"),
        ({"ss_output_name": " ", "name": "dog"}, "dog"),
        ({"ss_output_name": "\x1b[31mred", "name": "dog"}, "dog"),
        ({"ss_output_name": "x" * 300}, "x" * 200),
        ({}, None),
    ],
)
def test_the_name_is_the_first_that_can_be_shown(metadata: dict[str, str], name: str | None) -> None:
    assert name == read_training(metadata, MODIFIED_AT).output_name


@pytest.mark.parametrize(
    ("metadata", "steps", "epochs"),
    [
        ({"ss_steps": "1200", "ss_epoch": "10"}, 1200, 10),
        ({"training_info": '{"step": 2000, "epoch": 9}'}, 2000, 9),
        ({"ss_steps": "1200", "ss_epoch": "10", "training_info": '{"step": 2000, "epoch": 9}'}, 1200, 10),
        ({"ss_steps": "many", "ss_epoch": "-1"}, None, None),
        ({"ss_steps": "²"}, None, None),
        ({"training_info": "[1]"}, None, None),
        ({}, None, None),
    ],
)
def test_steps_and_epochs_are_read_from_either_note(
    metadata: dict[str, str], steps: int | None, epochs: int | None
) -> None:
    training = read_training(metadata, MODIFIED_AT)

    assert (steps, epochs) == (training.steps, training.epochs)


def test_a_file_without_notes_tells_its_own_time_only() -> None:
    notes = {"training_info": json.dumps({"loss": 0.1})}

    assert Training(None, None, MODIFIED_AT, None, None) == read_training(notes, MODIFIED_AT)


def test_a_trained_model_is_named_by_the_time_and_the_first_ten_digits() -> None:
    assert "model_1699325939_ABABABABAB.safetensors" == sd_name_of_training(FINISHED_AT, "ab" * 32, "safetensors")
