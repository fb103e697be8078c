"""The run manifest changes with what can change an answer, and holds no secret."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foundation.machine import manifest
from foundation.settings import FoundationSettings, Part
from models.settings import ModelsSettings
from serving.settings import Settings


class FixedClock:
    def __init__(self, moment: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic_s(self) -> float:
        return 0.0


def build(
    settings: Settings | None = None, *, weights=None, corpus=None, clock=None, prompts=None
) -> manifest.Manifest:
    clock = clock or FixedClock()
    return manifest.build(settings or Settings(), weights=weights or {}, corpus=corpus, clock=clock, prompts=prompts)


def settings_with(**options) -> Settings:
    return Settings(models={"chat": Part(use="openai_compatible", **options)})


def test_the_same_run_has_the_same_id_whenever_it_runs():
    later = FixedClock(FixedClock().moment + timedelta(days=1))
    assert build().manifest_id == build(clock=later).manifest_id
    assert build().created_at != build(clock=later).created_at


@pytest.mark.parametrize(
    "changed",
    [
        {"weights": {"chat": "00"}},
        {"corpus": "00"},
        {"prompts": {"persona": "persona@2 00"}},
        {"settings": Settings(foundation={"seed": 8})},
        {"settings": settings_with(temperature=0.5)},
    ],
)
def test_what_can_change_an_answer_changes_the_id(changed):
    assert build(**changed).manifest_id != build().manifest_id


def test_a_secret_neither_changes_the_id_nor_stands_in_the_manifest():
    one, other = (build(settings_with(api_key=key)) for key in ("sk-one-secret", "sk-other-secret"))
    assert one.manifest_id == other.manifest_id
    assert "secret" not in json.dumps(dataclasses.asdict(one))


def test_a_manifest_is_plain_json_with_the_versions_that_matter():
    values = json.loads(json.dumps(dataclasses.asdict(build(weights={"chat": "ab"}))))
    assert values["weights"] == {"chat": "ab"}
    assert {"langchain", "torch", "pydantic"} <= values["libraries"].keys()
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert values["version"] == project["version"], "which a project of one's own has, too"
    assert values["created_at"] == "2026-01-02T03:04:05+00:00"


def test_a_manifest_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        build().seed = 1


def test_the_order_of_weights_does_not_matter():
    assert build(weights={"a": "1", "b": "2"}).manifest_id == build(weights={"b": "2", "a": "1"}).manifest_id


def test_the_commit_and_its_changes_are_named(tmp_path: Path, monkeypatch):
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", ".")
    git("-c", "user.name=Test", "-c", "user.email=test@example.com", "commit", "-m", "first")
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    clean = build()
    (tmp_path / "file").write_text("two")
    dirty = build()
    assert len(clean.commit or "") == 40
    assert (clean.dirty, dirty.dirty) == (False, True)
    assert clean.manifest_id != dirty.manifest_id


def test_outside_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    assert (build().commit, build().dirty) == (None, None)


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert build().commit is None


class TestDigestOfFiles:
    def corpus(self, root: Path, **files: str) -> Path:
        for name, text in files.items():
            path = root / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root

    def test_two_clones_of_one_corpus_have_one_digest(self, tmp_path):
        one = self.corpus(tmp_path / "one", a="1", b__c="2")
        other = self.corpus(tmp_path / "other", b__c="2", a="1")
        assert manifest.digest_of_files([one]) == manifest.digest_of_files([other])

    @pytest.mark.parametrize("changed", [{"a": "2", "b": "2"}, {"a": "1", "c": "2"}, {"a": "1"}, {"a": "2", "b": "1"}])
    def test_content_names_and_number_count(self, tmp_path, changed):
        one = self.corpus(tmp_path / "one", a="1", b="2")
        other = self.corpus(tmp_path / "other", **changed)
        assert manifest.digest_of_files([one]) != manifest.digest_of_files([other])

    def test_the_order_of_the_paths_does_not_count(self, tmp_path):
        root = self.corpus(tmp_path, a="1", b="2")
        assert manifest.digest_of_files([root / "a", root / "b"]) == manifest.digest_of_files([root / "b", root / "a"])

    def test_a_missing_file_is_an_error_and_not_an_empty_digest(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            manifest.digest_of_files([tmp_path / "gone"])


def test_what_is_kept_holds_no_secret_and_is_written_once(tmp_path):
    chat = Part(use="openai_compatible", api_key="hunter2")
    settings = Settings(models=ModelsSettings(chat=chat))
    run = build(settings)
    manifest.keep(run, settings, tmp_path)
    manifest.keep(run, settings, tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.stem == run.manifest_id
    assert "hunter2" not in file.read_text()


def kept(folder: Path, seed: int) -> str:
    settings = Settings(foundation=FoundationSettings(seed=seed))
    run = build(settings, weights={})
    manifest.keep(run, settings, folder)
    return run.manifest_id


def test_old_manifests_that_nothing_names_are_pruned_and_one_that_runs_again_is_young(tmp_path):
    named, young, gone = (kept(tmp_path, seed) for seed in (1, 2, 3))
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0))
    kept(tmp_path, 2)
    assert manifest.prune(tmp_path, {named}, datetime(2020, 1, 1, tzinfo=UTC)) == 1
    assert {file.stem for file in tmp_path.iterdir()} == {named, young} - {gone}
    assert manifest.prune(tmp_path / "none", set(), datetime(2020, 1, 1, tzinfo=UTC)) == 0
