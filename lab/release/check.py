"""`sixply release-check`: may this tree be released? Packages that install and start, what is in them, and under which licences.

Every step says what it found. One that cannot be done here, such as an audit without the internet, is told as not done and
never as passed. The tools are others': uv builds, installs and checks, cyclonedx-bom writes the bill of materials, pip-audit
asks for known holes.
"""

from __future__ import annotations

import json as jsons
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Any, Literal

from packaging.markers import Marker

from foundation.errors import InvalidRequest
from serving.cli import terminal

LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(
    r"^(?P<name>[\w.-]+)(?:\[[\w,-]+\])?==(?P<version>[^\s;]+)(?: *; *(?P<marker>[^\n\\]+))?(?P<rest>[^\n]*(?:\n    [^\n]*)*)",
    re.MULTILINE,
)
REFUSED = re.compile(
    r"\b(A?GPL|GNU (Affero )?General Public)|SSPL|Server Side Public|BUSL|Business Source|Commons Clause|"
    r"Elastic-2|CC-BY-NC|Non-?Commercial|Proprietary",
    re.IGNORECASE,
)
"""Licences under which nothing that we ship may depend on anything: they would bind whoever uses Sixply."""
Outcome = Literal["passed", "failed", "not done"]
MARKS = {"passed": "[green]passed[/]", "failed": "[bold red]failed[/]", "not done": "[yellow]not done[/]"}
ONLINE_S = 180


@dataclass(frozen=True)
class Step:
    """What came of one question."""

    name: str
    outcome: Outcome
    told: str
    found: Mapping[str, Any] = field(default_factory=dict)


def check(out: Path, json: Path | None) -> bool:
    """Do every step and tell them; whether none failed. Packages and bill of materials are left in `out`.

    Raises:
        InvalidRequest: this is no checkout, or the tools of developers are not installed.
    """
    root = Path.cwd()
    if not (root / "pyproject.toml").exists() or not (root / "requirements.lock").exists():
        raise InvalidRequest("There is no pyproject.toml with its lock here. Run from the repository's root.")
    out.mkdir(parents=True, exist_ok=True)
    steps: list[tuple[str, Callable[[], Step]]] = [
        ("locks", lambda: locks(root)),
        ("environment", lambda: environment(root)),
        ("packages", lambda: packages(root, out)),
        ("start", lambda: start(root, out)),
        ("bill of materials", lambda: materials(out)),
        ("licences", lambda: licences(pins(root / "requirements.lock"))),
        ("known holes", lambda: holes(root)),
    ]
    done = []
    with terminal.progress() as progress:
        for number, (name, work) in enumerate(steps):
            progress(name, number, len(steps))
            done.append(work())
        progress("release check", len(steps), len(steps))
    failed = [step.name for step in done if step.outcome == "failed"]
    if not terminal.write_json(json, {"passed": not failed, "steps": [asdict(step) for step in done]}):
        for step in done:
            terminal.console().print(f"{MARKS[step.outcome]} {step.name}: {terminal.plain(step.told)}")
    return not failed


def pins(lock: Path) -> dict[str, str]:
    """Package -> version, of those that this Python on this system takes."""
    return {
        _plain(pin["name"]): pin["version"]
        for pin in PIN.finditer(lock.read_text(encoding="utf-8"))
        if pin["marker"] is None or Marker(pin["marker"].strip()).evaluate()
    }


