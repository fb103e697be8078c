"""Two runs are told apart by the manifests that were kept of them."""

from pathlib import Path

import pytest

from extensions.drift.runs import changes
from foundation.machine import manifest
from foundation.settings import FoundationSettings, Part
from models.settings import ModelsSettings
from serving.settings import Settings
from tests.doubles.orchestration import ManualClock


def kept(folder: Path, settings: Settings) -> str:
    run = manifest.build(settings, weights={"m": "aa"}, corpus=None, clock=ManualClock())
    manifest.keep(run, settings, folder)
    return run.manifest_id


def with_seed(seed: int) -> Settings:
    return Settings(foundation=FoundationSettings(seed=seed))


def test_what_is_kept_tells_two_runs_apart_by_setting(tmp_path: Path) -> None:
    chat = Part(use="openai_compatible", api_key="hunter2")
    other = Settings(models=ModelsSettings(chat=chat), foundation=FoundationSettings(seed=8))
    assert changes(tmp_path, kept(tmp_path, Settings()), kept(tmp_path, other)) == [
        "seed: 8, was 7",
        "settings.foundation.seed: 8, was 7",
        "settings.models.chat.use: openai_compatible, was llama_cpp",
    ]


@pytest.mark.parametrize("damage", ["", "{", "[]", '"text"', "\xff"])
def test_a_damaged_manifest_is_named_with_what_to_do(tmp_path: Path, damage: str) -> None:
    ours, theirs = kept(tmp_path, with_seed(1)), kept(tmp_path, with_seed(2))
    file = tmp_path / f"{theirs}.json"
    file.write_bytes(damage.encode("latin-1"))
    (told,) = changes(tmp_path, ours, theirs)
    assert f"{file} is damaged" in told
    assert "Delete it" in told


def test_a_manifest_that_is_gone_is_named(tmp_path: Path) -> None:
    (told,) = changes(tmp_path, kept(tmp_path, with_seed(1)), "unknown")
    assert f"{tmp_path / 'unknown.json'} is not there" in told
