"""`make doctor` checks machine, parts and policy, and says what to do."""

from __future__ import annotations

import collections
import socket
import sqlite3
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from foundation.errors import InvalidSetting
from foundation.settings import Part
from serving.cli import doctor
from serving.cli.address import Address
from serving.cli.doctor import Check, check_part
from serving.settings import HttpSettings, Loaded, Settings, configured_parts
from tests.doubles.provider import FaultyProvider, ok, status


def loaded(data_dir: Path, **layers) -> Loaded:
    return Loaded(Settings(foundation={"data_dir": data_dir}, serving={"http": {"port": 0}}, **layers), {})


def test_machine_and_parts_are_checked_and_the_bundled_parts_are_fit(data_dir):
    checks = doctor.run_checks(loaded(data_dir))
    assert [check for check in checks if check.name.startswith("[") and not check.ok] == []
    assert {"python", "memory", "disk", "data folder", "port", "sqlite"} <= {check.name for check in checks}
    assert "[models.chat] llama_cpp" in {check.name for check in checks}


def test_a_failed_check_always_says_what_to_do(data_dir, monkeypatch):
    monkeypatch.setattr(doctor, "check_memory", lambda: 1 / 0)
    checks = doctor.run_checks(loaded(data_dir, retrieval={"vectors": Part(use="chorma")}))
    failed = {check.name: check.advice for check in checks if not check.ok}
    assert {"[retrieval.vectors] chorma", "<lambda>"} <= failed.keys()
    assert all(failed.values())


def test_a_policy_that_lets_people_approve_their_own_is_warned_about(data_dir):
    for four_eyes in (True, False):
        checks = doctor.run_checks(loaded(data_dir, orchestration={"policy": {"four_eyes": four_eyes}}))
        (check,) = [check for check in checks if check.name == "four eyes"]
        assert (check.ok, not check.advice) == (True, four_eyes)


def test_a_check_that_breaks_has_failed_and_the_others_still_run(data_dir, monkeypatch):
    def check_moon() -> Check:
        raise RuntimeError("no moon")

    monkeypatch.setattr(doctor, "check_sqlite", check_moon)
    checks = {check.name: check for check in doctor.run_checks(loaded(data_dir))}
    broken = checks["check_moon"]
    assert (broken.ok, broken.found) == (False, "RuntimeError: no moon")
    assert "four eyes" in checks


def test_looking_leaves_nothing_behind(tmp_path):
    doctor.run_checks(loaded(tmp_path / "not" / "yet"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 15, 0), (2, 7, 18)])
def test_a_python_without_packages_is_refused(monkeypatch, version):
    monkeypatch.setattr(doctor.sys, "version_info", version)
    assert not doctor.check_python().ok


def test_too_little_memory_is_found(monkeypatch):
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: SimpleNamespace(available=500_000_000))
    assert (doctor.check_memory().ok, doctor.check_memory().found) == (False, "0.5 GB free")


def test_the_limit_of_a_container_counts(monkeypatch):
    monkeypatch.setattr(doctor, "_left_in_container", lambda: 100_000_000)
    assert not doctor.check_memory().ok


def test_a_full_disk_is_found(monkeypatch, data_dir):
    usage = collections.namedtuple("Usage", "free")  # noqa: PYI024 - as psutil has it
    monkeypatch.setattr(doctor.psutil, "disk_usage", lambda _: usage(free=10_000_000))
    assert not doctor.check_disk(data_dir).ok


def test_a_folder_that_cannot_be_written_is_found(monkeypatch, data_dir):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    check = doctor.check_writable(data_dir)
    assert (check.ok, check.found) == (False, f"{data_dir}: Permission denied")


@pytest.mark.parametrize(("mode", "warns"), [(0o777, True), (0o700, False), (0o2770, False), (0o1777, False)])
def test_a_data_folder_that_others_may_look_into_is_warned_about(tmp_path, mode, warns):
    tmp_path.chmod(mode)
    check = doctor.check_writable(tmp_path)
    assert (check.ok, "chmod -R go=" in check.advice) == (True, warns)
    tmp_path.chmod(0o700)


def test_a_file_in_place_of_the_data_folder_is_found(tmp_path):
    (tmp_path / "var").touch()
    assert not doctor.check_writable(tmp_path / "var").ok


def test_a_port_that_is_taken_is_found():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        check = doctor.check_port(HttpSettings(port=port))
    assert not check.ok
    assert check.found == f"127.0.0.1:{port} is taken"
    assert "SIXPLY__SERVING__HTTP__PORT" in check.advice
    assert doctor.check_port(HttpSettings(port=port)).ok


def test_an_address_of_another_machine_is_found():
    assert "serving.http" in doctor.check_port(HttpSettings(host="192.0.2.1")).advice


def test_an_old_sqlite_is_a_warning_and_no_failure(monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 46, 1))
    old = doctor.check_sqlite()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    new = doctor.check_sqlite()
    assert (old.ok, bool(old.advice)) == (True, True)
    assert (new.ok, bool(new.advice)) == (True, False)


def test_an_unknown_part_is_found_with_the_nearest():
    check = check_part("retrieval.vectors", Part(use="chorma"))
    assert (check.ok, check.found) == (False, "unknown_part")
    assert 'Did you mean "chroma"?' in check.advice


def test_an_unknown_option_is_found():
    check = check_part("models.chat", Part(use="anthropic", modle="m"))
    assert (check.ok, check.found) == (False, "unknown_setting")


def test_a_part_that_needs_a_key_and_has_none_names_the_variable_to_set():
    check = check_part("models.chat", Part(use="openai_compatible", model="m"))
    assert (check.ok, check.found) == (False, "no api_key")
    assert check.advice == "Set SIXPLY__MODELS__CHAT__API_KEY in the environment."