def locks(root: Path) -> Step:
    """Every pin has a hash, and every dependency of the project is pinned."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {_plain(re.split(r"[\[<>=;~! ]", line)[0]) for line in project["dependencies"]} - {"torch"}
    wrong = []
    for lock in LOCKS:
        found = list(PIN.finditer((root / lock).read_text(encoding="utf-8")))
        wrong += [f"{pin['name']} in {lock} has no hash" for pin in found if "--hash=sha256:" not in pin["rest"]]
        wrong += [f"{name} is not in {lock}" for name in sorted(wanted - {_plain(pin["name"]) for pin in found})]
    told = (
        "; ".join(wrong) or f"{len(pins(root / LOCKS[0]))} packages that are shipped, each with its version and hashes"
    )
    return Step("locks", "failed" if wrong else "passed", told, {"wrong": wrong})


def environment(root: Path) -> Step:
    """What was tested is what is locked, and fits together."""
    other = {
        name: [pinned, installed]
        for name, pinned in pins(root / LOCKS[0]).items()
        if (installed := _installed(name)) is not None and installed != pinned
    }
    fits = _run([_uv(), "pip", "check", "--no-config", "--python", sys.executable])  # the lock's Python is the lowest
    told = "; ".join(f"{name} is {have}, locked {pinned}" for name, (pinned, have) in sorted(other.items()))
    if fits.returncode:
        told = f"{told}; {_last(fits)}".strip("; ")
    outcome: Outcome = "failed" if other or fits.returncode else "passed"
    return Step("environment", outcome, told or "the installed versions are the locked ones, and fit together", other)


def packages(root: Path, out: Path) -> Step:
    """Wheel and source distribution, the wheel built from the latter."""
    for old in (*out.glob("*.whl"), *out.glob("*.tar.gz")):
        old.unlink()
    ran = _run([_uv(), "build", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(out), str(root)])
    made = sorted([*out.glob("*.whl"), *out.glob("*.tar.gz")])
    if ran.returncode or len(made) != 2:  # the two kinds
        return Step("packages", "failed", _last(ran))
    sizes = {one.name: one.stat().st_size for one in made}
    return Step("packages", "passed", ", ".join(f"{name} ({size:,} bytes)" for name, size in sizes.items()), sizes)


def start(root: Path, out: Path) -> Step:
    """The wheel, in an environment of its own without this checkout, says its help and reads a configuration.

    The dependencies are lent from the environment that runs this, which `environment` has held against the lock.
    """
    wheels = list(out.glob("*.whl"))
    if not wheels:
        return Step("start", "failed", "There is no wheel.")
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        home, away = Path(folder, "env"), Path(folder, "elsewhere")
        away.mkdir()
        for file in ("stack.toml", "policy.toml"):
            (away / file).write_bytes((root / file).read_bytes())
        python = home / "bin" / "python"
        for command in (
            [_uv(), "venv", "--quiet", "--python", sys.executable, str(home)],
            [_uv(), "pip", "install", "--quiet", "--no-deps", "--python", str(python), str(wheels[0])],
        ):
            if (ran := _run(command)).returncode:
                return Step("start", "failed", _last(ran))
        # After its own folder, and by path alone: the .pth of an editable install beside them is not read.
        lent = jsons.dumps([path for path in sys.path if path.endswith("site-packages")])
        (next(home.glob("lib/python*/site-packages")) / "lent.pth").write_text(f"import sys; sys.path.extend({lent})\n")
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        for arguments in (["--help"], ["config"], ["parts", "--json", "-"]):
            ran = _run([str(home / "bin" / "sixply"), *arguments], cwd=away, env=clean)
            if ran.returncode:
                return Step("start", "failed", f"sixply {' '.join(arguments)}: {_last(ran)}")
        where = _run([str(python), "-c", "import serving; print(serving.__file__)"], cwd=away, env=clean).stdout.strip()
        if not Path(where).is_relative_to(home):
            return Step("start", "failed", f"The wheel was not what ran, but {where}.")
    return Step("start", "passed", "installed, the wheel says its help, shows a configuration and lists its parts")


def materials(out: Path) -> Step:
    """CycloneDX, of everything that is installed. Its writer runs in an environment of its own, which uv gets and keeps."""
    to = out / "sbom.cdx.json"
    tool = [_uv(), "tool", "run", "--from", "cyclonedx-bom>=7.5,<8", "cyclonedx-py"]
    try:
        ran = _run([*tool, "environment", sys.executable, "--output-format", "JSON", "-o", str(to)], timeout=ONLINE_S)
    except subprocess.TimeoutExpired:
        return Step(
            "bill of materials", "not done", "cyclonedx-bom was not to be had in time: it comes from the internet once."
        )
    if ran.returncode:
        return Step("bill of materials", "not done", f"cyclonedx-bom, which comes from the internet once: {_last(ran)}")
    count = len(jsons.loads(to.read_text(encoding="utf-8"))["components"])
    return Step("bill of materials", "passed", f"{count} components in {to}", {"components": count, "file": str(to)})


def licences(names: Iterable[str]) -> Step:
    """Of every package that is shipped and installed here; refused or unknown ones fail."""
    found = {name: licence_of(name) for name in sorted(names) if _installed(name) is not None}
    refused = {name: told for name, told in found.items() if told and refuses(told)}
    unknown = [name for name, told in found.items() if not told]
    wrong = [f"{name} is under {told}" for name, told in refused.items()]
    wrong += [f"{name} names no licence in its metadata: read its files, or leave it out" for name in unknown]
    told = "; ".join(wrong) or f"{len(found)} packages, {len(set(found.values()))} licences, none refused, none unknown"
    return Step(
        "licences", "failed" if wrong else "passed", told, {"packages": found, "refused": refused, "unknown": unknown}
    )


def licence_of(name: str) -> str:
    """As the package's metadata have it: the expression, else the classifiers, else the first line of the text."""
    about = metadata(name).json
    if expression := about.get("license_expression"):
        return str(expression)
    marks = [each.rpartition(" :: ")[2] for each in about.get("classifier", []) if each.startswith("License ::")]
    named = [mark for mark in marks if mark not in {"OSI Approved", "DFSG approved"}]
    if named:
        return " OR ".join(named)
    lines = [line.strip() for line in str(about.get("license") or "").splitlines() if line.strip()]
    return lines[0][:80] if lines else ""


def refuses(licence: str) -> bool:
    """Where one of several may be chosen, all of them have to be refused."""
    choices = re.split(r"\bOR\b", licence)
    return all(REFUSED.search(choice) for choice in choices)


def holes(root: Path) -> Step:
    """pip-audit on the lock. It asks a database on the internet, so without one it is not done."""
    lock = root / LOCKS[0]
    command = [_uv(), "tool", "run", "pip-audit", "--requirement", str(lock), "--disable-pip", "--require-hashes"]
    try:
        ran = _run([*command, "--progress-spinner", "off", "--format", "json"], timeout=ONLINE_S)
        told = jsons.loads(ran.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return Step(
            "known holes",
            "not done",
            f"The database of known holes was not reached. Where it can be: uvx pip-audit -r {lock.name}",
        )
    bad = {one["name"]: [hole["id"] for hole in one["vulns"]] for one in told if one.get("vulns")}
    text = "; ".join(f"{name}: {', '.join(ids)}" for name, ids in bad.items())
    return Step("known holes", "failed" if bad else "passed", text or f"none in {len(told)} packages", bad)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _uv() -> str:
    found = Path(sys.executable).with_name("uv")
    if not found.exists():
        raise InvalidRequest("uv is not installed beside this Python. Run make setup.")
    return str(found)


def _run(
    command: list[str], *, timeout: float = 600, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, cwd=cwd, env=env)


def _last(ran: subprocess.CompletedProcess[str]) -> str:
    said = (ran.stderr.strip() or ran.stdout.strip()).splitlines()
    return said[-1] if said else f"exit status {ran.returncode}, and it said nothing."
