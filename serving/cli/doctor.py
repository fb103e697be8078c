"""`sixply doctor` and `config`: whether this machine is fit, and the configuration complete."""

import asyncio
import fnmatch
import os
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import psutil

from foundation import components, extensions
from foundation.errors import AddressInUse, InvalidSetting, SixplyError, did_you_mean
from foundation.output.credentials import mask_text
from foundation.settings import PREFIX, Part
from orchestration.settings import EVERYBODY, PolicySettings
from serving.cli import terminal
from serving.cli.opening import callers_of, find_server, open_hooks, open_parts
from serving.cli.options import STACK, Json, Stack, exit_unless, load_stack
from serving.hooks import Check
from serving.http.listening import bind
from serving.settings import HttpSettings, Loaded, Settings, configured_parts

# of the Pythons that the lock has wheels for, as in the Makefile
LOWEST, HIGHEST = (3, 11), (3, 14)
MEMORY_GB = 1.5
DISK_GB = 1.0
# older versions can, rarely, damage a database when a write-ahead log is reset while another process reads
SQLITE_SAFE = (3, 51, 3)


def doctor(json: Json = None, stack: Stack = STACK) -> None:
    """Check this machine and its configuration."""
    from models import weights

    loaded = load_stack(stack)
    checks = [*run_checks(loaded), *(Check(*row) for row in weights.checks(loaded.settings.models.parts))]
    if all(check.ok for check in checks if check.name.startswith("[models.chat]")):
        checks.append(_run_guarded(partial(check_chat, loaded.settings)))
    if all(check.ok for check in checks):
        checks += run_checks_of_extensions(loaded.settings)
    if all(check.ok for check in checks):
        checks.append(_run_guarded(partial(check_start, loaded)))
    if not terminal.write_json(json, [vars(check) for check in checks]):
        rows = [("ok" if check.ok else "FAILED", check.name, check.found, check.advice) for check in checks]
        terminal.show_table(["", "check", "found", "what to do"], rows)
    exit_unless(ok=all(check.ok for check in checks))


def config(json: Json = None, stack: Stack = STACK) -> None:
    """Show every setting and where it was set. Secrets are masked."""
    rows = list(load_stack(stack).rows())
    if not terminal.write_json(json, {key: {"value": value, "from": origin} for key, value, origin in rows}):
        terminal.show_table(["setting", "value", "from"], rows)


def run_checks(loaded: Loaded) -> list[Check]:
    """Run all checks in reading order: the machine, then the parts. A check that raises has failed."""
    settings = loaded.settings
    data_dir = settings.foundation.data_dir
    checks: list[Callable[[], Check]] = [
        check_python,
        check_memory,
        partial(check_disk, data_dir),
        partial(check_writable, data_dir),
        partial(check_port, settings.serving.http),
        check_sqlite,
        partial(check_four_eyes, settings.orchestration.policy),
        partial(check_extensions, settings),
        *(partial(check_part, section, part) for section, part in configured_parts(settings)),
    ]
    return [_run_guarded(check) for check in checks]


def run_checks_of_extensions(settings: Settings) -> list[Check]:
    """Run the checks of what plugs in. Where nothing can, `check_start` says why."""
    with suppress(SixplyError), open_hooks(settings) as hooks:
        return [_run_guarded(check) for check in hooks.checks]
    return []


def check_python() -> Check:
    ok = LOWEST <= sys.version_info[:2] <= HIGHEST
    advice = "" if ok else "Use Python 3.11 to 3.14: make setup PYTHON=python3.13"
    return Check("python", ok, sys.version.split()[0], advice)


def check_memory() -> Check:
    free_gb = min(psutil.virtual_memory().available, _left_in_container()) / 1e9
    advice = f"The bundled models and index want {MEMORY_GB} GB. Close programs, or give the container more."
    ok = free_gb >= MEMORY_GB
    return Check("memory", ok, f"{free_gb:.1f} GB free", "" if ok else advice)


def check_disk(data_dir: Path) -> Check:
    free_gb = psutil.disk_usage(str(_nearest(data_dir))).free / 1e9
    ok = free_gb >= DISK_GB
    advice = "" if ok else "Free some space, or name another folder: [foundation] data_dir"
    return Check("disk", ok, f"{free_gb:.1f} GB free for {data_dir}", advice)


def check_writable(data_dir: Path) -> Check:
    folder = _nearest(data_dir)
    try:
        with tempfile.TemporaryFile(dir=folder):
            state = folder.stat()
        on_purpose = state.st_uid != os.geteuid() or state.st_mode & (stat.S_ISVTX | stat.S_ISGID)
        seen = folder == data_dir and state.st_mode & 0o077 and not on_purpose
        advice = f"Works. Others on this machine may look into it, since it was not empty: chmod -R go= {folder}"
        return Check("data folder", ok=True, found=f"{data_dir} can be written", advice=advice if seen else "")
    except OSError as error:
        advice = f"Make {folder} writable for this user, or name another folder: [foundation] data_dir"
        return Check("data folder", ok=False, found=f"{folder}: {error.strerror}", advice=advice)


def check_port(http: HttpSettings) -> Check:
    place = f"{http.host}:{http.port}"
    try:
        bind(http).close()
    except AddressInUse as error:
        return Check("port", ok=False, found=f"{place} is taken", advice=f"{error} Is it your own make serve?")
    except InvalidSetting as error:
        return Check("port", ok=False, found=f"{place} cannot be taken", advice=str(error))
    return Check("port", ok=True, found=f"{place} is free" if http.port else f"any free port on {http.host}")