def test_a_key_that_is_there_is_enough_and_is_not_shown():
    check = check_part("models.chat", Part(use="openai_compatible", model="m", api_key="hunter2hunter2"))
    assert check.ok
    assert "hunter2" not in repr(check)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_a_server_on_this_machine_needs_no_key(host):
    assert check_part("models.chat", Part(use="openai_compatible", model="m", base_url=f"http://{host}:8000/v1")).ok


@pytest.mark.parametrize(
    ("section", "part"),
    [
        ("observability.exporters[1]", Part(use="otlp", endpoint="http://jaeger:4318/v1/traces")),
    ],
)
def test_stores_and_collectors_as_compose_starts_them_need_no_credential(section, part):
    assert check_part(section, part).ok


def test_fallbacks_and_lists_of_parts_are_checked_too():
    fallback, exporter = Part(use="openai_compatible", model="m"), Part(use="slqite")
    settings = Settings(models={"fallbacks": (fallback,)}, observability={"exporters": (exporter,)})
    found = dict(configured_parts(settings))
    assert found["models.chat[0]"] == fallback
    assert found["observability.exporters[0]"] == exporter
    assert not check_part("models.chat[0]", fallback).ok
    assert not check_part("observability.exporters[0]", exporter).ok


@pytest.mark.parametrize(
    ("behaviour", "profile", "found", "advice"),
    [
        (ok("Hello."), {"tool_calling": True}, "a-model answers; its agent is tool_calling", ""),
        (ok("Hello."), {"tool_calling": False}, "a-model answers; its agent is quoting", ""),
        (ok("Hello."), None, "a-model answers; its agent is tool_calling", "make model-check"),
        (ok(""), None, "a-model gave an empty reply", "max_tokens"),
        (status(401), None, "401", "stack.toml"),
    ],
)
def test_the_chat_model_is_asked_and_its_agent_is_named(data_dir, behaviour, profile, found, advice):
    with FaultyProvider(behaviour) as provider:
        chat = Part(
            use="openai_compatible", model="a-model", base_url=f"{provider.url}/v1", api_key="a key", profile=profile
        )
        settings = loaded(data_dir, models={"chat": chat}).settings
        check = doctor.check_chat(settings)
    assert check.ok == ("answers" in found)
    assert found in check.found
    assert advice in check.advice
    assert bool(check.advice) == bool(advice)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ({}, "every part opens"),
        ({"orchestration": {"prompts": {"folder": "nowhere"}}}, "there is no such folder"),
    ],
)
def test_what_would_stop_the_server_at_its_start_is_a_failed_check(data_dir, layers, says):
    doubles = {
        "models": {"chat": Part(use="scripted"), "embedder": Part(use="hashing")},
        "retrieval": {"vectors": Part(use="memory")},
    }
    merged = {name: {**doubles.get(name, {}), **layers.get(name, {})} for name in doubles | layers}
    settings = Settings(foundation={"data_dir": data_dir}, **({"serving": {"http": {"port": 0}}} | merged))
    check = doctor._run_guarded(partial(doctor.check_start, Loaded(settings, {})))
    assert says in (check.found if check.ok else check.advice)
    assert check.ok == (not layers)


def test_tools_that_the_policy_names_and_no_part_has_are_a_warning(data_dir):
    rules = {"roles": {"reader": ("find_ordr", "find*"), "agent": ("*",)}, "effects_without_approval": ("refnd",)}
    settings = loaded(
        data_dir,
        models={"chat": Part(use="scripted"), "embedder": Part(use="hashing")},
        retrieval={"vectors": Part(use="memory")},
        orchestration={
            "tools": (Part(use="tests.doubles.desk:build"),),
            "policy": rules | {"tenants": {"north": {"tools": ("find_order",)}}},
        },
    )
    check = doctor.check_start(settings)
    assert check.ok
    assert "names tools that no part has: find_ordr, refnd. Found:" in check.advice
    assert check.advice.endswith('Did you mean "find_order"?')


@pytest.mark.parametrize(("allowed", "left"), [(("find_order",), "refund"), (("*",), ""), (("re*",), "find_order")])
def test_tools_that_no_role_may_use_are_a_warning(data_dir, allowed, left):
    settings = loaded(
        data_dir,
        models={"chat": Part(use="scripted"), "embedder": Part(use="hashing")},
        retrieval={"vectors": Part(use="memory")},
        orchestration={
            "tools": (Part(use="tests.doubles.desk:build"),),
            "policy": {"roles": {"reader": allowed}, "effects_without_approval": ()},
        },
    )
    check = doctor.check_start(settings)
    assert check.ok
    said = f"Works, but no role of the policy may use {left}, so nobody can."
    assert check.advice == (said if left else "")


def test_beside_a_running_server_nothing_is_opened_a_second_time(data_dir, monkeypatch):
    monkeypatch.setattr("serving.cli.doctor.find_server", lambda _: Address(8600))
    monkeypatch.setattr("serving.wiring.open_system", None)
    check = doctor._run_guarded(partial(doctor.check_start, loaded(data_dir)))
    assert (check.ok, check.found) == (True, "the server on port 8600 has every part open")


def test_a_check_that_is_refused_says_what_the_error_says_to_do(data_dir, monkeypatch):
    def check_moon() -> Check:
        raise InvalidSetting("The moon is no folder. Make it one.")

    monkeypatch.setattr(doctor, "check_sqlite", check_moon)
    checks = {check.name: check for check in doctor.run_checks(loaded(data_dir))}
    assert checks["check_moon"] == Check("check_moon", False, "invalid_setting", "The moon is no folder. Make it one.")
