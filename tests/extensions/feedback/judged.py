"""A whole system that was asked once, and somebody said what became of the answer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from extensions.feedback.store import Outcome, OutcomeStore
from serving.settings import load
from serving.wiring import open_system
from tests.doubles import stacks
from tests.integration.test_week import answer_once


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = stacks.stack(tmp_path, extensions=["feedback"])
    with open_system(load(path)) as system:
        answer = answer_once(system)
        note = "30 days after delivery"
        outcome = Outcome(answer.answer_id, "edited", datetime.now(UTC), recorded_by="ada", note=note, tenant="north")
        system.hooks.service(OutcomeStore).record(outcome)
    return path