def check_sqlite() -> Check:
    advice = "Works. 3.51.3 or newer mends a rare fault of the write-ahead log; it comes with a newer Python or system."
    safe = sqlite3.sqlite_version_info >= SQLITE_SAFE
    return Check("sqlite", ok=True, found=sqlite3.sqlite_version, advice="" if safe else advice)


def check_four_eyes(policy: PolicySettings) -> Check:
    if policy.four_eyes:
        return Check("four eyes", ok=True, found="nobody approves what they asked for themselves")
    advice = "Works. An approver's key is enough to ask for an effect and approve it: four_eyes = true in the policy."
    return Check("four eyes", ok=True, found="off: everybody may approve their own", advice=advice)


def check_extensions(settings: Settings) -> Check:
    """Tell which extensions are on, and warn of one that is off and has stored something: nobody adds to that any more."""
    off = [name for name in extensions.installed() if name not in settings.extensions]
    kept = [name for name in off if extensions.find_data(name, settings.foundation.data_dir)]
    advice = (
        f"Works. {', '.join(kept)} is off, and what it stored stays: erase and retention read it. On again: make add NAME={kept[0]}"
        if kept
        else ""
    )
    return Check("extensions", ok=True, found=", ".join(settings.extensions) or "none", advice=advice)


def check_part(section: str, part: Part) -> Check:
    """Check that the part exists, that its options fit, and that a remote model has its key."""
    from models.resilience.http_clients import on_loopback

    name = f"[{section}] {part.use}"
    try:
        options = components.checked_options(section.partition("[")[0], part)
    except SixplyError as error:
        return Check(name, ok=False, found=type(error).code, advice=str(error))
    if options is None:
        return Check(name, ok=True, found="found; it checks its own options when it is built")
    # stores and collectors may do without; a model on this machine seldom wants one
    remote = section.startswith("models.") and not on_loopback(getattr(options, "base_url", ""))
    if not remote or getattr(options, "api_key", True):
        return Check(name, ok=True, found="found, options fit")
    place = f"{PREFIX}{section.replace('.', '__').upper()}__API_KEY in the environment"
    if "[" in section:
        place = '"api_key" in that block of the configuration'
    return Check(name, ok=False, found="no api_key", advice=f"Set {place}.")


def check_chat(settings: Settings) -> Check:
    """Check that the chat model answers a short, paid call; report which agent it gets."""
    from langchain_core.language_models import BaseChatModel

    from models.pricing import identity
    from models.resilience.bindings import UNKNOWN_PROFILE
    from models.resilience.vendor_errors import explain
    from orchestration.run.metered_chat import calls_tools

    with open_parts(settings) as parts:
        model = parts.part("models.chat", settings.models.chat, BaseChatModel)
        name = identity(model)[1]
        try:
            reply = asyncio.run(model.ainvoke("Say hello in one word."))
        # every vendor has its own exceptions
        except Exception as error:
            advice = "Mend what it says, or take another model: [models.chat] in stack.toml"
            return Check("chat model", ok=False, found=mask_text(explain(error, model=name)), advice=advice)
        agent, known = settings.orchestration.agent.use, True
        if agent == "auto":
            options = cast("Any", components.checked_options("orchestration.agent", settings.orchestration.agent))
            agent = "tool_calling" if calls_tools(model) else options.without_tools.use
            known = "tool_calling" in (model.profile or {})
    found = f"{name} answers; its agent is {agent}"
    if not reply.text.strip():
        return Check("chat model", ok=False, found=f"{name} gave an empty reply", advice="Give it more max_tokens.")
    return Check("chat model", ok=True, found=found, advice="" if known else UNKNOWN_PROFILE % "it")


def check_start(loaded: Loaded) -> Check:
    """Open every part, as a server does: a database may be down, an index be of another embedder, a prompt be broken."""
    from serving.wiring import open_system

    settings = loaded.settings
    if (callers := callers_of(settings)).tokens:
        callers.demand_any()
    if address := find_server(settings):  # the index is open there, and nowhere else
        return Check("start", ok=True, found=f"the server on port {address.port} has every part open")
    with open_system(loaded) as system:
        advice = _compare_tools(settings.orchestration.policy, [tool.name for tool in system.orchestration.tools])
    return Check("start", ok=True, found="every part opens", advice=advice)


def _compare_tools(policy: PolicySettings, names: list[str]) -> str:
    roles, tenants = [*policy.roles.values()], [rules.tools for rules in policy.tenants.values()]
    listed = {name for tools in (policy.effects_without_approval, *roles, *tenants) for name in tools} - {EVERYBODY}
    unknown = sorted(name for name in listed if not fnmatch.filter(names, name))
    of_nobody = [name for name in names if not any(fnmatch.fnmatch(name, tool) for tools in roles for tool in tools)]
    flaws = (
        [f"the policy names tools that no part has: {', '.join(unknown)}. {did_you_mean(unknown[0], names)}"]
        if unknown
        else []
    )
    flaws += [f"no role of the policy may use {', '.join(of_nobody)}, so nobody can."] if of_nobody else []
    return f"Works, but {' '.join(flaws)}" if flaws else ""


def _run_guarded(check: Callable[[], Check]) -> Check:
    name = getattr(check, "func", check).__name__
    try:
        return check()
    except SixplyError as error:
        return Check(name, ok=False, found=type(error).code, advice=str(error))
    except Exception as error:
        found = mask_text(f"{type(error).__name__}: {error}")
        return Check(name, ok=False, found=found, advice="The check itself broke. Please report it with this line.")


def _nearest(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _left_in_container() -> float:
    # the machine's own figure says nothing of the limit of a container
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        return int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):
        return float("inf")
